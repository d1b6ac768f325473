"""Scores of forecasts against what came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.forecast.ring import FloatArray


def pinball(actual: FloatArray, predicted: FloatArray, level: FloatArray | float) -> FloatArray:
    """Quantile loss, broadcast: at level 0.95 falling 10 short costs 9.5 and 10 too much costs 0.5."""
    short = actual - predicted
    return np.asarray(np.maximum(level * short, (level - 1.0) * short))


def coverage(actual: FloatArray, predicted: FloatArray) -> float:
    """Share of outcomes at or below what was predicted; NaN where nothing was."""
    if np.isnan(predicted).any():
        return float("nan")
    return float(np.mean(actual <= predicted))


def mase(actual: FloatArray, predicted: FloatArray, present: FloatArray) -> float:
    """Mean absolute error over that of last value, ``present``, on the same windows; 1 is no better.

    Infinite where last value never errs and the prediction does; 1 where neither does.
    """
    error, naive = np.abs(actual - predicted).mean(), np.abs(actual - present).mean()
    if naive == 0:
        return 1.0 if error == 0 else float("inf")
    return float(error / naive)


def over_provision(actual: FloatArray, predicted: FloatArray, risk: float = 0.05) -> float:
    """Spare capacity over the mean peak once the prediction is rescaled to miss ``risk`` of the windows.

    It compares sharpness alone: 0.3 says that at equal misses 30 % is paid for and not used, whatever the level
    that was predicted. Infinite where nothing was predicted for load that came.
    """
    needed = actual / np.where(predicted > 0, predicted, np.nan)
    needed = np.where(np.isnan(needed), np.where(actual > 0, np.inf, 0.0), needed)
    factor = float(np.quantile(needed, 1.0 - risk, method="inverted_cdf"))
    mean = float(actual.mean())
    if mean == 0:
        return 0.0
    return factor * float(predicted.mean()) / mean - 1.0


@dataclass(frozen=True, slots=True)
class Scores:
    """How one model did on the windows of one series.

    Attributes:
        windows: How many.
        mase: Of the median.
        pinball: Of the judged level, load per second.
        pinball_ratio: The same over calibrated last value's; NaN where that was not run.
        coverage: Of the judged level.
        over_provision: At 5 % risk.
        microseconds: Per step, learning and forecasting.
        pinballs, coverages: Of every level kept, ascending.
    """

    windows: int
    mase: float
    pinball: float
    pinball_ratio: float
    coverage: float
    over_provision: float
    microseconds: float
    pinballs: tuple[float, ...] = ()
    coverages: tuple[float, ...] = ()
