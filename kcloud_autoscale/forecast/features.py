"""What the linear experts look at: the present, its recent past, and the same hours of earlier days.

All levels are logarithms of demand plus a small constant, and all but the intercept, the calendar and the volatility
are *differences*: a workload that doubles keeps its coefficients, and coefficients of zero mean last value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.forecast.ring import DemandRing, FloatArray, IntArray, sliding_max, sliding_mean
from kcloud_autoscale.forecast.settings import DAY_SECONDS, Grid

AVERAGE_HALF_LIVES_SECONDS: tuple[float, ...] = (300.0, 900.0, 3_600.0, 14_400.0)
LOCAL_NAMES: tuple[str, ...] = (
    "intercept",
    "average_5m",
    "average_15m",
    "average_1h",
    "average_4h",
    "lag_1",
    "lag_2",
    "lag_3",
    "window_peak",
    "recent_peak",
    "recent_trough",
    "volatility_fast",
    "volatility_slow",
)
SEASONAL_NAMES: tuple[str, ...] = (
    "yesterday_rise",
    "yesterday_gap",
    "last_week_rise",
    "last_week_gap",
    "usual_rise",
    "usual_gap",
    "day_sin_1",
    "day_cos_1",
    "day_sin_2",
    "day_cos_2",
    "day_sin_3",
    "day_cos_3",
    "week_sin",
    "week_cos",
)
NAMES: tuple[str, ...] = LOCAL_NAMES + SEASONAL_NAMES
DAYS_BACK = 7


@dataclass(frozen=True, slots=True)
class Recursions:
    """What is carried from step to step, at each step of a block.

    Attributes:
        averages: Shape (rows, steps, 4), exponential averages of demand, load per second.
        fast: Shape (rows, steps), volatility of the last half hour in log units per step.
        slow: The same over a day.
    """

    averages: FloatArray
    fast: FloatArray
    slow: FloatArray


@dataclass(frozen=True, slots=True)
class Block:
    """Features of consecutive origins.

    Attributes:
        values: Shape (rows, steps, len(NAMES)).
        present: Shape (rows, steps), log of the demand at the origin.
        smoothed: The same of the 15-minute average.
        yesterday: Log of yesterday's peak of the window ahead; the present where yesterday is unknown.
    """

    values: FloatArray
    present: FloatArray
    smoothed: FloatArray
    yesterday: FloatArray


def feature_block(
    grid: Grid, ring: DemandRing, rows: IntArray, start: IntArray, steps: int, floor: FloatArray, carried: Recursions
) -> Block:
    """Features of the origins ``start .. start + steps - 1``, all already in the ring.

    Args:
        grid: The panel's layout.
        ring: Demand up to the last origin.
        rows: Shape (rows,).
        start: Shape (rows,), absolute step of the first origin.
        steps: Number of origins.
        floor: Shape (rows,), added to demand before the logarithm.
        carried: Recursive averages at each origin.
    """
    values = np.empty((len(rows), steps, len(NAMES)))
    recent = np.abs(ring.read(rows, start - (grid.recent - 1), grid.recent - 1 + steps).astype(np.float64))
    add = floor[:, None]
    present = np.log(recent[:, grid.recent - 1 :] + add)
    smoothed = np.log(carried.averages[:, :, 1] + add)
    values[:, :, 0] = 1.0
    values[:, :, 1:5] = np.log(carried.averages + add[:, :, None]) - present[:, :, None]
    lags = np.log(recent[:, grid.recent - 4 :] + add)
    for lag in (1, 2, 3):
        values[:, :, 4 + lag] = lags[:, 3 - lag : 3 - lag + steps] - present
    values[:, :, 8] = np.log(sliding_max(recent[:, grid.recent - grid.horizon :], grid.horizon) + add) - present
    values[:, :, 9] = np.log(sliding_max(recent, grid.recent) + add) - present
    values[:, :, 10] = np.log(-sliding_max(-recent, grid.recent) + add) - present
    values[:, :, 11] = carried.fast
    values[:, :, 12] = carried.slow
    yesterday = _earlier_days(grid, ring, rows, start, steps, floor, present, values[:, :, 13:19])
    _calendar(grid, start, steps, values[:, :, 19:])
    return Block(values, present, smoothed, yesterday)


def _earlier_days(
    grid: Grid,
    ring: DemandRing,
    rows: IntArray,
    start: IntArray,
    steps: int,
    floor: FloatArray,
    present: FloatArray,
    out: FloatArray,
) -> FloatArray:
    """Fill rise and gap of yesterday, last week and the usual day; return the log of yesterday's peak.

    *Rise* is how far the peak of the window lay above the level at this time of that day, *gap* how far that level
    lay above the present one. A day that was not seen gives zeros: no opinion.
    """
    add = floor[:, None]
    level_now = np.log(
        sliding_mean(
            np.abs(ring.read(rows, start - (grid.smooth - 1), grid.smooth - 1 + steps).astype(np.float64)), grid.smooth
        )
        + add
    )
    shape = (len(rows), steps)
    peaks, levels, days = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    yesterday = present
    for back in range(1, DAYS_BACK + 1):
        first = start - back * grid.day - (grid.smooth - 1)
        seen = np.abs(ring.read(rows, first, grid.smooth - 1 + steps + grid.horizon).astype(np.float64))
        peak = sliding_max(seen[:, grid.smooth :], grid.horizon)
        level = sliding_mean(seen[:, : grid.smooth - 1 + steps], grid.smooth)
        known = np.isfinite(peak) & np.isfinite(level)
        peak, level = np.where(known, peak, 0.0), np.where(known, level, 0.0)
        peaks += peak
        levels += level
        days += known
        if back in (1, DAYS_BACK):
            slot = 0 if back == 1 else 2
            log_peak, log_level = np.log(peak + add), np.log(level + add)
            out[:, :, slot] = np.where(known, log_peak - log_level, 0.0)
            out[:, :, slot + 1] = np.where(known, log_level - level_now, 0.0)
            if back == 1:
                yesterday = np.where(known, log_peak, present)
    counted = np.maximum(days, 1.0)
    usual_level = np.log(levels / counted + add)
    out[:, :, 4] = np.where(days > 0, np.log(peaks / counted + add) - usual_level, 0.0)
    out[:, :, 5] = np.where(days > 0, usual_level - level_now, 0.0)
    return yesterday


def _calendar(grid: Grid, start: IntArray, steps: int, out: FloatArray) -> None:
    """Fill three harmonics of the day and one of the week (Unix time: the week starts on a Thursday)."""
    common = start[:1] if np.all(start == start[0]) else start
    seconds = (common[:, None] + np.arange(steps)) * grid.step_seconds
    day = 2.0 * np.pi * np.mod(seconds, DAY_SECONDS) / DAY_SECONDS
    week = 2.0 * np.pi * np.mod(seconds, 7 * DAY_SECONDS) / (7 * DAY_SECONDS)
    for harmonic in (1, 2, 3):
        out[:, :, 2 * harmonic - 2] = np.sin(harmonic * day)
        out[:, :, 2 * harmonic - 1] = np.cos(harmonic * day)
    out[:, :, 6] = np.sin(week)
    out[:, :, 7] = np.cos(week)
