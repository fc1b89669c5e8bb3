"""What the hub serves. grpc is imported in `grpc_service` only."""
