"""What operators do from afar, with a certificate of their own."""
