"""What the linear experts look at: the present, its recent past, and the same hours of earlier days.

All levels are logarithms of demand plus a small constant, and all but the intercept, the calendar and the volatility
are *differences*: a workload that doubles keeps its coefficients, and coefficients of zero mean last value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.forecast.ring import DemandRing, FloatArray, IntArray, sliding_max, sliding_mean, sliding_min
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
    "yesterday_kick",
    "last_week_kick",
    "usual_kick",
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
        averages: Shape (4, rows, steps), exponential averages of demand, load per second.
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
        values: Shape (rows, len(NAMES), steps), a view of one contiguous plane per feature.
        present: Shape (rows, steps), log of the demand at the origin.
        smoothed: The same of the 15-minute average.
        yesterday: Log of yesterday's peak of the window ahead; the present where yesterday is unknown.
    """

    values: FloatArray
    present: FloatArray
    smoothed: FloatArray
    yesterday: FloatArray


@dataclass(frozen=True, slots=True)
class Origins:
    """Which origins features are wanted of, and where the demand around them lies.

    Attributes:
        grid: The panel's layout.
        ring: Demand up to the last origin.
        rows: Shape (rows,).
        start: Shape (rows,), absolute step of the first origin.
        steps: Steps from the first origin to the last, both counted.
        floor: Shape (rows, 1), added to demand before the logarithm.
        every: Only one step in so many is an origin.
    """

    grid: Grid
    ring: DemandRing
    rows: IntArray
    start: IntArray
    steps: int
    floor: FloatArray
    every: int = 1

    def demand(self, before: int, after: int) -> FloatArray:
        """Demand from ``before`` steps ahead of the first origin to ``after`` steps past the last; gaps filled."""
        values = np.abs(self.ring.read(self.rows, self.start - before, before + self.steps + after))
        return values.astype(self.floor.dtype, copy=False)

    def log(self, demand: FloatArray) -> FloatArray:
        """Logarithm of demand (rows, origins) plus the floor."""
        return np.asarray(np.log(demand + self.floor))

    def thinned(self, values: FloatArray) -> FloatArray:
        """Values (rows, steps) at the origins only."""
        return values[:, :: self.every]


def feature_block(origins: Origins, carried: Recursions) -> Block:
    """Features of all origins, in the precision of ``origins.floor``; all of them must already be in the ring.

    A *kick* is a rise beyond what noise makes of a peak: with 6 steps of noise of deviation s, one day's peak lies
    1.3 s +- 0.7 s above the level, so 3 s leave nothing of it. Without that noise the ridge can give a scheduled wave
    its full height; noise in the plain rise would shrink its coefficient.
    """
    grid, steps, thinned = origins.grid, origins.steps, origins.thinned
    recent = origins.demand(grid.recent - 1, 0)
    present = origins.log(thinned(recent[:, grid.recent - 1 :]))
    planes = np.empty((len(NAMES), *present.shape), dtype=origins.floor.dtype)
    planes[0] = 1.0
    for index in range(4):
        planes[1 + index] = origins.log(carried.averages[index]) - present
    for lag in (1, 2, 3):
        earlier = grid.recent - 1 - lag
        planes[4 + lag] = origins.log(thinned(recent[:, earlier : earlier + steps])) - present
    window = sliding_max(recent[:, grid.recent - grid.horizon :], grid.horizon)
    planes[8] = origins.log(thinned(window)) - present
    planes[9] = origins.log(thinned(sliding_max(recent, grid.recent))) - present
    planes[10] = origins.log(thinned(sliding_min(recent, grid.recent))) - present
    planes[11] = carried.fast
    planes[12] = carried.slow
    yesterday = _earlier_days(origins, present, planes[13:19])
    for kick, rise, noise in ((19, 13, 3.0), (20, 15, 3.0), (21, 17, 2.0)):
        planes[kick] = np.maximum(planes[rise] - noise * carried.slow, 0.0)
    _calendar(origins, planes[22:])
    return Block(np.moveaxis(planes, 0, 1), present, planes[2] + present, yesterday)


def _earlier_days(origins: Origins, present: FloatArray, planes: FloatArray) -> FloatArray:
    """Fill rise and gap of yesterday, last week and the usual day; return the log of yesterday's peak.

    *Rise* is how far the peak of the window lay above the level at this time of that day, *gap* how far that level
    lay above the present one. A day that was not seen gives zeros: no opinion.
    """
    grid = origins.grid
    level_now = origins.log(origins.thinned(sliding_mean(origins.demand(grid.smooth - 1, 0), grid.smooth)))
    peaks, levels, days = np.zeros_like(present), np.zeros_like(present), np.zeros_like(present)
    planes[:4] = 0.0
    yesterday = present
    for back in range(1, DAYS_BACK + 1):
        seen = origins.demand(back * grid.day + grid.smooth - 1, grid.horizon - back * grid.day)
        peak = origins.thinned(sliding_max(seen[:, grid.smooth :], grid.horizon))
        level = origins.thinned(sliding_mean(seen[:, : -grid.horizon], grid.smooth))
        known = np.isfinite(peak) & np.isfinite(level)
        if not known.any():
            continue
        if not known.all():
            peak, level = np.where(known, peak, 0.0), np.where(known, level, 0.0)
        peaks += peak
        levels += level
        days += known
        if back in (1, DAYS_BACK):
            at = 0 if back == 1 else 2
            log_peak, log_level = origins.log(peak), origins.log(level)
            planes[at] = np.where(known, log_peak - log_level, 0.0)
            planes[at + 1] = np.where(known, log_level - level_now, 0.0)
            if back == 1:
                yesterday = np.where(known, log_peak, present)
    counted = np.maximum(days, 1.0)
    usual_level = origins.log(levels / counted)
    planes[4] = np.where(days > 0, origins.log(peaks / counted) - usual_level, 0.0)
    planes[5] = np.where(days > 0, usual_level - level_now, 0.0)
    return yesterday


def _calendar(origins: Origins, planes: FloatArray) -> None:
    """Fill three harmonics of the day and one of the week (Unix time: the week starts on a Thursday)."""
    start = origins.start[:1] if np.all(origins.start == origins.start[0]) else origins.start
    seconds = (start[:, None] + np.arange(0, origins.steps, origins.every)) * origins.grid.step_seconds
    day = 2.0 * np.pi * np.mod(seconds, DAY_SECONDS) / DAY_SECONDS
    week = 2.0 * np.pi * np.mod(seconds, 7 * DAY_SECONDS) / (7 * DAY_SECONDS)
    for harmonic in (1, 2, 3):
        planes[2 * harmonic - 2] = np.sin(harmonic * day)
        planes[2 * harmonic - 1] = np.cos(harmonic * day)
    planes[6] = np.sin(week)
    planes[7] = np.cos(week)
