"""Markets with known answers: bars, what may be observed of them, and the best that can be done."""
