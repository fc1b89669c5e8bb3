"""Courier files at the hub: edges' changes taken in, and the answers they get."""
