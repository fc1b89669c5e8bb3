"""The transparency log beyond its tables: signing it, remembering what was signed, verifying all of it."""
