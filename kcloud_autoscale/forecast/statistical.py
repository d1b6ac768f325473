"""Models of statsmodels on log demand, one series at a time: for those who ask, and the oracle of tests.

Traps met: one NaN makes Holt-Winters and ETS answer NaN with only a warning, so gaps are filled before and finiteness
is tested after; `AutoReg` with its own waves needs ``trend="n"``; Holt-Winters needs two whole seasons; STL of minutes
takes 7 s where it smooths at every step instead of one in so many. Between refits each goes on as a `Recurrence`.
"""

from __future__ import annotations

import warnings

import numpy as np
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.stl import STLForecast
from statsmodels.tsa.holtwinters import ExponentialSmoothing
from statsmodels.tsa.statespace.sarimax import SARIMAX

from kcloud_autoscale.forecast.base import FitError
from kcloud_autoscale.forecast.recurrence import LAGS, Recurrence, anchored, around
from kcloud_autoscale.forecast.ring import FloatArray

HARMONICS = (1, 2, 3)
FADED = 0.99
"""Smoothing lags that sum to this have left nothing to the steps before them."""


def day_waves(first: int, steps: int, day_steps: int) -> FloatArray:
    """Sine and cosine of three harmonics of the day, shape (steps, 6), from step ``first`` on."""
    angle = 2.0 * np.pi * np.arange(first, first + steps) / day_steps
    return np.column_stack([wave(k * angle) for k in HARMONICS for wave in (np.sin, np.cos)])


class Fitted:
    """A model of the library that is fitted to a history, and goes on as a recurrence until the next fit."""

    name = "fitted"
    longest = 1 << 20
    """Points it is fitted to, and up to a day more: beyond that a fit takes too long for what it gains."""

    def __init__(self) -> None:
        """Unfitted."""
        self.recurrence = Recurrence(np.zeros(LAGS), np.zeros(1))

    def needed(self, day_steps: int) -> int:
        """Steps of history below which it cannot be fitted."""
        raise NotImplementedError

    def fit(self, logs: FloatArray, day_steps: int) -> None:
        """Fit and forget warnings of convergence: what counts is whether its forecasts are finite, and how good."""
        most = max(self.longest, self.needed(day_steps))
        left_out = max(0, len(logs) - most) // day_steps * day_steps  # whole days: the season begins at step 0 still
        used = logs[left_out:]
        middle = used.mean()  # a likelihood climbed in twenty steps must not depend on the unit of demand
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = self._fitted(used - middle, day_steps)
            except (ValueError, ArithmeticError, np.linalg.LinAlgError, IndexError) as error:
                raise FitError(f"{self.name}: {error}") from error
        if not (np.isfinite(found.lags).all() and np.isfinite(found.season).all()):
            raise FitError(f"{self.name}: the fit gave no finite numbers")
        self.recurrence = Recurrence(found.lags, found.season + middle * (1.0 - found.lags.sum()))

    def path(self, logs: FloatArray, steps: int) -> FloatArray:
        """Go on from the fit with what has been seen since."""
        return self.recurrence.path(logs, steps)

    def _fitted(self, logs: FloatArray, day_steps: int) -> Recurrence:
        """Fit to log demand around its mean."""
        raise NotImplementedError


class AutoRegressionFourier(Fitted):
    """Short autoregression plus waves of the day: the best per-series library model at 5 to 60 minutes."""

    name = "autoreg"

    def __init__(self, lags: int = 12) -> None:
        """``lags`` steps of the past; an hour at 5 minutes."""
        super().__init__()
        self._order = lags

    def needed(self, day_steps: int) -> int:
        """Four rows per coefficient."""
        return 4 * (self._order + 1 + 2 * len(HARMONICS))

    def _fitted(self, logs: FloatArray, day_steps: int) -> Recurrence:
        waves = np.column_stack([np.ones(len(logs)), day_waves(0, len(logs), day_steps)])
        # A constant series is collinear with the intercept: the least norm serves.
        found = np.asarray(AutoReg(logs, self._order, trend="n", exog=waves).fit().params)
        lags = np.concatenate([found[: self._order], np.zeros(LAGS - self._order)])
        constant, heights = found[self._order], found[self._order + 1 :]
        return Recurrence(lags, constant + day_waves(0, day_steps, day_steps) @ heights)


class ErrorTrendSeasonal(Fitted):
    """ETS with additive errors and a damped trend, no season."""

    name = "ets"

    def needed(self, day_steps: int) -> int:
        """Ten steps."""
        return 10

    def _fitted(self, logs: FloatArray, day_steps: int) -> Recurrence:
        results = ETSModel(logs, error="add", trend="add", damped_trend=True).fit(disp=False)
        ahead = float(results.forecast(1)[0])
        return _smoothed(logs, smoothing_lags(results.alpha, results.beta, results.phi), np.full(day_steps, ahead))


class HoltWinters(Fitted):
    """Level and an additive season of a day."""

    name = "holt-winters"

    def needed(self, day_steps: int) -> int:
        """Two whole seasons."""
        return 2 * day_steps

    def _fitted(self, logs: FloatArray, day_steps: int) -> Recurrence:
        model = ExponentialSmoothing(
            logs, seasonal="add", seasonal_periods=day_steps, initialization_method="heuristic"
        )
        results = model.fit()
        ahead = np.asarray(results.forecast(day_steps))
        lags = smoothing_lags(results.params["smoothing_level"], 0.0, 0.0)
        return _smoothed(logs, lags, _from_the_first(ahead, len(logs)))


class SeasonalTrendLoess(Fitted):
    """STL decomposition with an autoregression of the rest."""

    name = "stl"
    longest = 8_640
    JUMPS_PER_DAY = 48

    def needed(self, day_steps: int) -> int:
        """Two whole seasons and a step."""
        return 2 * day_steps + 1

    def _fitted(self, logs: FloatArray, day_steps: int) -> Recurrence:
        jump = max(1, day_steps // self.JUMPS_PER_DAY)
        rest = {"order": (2, 0, 0)}
        model = STLForecast(logs, ARIMA, model_kwargs=rest, period=day_steps, trend_jump=jump, low_pass_jump=jump)
        results = model.fit()
        season = np.asarray(results.result.seasonal)[-day_steps:]
        lags = np.asarray(results.model_result.arparams)
        around_season = around(_from_the_first(season, len(logs)), lags)
        return anchored(around_season, logs, float(results.forecast(1)[0]))


class SarimaxFourier(Fitted):
    """ARMA(2, 1) with waves of the day as regressors, by maximum likelihood."""

    name = "sarimax"
    longest = 2_880

    def needed(self, day_steps: int) -> int:
        """Four rows per parameter."""
        return 48

    def _fitted(self, logs: FloatArray, day_steps: int) -> Recurrence:
        waves = day_waves(0, len(logs), day_steps)
        results = SARIMAX(logs, exog=waves, order=(2, 0, 1), trend="c").fit(disp=False, maxiter=20)
        heights = np.asarray(results.params)[[results.param_names.index(f"x{k}") for k in range(1, 7)]]
        ahead = results.forecast(1, exog=day_waves(len(logs), 1, day_steps))
        lags = inverted_lags(np.asarray(results.polynomial_ar), np.asarray(results.polynomial_ma))
        return anchored(around(day_waves(0, day_steps, day_steps) @ heights, lags), logs, float(ahead[0]))


def smoothing_lags(level: float, trend: float, damping: float) -> FloatArray:
    """Weights of the last steps in the next forecast of damped exponential smoothing, newest first.

    The level moves by ``level`` of each error and the trend by ``trend``; 0.3 without a trend gives 0.3, 0.21, 0.147.
    """
    seen = np.array([1.0, damping])
    moved = np.array([level, trend])
    carried = np.array([[1.0, damping], [0.0, damping]]) - np.outer(moved, seen)
    lags = np.empty(LAGS)
    for lag in range(LAGS):
        lags[lag] = seen @ moved
        moved = carried @ moved
    return lags


def inverted_lags(autoregressive: FloatArray, moving: FloatArray) -> FloatArray:
    """The autoregression that an ARMA is, cut at `LAGS`: 1 - the quotient of its polynomials.

    ``(1, -0.5)`` over ``(1, 0.4)`` is 1 - 0.9 L + 0.36 L^2 - …, so the lags are 0.9, -0.36, 0.144, …
    """
    quotient = np.zeros(LAGS + 1)
    quotient[: len(autoregressive)] = autoregressive
    for at in range(1, LAGS + 1):
        for back in range(1, min(at, len(moving) - 1) + 1):
            quotient[at] -= moving[back] * quotient[at - back]
    return -quotient[1:]


def _smoothed(logs: FloatArray, lags: FloatArray, ahead: FloatArray) -> Recurrence:
    """Smoothed deviations from the day that the model expects after ``logs``, given from step 0 on.

    Where the lags have faded away there is no more distant past to stand for, and a constant would be a slope.
    """
    plain = around(ahead, lags)
    return plain if lags.sum() > FADED else anchored(plain, logs, float(ahead[len(logs) % len(ahead)]))


def _from_the_first(day: FloatArray, steps: int) -> FloatArray:
    """A season known from step ``steps`` (or a day before it) on, from step 0 on."""
    return np.roll(day, steps % len(day))
