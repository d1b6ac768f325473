"""Scores of forecasts."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast.ring import FloatArray


def pinball(actual: FloatArray, predicted: FloatArray, level: FloatArray | float) -> FloatArray:
    """Quantile loss, broadcast: at level 0.95 falling 10 short costs 9.5 and 10 too much costs 0.5."""
    short = actual - predicted
    return np.maximum(level * short, (level - 1.0) * short)
