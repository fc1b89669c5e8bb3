"""What the two command lines have in common: how they read, show, fail, and find their commands."""
