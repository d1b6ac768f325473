"""Any point model as a forecaster: refitted on a schedule, calibrated by its own past, never without an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from kcloud_autoscale.forecast.base import FitError, PointModel
from kcloud_autoscale.forecast.intervals import SCORES, blended_offsets, empirical_offsets
from kcloud_autoscale.forecast.naive import LastValue
from kcloud_autoscale.forecast.panel import clean
from kcloud_autoscale.forecast.priors import default_prior
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import DAY_SECONDS, FleetSettings, grid_of, steps_in


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a point model is used.

    Attributes:
        horizon: Steps of the window whose peak is forecast.
        refit_seconds: Spacing of refits; an hour.
        longest_seconds: History kept; 14 days.
    """

    horizon: int
    refit_seconds: float = 3_600.0
    longest_seconds: float = 14 * DAY_SECONDS


class Calibrated:
    """A point model with rolling conformal offsets in log units; last value answers where it cannot."""

    def __init__(
        self, model: PointModel, step_seconds: float, schedule: Schedule, settings: FleetSettings | None = None
    ):
        """Nothing learned yet."""
        self._model, self._fallback, self._schedule = model, LastValue(), schedule
        self._settings = settings or FleetSettings()
        self._day_steps = steps_in(DAY_SECONDS, step_seconds)
        self._refit_steps = steps_in(schedule.refit_seconds, step_seconds)
        self._longest = steps_in(schedule.longest_seconds, step_seconds)
        self._window = steps_in(self._settings.residual_seconds, step_seconds)
        self._prior = default_prior(grid_of(self._settings, step_seconds, schedule.horizon)).offsets[:1]
        self._demand: list[float] = []
        self._filled: list[float] = []
        self._logs: FloatArray = np.zeros(0)
        self._points: list[tuple[int, float, float]] = []
        self._residuals: list[float] = []
        self._largest, self._floor, self._fitted = 0.0, 1.0, False
        self._start, self._steps, self._fit_due = 0, 0, 0

    @property
    def name(self) -> str:
        """The point model's."""
        return self._model.name

    def learn(self, values: FloatArray) -> None:
        """Take steps one by one: a forecast is made at each, so that the residuals are honest."""
        for value in clean(np.asarray(values, dtype=np.float64)):
            known = bool(np.isfinite(value))
            if not self._filled and not known:
                continue
            self._demand.append(float(value))
            self._filled.append(float(value) if known else self._filled[-1])
            self._steps += 1
            self._largest = max(self._largest, self._filled[-1])
            self._forget()
            self._mature()
            if self._steps >= self._fit_due:
                self._refit()
            else:
                self._logs = np.append(self._logs, np.log(self._filled[-1] + self._floor))
            if known:
                self._points.append((self._steps, self._point(), self._spread()))

    def quantiles(self, levels: Sequence[float]) -> FloatArray:
        """Quantiles of the peak of the window after the last step."""
        if not self._filled:
            return np.zeros(len(levels))
        empirical, count = empirical_offsets(np.array(self._residuals[-self._window :] or [np.nan], dtype=np.float32))
        offsets = blended_offsets(
            empirical[None, None],
            np.array([[count / self._schedule.horizon]]),
            self._prior,
            self._settings.prior_residuals,
            self._settings.cold_inflation,
        )[0, 0]
        curve = np.maximum.accumulate(self._point() + self._spread() * offsets)
        logs = np.interp(_scores(levels), SCORES, curve)
        high = self._settings.growth_limit * self._largest
        return np.clip(np.exp(np.minimum(logs, 80.0)) - self._floor, 0.0, high)

    def _point(self) -> float:
        """Peak of the path of the model that can answer, log demand, within what has been seen."""
        logs = self._logs
        model = self._model if self._fitted else self._fallback
        path = model.path(logs, self._schedule.horizon)
        if not np.isfinite(path).all():
            path = self._fallback.path(logs, self._schedule.horizon)
        high = np.log(self._settings.growth_limit * self._largest + self._floor)
        return float(np.clip(path.max(), np.log(self._floor), high))

    def _spread(self) -> float:
        """Recent mean absolute log change, floored: the unit of the residuals."""
        return max(0.01, float(np.abs(np.diff(self._logs[-60:])).mean())) if len(self._filled) > 1 else 0.1

    def _mature(self) -> None:
        """Turn the forecast whose window has just been seen into a residual."""
        horizon = self._schedule.horizon
        while self._points and self._points[0][0] <= self._steps - horizon:
            origin, point, spread = self._points.pop(0)
            at = origin - self._start
            window = self._demand[at : at + horizon]
            if np.isfinite(window).all():
                self._residuals.append((float(np.log(max(window) + self._floor)) - point) / spread)
        del self._residuals[: -self._window]

    def _refit(self) -> None:
        """Fit again on what is kept; where that fails the fallback speaks until the next time."""
        self._fit_due = self._steps + self._refit_steps
        high = float(np.quantile(self._filled[-2 * self._day_steps :], 0.9))
        self._floor = 0.02 * max(high, 0.1 * self._largest) or 1.0
        self._logs = np.log(np.array(self._filled) + self._floor)
        self._fitted = False
        if len(self._logs) >= self._model.needed(self._day_steps):
            try:
                self._model.fit(self._logs, self._day_steps)
                self._fitted = True
            except FitError:
                self._fitted = False  # the fallback speaks; the next refit tries again

    def _forget(self) -> None:
        """Drop the oldest day once there is one too many; a model's fit then starts over."""
        if len(self._filled) > self._longest + self._day_steps:
            del self._filled[: self._day_steps], self._demand[: self._day_steps]
            self._start += self._day_steps
            self._fit_due = self._steps


def _scores(levels: Sequence[float]) -> FloatArray:
    """Normal scores of levels."""
    return np.asarray(ndtri(np.array(levels)))
