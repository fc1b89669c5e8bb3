"""What the single file of `make binary` promises beside the command line that tests/edge/cli tries on it."""
