"""What comes next, from what was known: forecasts that never saw their own label."""
