"""Quantiles of the peak demand of the lead window, for the whole fleet at once.

`live.LiveForecaster` is what a tick uses; `replay.ReplayedForecaster` gives the same answers for a known history in
bulk. Under both, `fleet.FleetForecaster` keeps the workloads, `panel.Panel` learns and forecasts those of one horizon.
"""
