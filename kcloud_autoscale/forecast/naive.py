"""The models to beat, and to fall back to: last value, exponential average, the same time yesterday."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast.ring import FloatArray


class LastValue:
    """The present goes on."""

    name = "last-value"

    def needed(self, day_steps: int) -> int:
        """One step is enough."""
        return 1

    def fit(self, logs: FloatArray, day_steps: int) -> None:
        """There is nothing to fit."""

    def path(self, logs: FloatArray, steps: int) -> FloatArray:
        """The last value, ``steps`` times."""
        return np.full(steps, logs[-1])


class ExponentialAverage:
    """The recent average goes on; each step counts ``keep`` of the one after it."""

    name = "ewma"

    def __init__(self, keep: float = 0.7) -> None:
        """``keep`` 0.7 forgets half in two steps."""
        self._keep = keep

    def needed(self, day_steps: int) -> int:
        """One step is enough."""
        return 1

    def fit(self, logs: FloatArray, day_steps: int) -> None:
        """There is nothing to fit."""

    def path(self, logs: FloatArray, steps: int) -> FloatArray:
        """The average, ``steps`` times. After 60 steps at 0.7 a value counts 5e-10."""
        recent = logs[-60:]
        weights = self._keep ** np.arange(len(recent) - 1, -1, -1)
        return np.full(steps, float(weights @ recent / weights.sum()))


class SeasonalNaive:
    """The same time yesterday."""

    name = "seasonal-naive"

    def __init__(self) -> None:
        """Unfitted."""
        self._day_steps = 1

    def needed(self, day_steps: int) -> int:
        """A day."""
        return day_steps

    def fit(self, logs: FloatArray, day_steps: int) -> None:
        """Only the length of the season is learned."""
        self._day_steps = day_steps

    def path(self, logs: FloatArray, steps: int) -> FloatArray:
        """The last day, repeated as often as needed."""
        day = logs[-self._day_steps :]
        return np.asarray(day[np.arange(steps) % len(day)])
