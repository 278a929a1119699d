"""Did it work, and may we believe it."""
