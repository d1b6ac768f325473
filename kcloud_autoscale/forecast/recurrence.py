"""What a fitted model is between two fits: a recurrence on log demand, which numpy alone can go on with.

    y[t] = season[t % day] + lags[0] * y[t - 1] + lags[1] * y[t - 2] + …

An autoregression is one as it stands. Exponential smoothing and moving averages are one with lags that fade away:
at a smoothing of 0.3 the 60th lag counts 0.3 x 0.7^59, which is nothing. So every model goes on from fit to fit with
each new step, as the library itself would, and a fit is an array of a few kilobytes whatever was fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.forecast.ring import FloatArray, IntArray, SingleArray

LAGS = 60
"""Steps looked back on: an hour of minutes, five hours of 5 minutes."""
HIGHEST_LOG = 80.0
"""A recurrence that explodes is stopped here, within what an exponential can hold."""
_MOST_VALUES = 1 << 21

PastFit = tuple[int, SingleArray]
"""Absolute step of the last demand that a fit knows, and the fit, packed."""


@dataclass(frozen=True, slots=True, eq=False)
class Recurrence:
    """A fit.

    Attributes:
        lags: Shape (LAGS,), newest first.
        season: Shape (day,), what is added at each step of the day; step 0 is the first of the fitted history.
    """

    lags: FloatArray
    season: FloatArray

    def path(self, logs: FloatArray, steps: int) -> FloatArray:
        """The ``steps`` after ``logs``, which begins where the fitted history began."""
        missing = max(0, LAGS - len(logs))
        recent = np.concatenate([np.full(missing, logs[0]), logs[len(logs) - LAGS + missing :]])
        origin = np.array([[len(logs) - 1]])
        return np.asarray(_ahead(recent[None, None], self.lags[None], self.season[None], origin, steps)[0, 0])


def around(season: FloatArray, lags: FloatArray) -> Recurrence:
    """The recurrence of deviations from a season.

    Args:
        season: Shape (day,), from the first step of the history on.
        lags: At most `LAGS` of them, newest first.
    """
    filled = np.zeros(LAGS)
    filled[: min(LAGS, len(lags))] = lags[:LAGS]
    # Before a step lie the season's values of the steps before it.
    earlier = np.array([np.roll(season, 1 + lag) for lag in range(LAGS)])
    return Recurrence(filled, season - filled @ earlier)


def anchored(recurrence: Recurrence, logs: FloatArray, next_log: float) -> Recurrence:
    """The same with the constant that makes it say ``next_log`` right after ``logs``, as the model itself does.

    It stands for the model's mean, and for what the past beyond the last lag means: about the same an hour later.
    """
    return Recurrence(recurrence.lags, recurrence.season + next_log - recurrence.path(logs, 1)[0])


def fit_width(day: int) -> int:
    """Length of a packed fit."""
    return 1 + LAGS + day


def packed(recurrence: Recurrence, floor: float, first: int) -> SingleArray:
    """A fit as one plain array: floor, lags, season by absolute step of the day.

    Args:
        recurrence: On the logarithm of demand plus ``floor``.
        floor: Load per second; above zero, so that zeros are no fit.
        first: Absolute step of the first of the fitted history.
    """
    season = np.roll(recurrence.season, first % len(recurrence.season))
    return np.concatenate([[floor], recurrence.lags, season]).astype(np.float32)


def forecast_peaks(fits: SingleArray, demand: FloatArray, start: IntArray, horizon: int) -> FloatArray:
    """Peak demand of the window after each origin, as packed fits say.

    Args:
        fits: Shape (rows, width); of rows without a fit the answer is NaN.
        demand: Shape (rows, LAGS - 1 + origins), load per second up to the last origin; gaps filled.
        start: Shape (rows,), absolute step of the first origin.
        horizon: Steps of the window.

    Returns:
        Shape (rows, origins), load per second, not below zero; NaN where demand before an origin is.
    """
    origins = demand.shape[1] - LAGS + 1
    peaks = np.full((len(fits), origins), np.nan)
    spoken = np.flatnonzero(fits[:, 0] > 0)
    together = max(1, _MOST_VALUES // (origins * (LAGS + horizon)))
    for at in range(0, len(spoken), together):
        rows = spoken[at : at + together]
        floor = fits[rows, :1].astype(np.float64)
        logs = np.log(demand[rows] + floor)
        recent = np.lib.stride_tricks.sliding_window_view(logs, LAGS, axis=1)
        origin = start[rows, None] + np.arange(origins)
        lags, season = fits[rows, 1 : 1 + LAGS].astype(np.float64), fits[rows, 1 + LAGS :].astype(np.float64)
        highest = _ahead(recent, lags, season, origin, horizon).max(axis=2)
        peaks[rows] = np.maximum(np.exp(highest) - floor, 0.0)
    return peaks


def _ahead(recent: FloatArray, lags: FloatArray, season: FloatArray, origin: IntArray, steps: int) -> FloatArray:
    """Iterate recurrences.

    Args:
        recent: Shape (rows, origins, LAGS), log demand up to each origin, oldest first.
        lags: Shape (rows, LAGS), newest first.
        season: Shape (rows, day).
        origin: Shape (rows, origins), steps counted from the beginning of the season.
        steps: How many.

    Returns:
        Shape (rows, origins, steps).
    """
    path = np.concatenate([recent, np.empty((*recent.shape[:2], steps))], axis=2)
    oldest_first = lags[:, ::-1, None]
    row = np.arange(len(lags))[:, None]
    for step in range(steps):
        said = (path[:, :, step : step + LAGS] @ oldest_first)[:, :, 0]
        said += season[row, (origin + 1 + step) % season.shape[1]]
        path[:, :, LAGS + step] = np.clip(said, -HIGHEST_LOG, HIGHEST_LOG)
    return path[:, :, LAGS:]
