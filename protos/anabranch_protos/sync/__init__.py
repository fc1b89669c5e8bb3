"""The exchange between edge and hub."""
