"""The same tick in a simulated world."""
