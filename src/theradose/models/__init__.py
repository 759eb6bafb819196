"""Learning: the only layer that knows torch."""
