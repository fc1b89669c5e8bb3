"""What only Vault keeps: signing keys, sealed values, and the authority that names edges."""
