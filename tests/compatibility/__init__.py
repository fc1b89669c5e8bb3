"""What earlier releases left behind, against this one. Their recordings are frozen: see `record`."""
