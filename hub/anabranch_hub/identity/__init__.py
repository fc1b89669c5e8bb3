"""Who is at the other end: what a certificate says, and whether it is the one that was issued last."""
