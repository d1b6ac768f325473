"""Out: the only code that changes a cluster."""
