"""Demand and forecasts of one series over time, thin enough to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcloud_autoscale.forecast.backtest import JUDGED, Windows
from kcloud_autoscale.forecast.ring import BoolArray, FloatArray, IntArray
from kcloud_autoscale.forecast.settings import LEVELS
from kcloud_autoscale.report.page import drawable

HIGH = LEVELS.index(0.99)
LINES_PER_MODEL = 3


def drawing(windows: Sequence[Windows], most_points: int) -> dict[str, Any]:
    """All models of one series on a regular grid of cutoffs; where no window was judged there is a gap.

    Above ``most_points`` cutoffs several become one point: the largest of peak, demand and upper quantiles, the
    smallest median, and a miss where there was one. So no spike and no miss is lost, and the band is never too narrow.
    """
    first = windows[0]
    slots = np.rint((first.cutoff_seconds - first.cutoff_seconds[0]) / first.spacing_seconds).astype(np.int64)
    together = -(-(int(slots[-1]) + 1) // most_points)
    grid = slots // together
    starts = np.flatnonzero(np.diff(grid, prepend=-1))
    places, points = grid[starts], int(grid[-1]) + 1

    def largest(values: FloatArray) -> list[float | None]:
        return _laid(np.maximum.reduceat(values, starts), places, points)

    return {
        "start_seconds": float(first.cutoff_seconds[0]),
        "spacing_seconds": together * first.spacing_seconds,
        "together": together,
        "peak": largest(first.actual),
        "demand": largest(first.present),
        "models": [
            {
                "median": _laid(np.minimum.reduceat(each.quantiles[:, 0], starts), places, points),
                "judged": largest(each.quantiles[:, JUDGED]),
                "high": largest(each.quantiles[:, HIGH]),
                "misses": np.unique(grid[_missed(each)]).tolist(),
            }
            for each in windows
        ],
    }


def _missed(windows: Windows) -> BoolArray:
    """Windows whose peak was above the judged quantile."""
    return np.asarray(windows.actual > windows.quantiles[:, JUDGED])


def _laid(values: FloatArray, places: IntArray, points: int) -> list[float | None]:
    """Values at their places, nothing elsewhere."""
    row = np.full(points, np.nan)
    row[places] = values
    return drawable(row)
