"""What was known, and when; what a trade costs."""
