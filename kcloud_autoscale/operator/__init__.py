"""The kopf shell around the core."""
