"""Quantiles of the peak demand of the lead window, for the whole fleet at once."""
