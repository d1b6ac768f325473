"""Measured claims: speed and memory, forecasts against other forecasters, decisions against other policies."""
