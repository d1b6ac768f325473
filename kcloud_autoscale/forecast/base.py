"""What every forecaster of one series can do, whatever is inside, and what a point model adds to become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kcloud_autoscale.forecast.ring import FloatArray


class Forecaster(Protocol):
    """Quantiles of the peak of the lead window of one workload, learned as time goes on."""

    @property
    def name(self) -> str:
        """Its name in tables and options, like ``ridge`` or ``autoreg``."""

    def learn(self, values: FloatArray) -> None:
        """Take the next steps: load per second, NaN where nothing is known."""

    def quantiles(self, levels: Sequence[float]) -> FloatArray:
        """Quantiles at ascending ``levels`` of the peak of the window after the last step.

        Finite, >= 0, non-decreasing, at most 1.2 x the largest demand seen. All zero before any demand is known.
        """


class PointModel(Protocol):
    """A model of log demand that says the most likely path; calibration is not its business."""

    @property
    def name(self) -> str:
        """Its name in tables and options."""

    def needed(self, day_steps: int) -> int:
        """Steps of history below which it cannot be fitted."""

    def fit(self, logs: FloatArray, day_steps: int) -> None:
        """Learn from a gapless history of log demand, oldest first.

        Raises:
            FitError: The model does not exist for this history.
        """

    def path(self, logs: FloatArray, steps: int) -> FloatArray:
        """The ``steps`` after ``logs``, which begins where the history of the last `fit` began and is no shorter."""


class FitError(Exception):
    """A model could not be fitted; the fallback answers instead."""
