"""What the single file of `make binary` promises beside its command line, which tests/edge/cli tries on it."""
