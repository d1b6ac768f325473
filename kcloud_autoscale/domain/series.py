"""Demand over time, past and future."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kcloud_autoscale.domain.frozen import frozen

FloatArray = NDArray[np.float64]


@frozen(eq=False)
class DemandHistory:
    """Mean demand per step on a regular grid.

    Attributes:
        start_seconds: Unix time of the start of the first step. A multiple of ``step_seconds``.
        step_seconds: Spacing of the grid.
        values: Shape ``(steps,)``, load per second; NaN where nothing is known. Step ``i`` covers
            ``[start + i * step, start + (i + 1) * step)`` and is only complete at its end.
    """

    start_seconds: float
    step_seconds: float
    values: FloatArray

    @property
    def end_seconds(self) -> float:
        """Unix time at which the last step is complete."""
        return self.start_seconds + len(self.values) * self.step_seconds

    def since(self, seconds: float) -> DemandHistory:
        """The steps that start at or after ``seconds``."""
        skip = int(np.clip(np.ceil((seconds - self.start_seconds) / self.step_seconds - 1e-9), 0, len(self.values)))
        return DemandHistory(self.start_seconds + skip * self.step_seconds, self.step_seconds, self.values[skip:])


@frozen
class Levels:
    """Quantiles of a forecast peak to provision by, each in (0, 1).

    Attributes:
        order: Replicas are ordered up to what it needs.
        keep: Replicas that run are kept up to what it needs; not below ``order``.
    """

    order: float
    keep: float


@frozen
class AskedModel:
    """The model that a workload asked for beside the built-in experts.

    Attributes:
        model: Its name, as in the spec.
        fitted: Whether it speaks; it may still be drowned out by better ones.
        message: Why it is silent, or why its last fit failed; empty when all is well.
    """

    model: str
    fitted: bool
    message: str = ""


@frozen
class LiveScores:
    """How the forecasts of the last day or so held, each against the peak that came; older ones count ever less.

    Attributes:
        quantile: The one that coverage and pinball loss are of.
        coverage: Share of peaks at or below it; as much as itself is honest.
        pinball: Mean pinball loss at it, load per second.
        pinball_last_value: The same of the last value with calibrated intervals, on the same windows.
        mase: Mean absolute error of the median over that of the last value, on the same windows; below 1 beats it,
            infinite where the last value never erred and the median did.
        windows: How many are behind it, an old one counting less than one.
    """

    quantile: float
    coverage: float
    pinball: float
    pinball_last_value: float
    mase: float
    windows: float


@frozen
class Forecast:
    """Quantiles of the peak demand over the lead window of one workload.

    Attributes:
        model: Who was heard most, for people: ``hedge(ridge 0.71, last value 0.20, …)``.
        origin_seconds: Last instant the model has seen.
        horizon_seconds: Length of the window whose peak is forecast.
        levels: Ascending quantile levels in (0, 1).
        values: Load per second at those levels; non-decreasing, finite, >= 0.
        trusted: False when decisions must not rest on it; ``reason`` then says why.
        reason: CamelCase token: ``Calibrated``, ``TooLittleHistory``, ``WorseThanLastValue``, ``CoverageDrift``, …
        history_seconds: Length of known demand behind the forecast.
        weights: Share of each expert in what was said.
        scores: How recent ones held; None until the first window is over.
        asked: The model that was asked for; None where none was.
    """

    model: str
    origin_seconds: float
    horizon_seconds: float
    levels: tuple[float, ...]
    values: tuple[float, ...]
    trusted: bool
    reason: str
    history_seconds: float = 0.0
    weights: tuple[tuple[str, float], ...] = ()
    scores: LiveScores | None = None
    asked: AskedModel | None = None

    def at(self, level: float) -> float:
        """The value at a level between those given, linearly; clamped to the outermost ones.

        With 0.90 → 80 and 0.95 → 90 load per second, ``at(0.925)`` is 85.
        """
        return interpolated(level, self.levels, self.values)


def interpolated(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """`numpy.interp` of a single number, to the last bit; on a curve of seven points ten times as fast.

    Args:
        x: Where to read; outside ``xs`` the outermost of ``ys`` is read.
        xs: Strictly ascending.
        ys: One for each of ``xs``.
    """
    at = bisect_right(xs, x)
    if at == 0:
        return ys[0]
    if at == len(xs):
        return ys[-1]
    slope = (ys[at] - ys[at - 1]) / (xs[at] - xs[at - 1])
    return slope * (x - xs[at - 1]) + ys[at - 1]
