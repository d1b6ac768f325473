"""Models of statsmodels on log demand, one series at a time: opt-in, and the oracle of tests.

Traps met: one NaN makes Holt-Winters and ETS answer NaN with only a warning, so gaps are filled before and finiteness
is tested after; `AutoReg` with its own waves needs ``trend="n"``; Holt-Winters needs two whole seasons. Between
refits a path goes on from where it was fitted, shifted by the error it makes at present.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.stl import STLForecast
from statsmodels.tsa.holtwinters import ExponentialSmoothing
from statsmodels.tsa.statespace.sarimax import SARIMAX

from kcloud_autoscale.forecast.base import FitError
from kcloud_autoscale.forecast.ring import FloatArray

HARMONICS = (1, 2, 3)
LONGEST_AHEAD = 4096


def day_waves(first: int, steps: int, day_steps: int) -> FloatArray:
    """Sine and cosine of three harmonics of the day, shape (steps, 6), from step ``first`` on."""
    angle = 2.0 * np.pi * np.arange(first, first + steps) / day_steps
    return np.column_stack([wave(k * angle) for k in HARMONICS for wave in (np.sin, np.cos)])


class AutoRegressionFourier:
    """Short autoregression plus waves of the day: the best per-series library model at 5 to 60 minutes."""

    name = "autoreg"

    def __init__(self, lags: int = 12) -> None:
        """``lags`` steps of the past; an hour at 5 minutes."""
        self._lags = lags
        self._day_steps = 1
        self._coefficients: FloatArray = np.zeros(0)

    def needed(self, day_steps: int) -> int:
        """Three rows per coefficient."""
        return 4 * (self._lags + 1 + 2 * len(HARMONICS))

    def fit(self, logs: FloatArray, day_steps: int) -> None:
        """Least squares by `AutoReg`; only the coefficients are kept, so every origin costs the same."""
        waves = np.column_stack([np.ones(len(logs)), day_waves(0, len(logs), day_steps)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a constant series is collinear with the intercept: the least norm serves
            results = AutoReg(logs, self._lags, trend="n", exog=waves).fit()
        self._coefficients = _finite(np.asarray(results.params), self.name)
        self._day_steps = day_steps

    def path(self, logs: FloatArray, steps: int) -> FloatArray:
        """Iterate the recursion."""
        lags, waves = self._coefficients[: self._lags], self._coefficients[self._lags :]
        season = waves[0] + day_waves(len(logs), steps, self._day_steps) @ waves[1:]
        known = list(logs[-self._lags :])
        for step in range(steps):
            known.append(float(season[step] + lags @ np.array(known[: -self._lags - 1 : -1])))
        return np.array(known[self._lags :])


class _Fitted:
    """A model whose forecasts start at the end of its history, carried on until the next fit."""

    name = "fitted"

    def __init__(self) -> None:
        """Unfitted."""
        self._fitted_steps = 0
        self._results: Any = None
        self._day_steps = 1
        self._ahead: FloatArray = np.zeros(0)

    def fit(self, logs: FloatArray, day_steps: int) -> None:
        """Fit and forget warnings of convergence: what counts is whether its forecasts are finite, and how good."""
        self._day_steps, self._fitted_steps, self._ahead = day_steps, len(logs), np.zeros(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._results = self._estimate(logs)
            except (ValueError, np.linalg.LinAlgError, IndexError) as error:
                raise FitError(f"{self.name}: {error}") from error
            self._ahead = _finite(np.asarray(self._forecast(min(LONGEST_AHEAD, 2 * day_steps + 64))), self.name)

    def path(self, logs: FloatArray, steps: int) -> FloatArray:
        """What was forecast at the fit, from here on, shifted to meet the present."""
        since = len(logs) - self._fitted_steps
        wanted = np.arange(since, since + steps)
        ahead = self._ahead[np.minimum(wanted, len(self._ahead) - 1)]
        if since == 0:
            return np.asarray(ahead)
        return np.asarray(ahead + logs[-1] - self._ahead[min(since, len(self._ahead)) - 1])

    def _estimate(self, logs: FloatArray) -> Any:
        """Fit to log demand."""
        raise NotImplementedError

    def _forecast(self, steps: int) -> Any:
        """The steps after the fitted history."""
        return self._results.forecast(steps)


class ErrorTrendSeasonal(_Fitted):
    """ETS with additive errors and a damped trend, no season."""

    name = "ets"

    def needed(self, day_steps: int) -> int:
        """Ten steps."""
        return 10

    def _estimate(self, logs: FloatArray) -> Any:
        return ETSModel(logs, error="add", trend="add", damped_trend=True).fit(disp=False)


class HoltWinters(_Fitted):
    """Level and an additive season of a day."""

    name = "holt-winters"

    def needed(self, day_steps: int) -> int:
        """Two whole seasons."""
        return 2 * day_steps

    def _estimate(self, logs: FloatArray) -> Any:
        model = ExponentialSmoothing(
            logs, seasonal="add", seasonal_periods=self._day_steps, initialization_method="heuristic"
        )
        return model.fit()


class SeasonalTrendLoess(_Fitted):
    """STL decomposition with an autoregression of the rest."""

    name = "stl"

    def needed(self, day_steps: int) -> int:
        """Two whole seasons and a step."""
        return 2 * day_steps + 1

    def _estimate(self, logs: FloatArray) -> Any:
        return STLForecast(logs, ARIMA, model_kwargs={"order": (2, 0, 0)}, period=self._day_steps).fit()


class SarimaxFourier(_Fitted):
    """ARMA(2, 1) with waves of the day as regressors, by maximum likelihood."""

    name = "sarimax"

    def needed(self, day_steps: int) -> int:
        """Four rows per parameter."""
        return 48

    def _estimate(self, logs: FloatArray) -> Any:
        waves = day_waves(0, len(logs), self._day_steps)
        return SARIMAX(logs, exog=waves, order=(2, 0, 1), trend="c").fit(disp=False, maxiter=20)

    def _forecast(self, steps: int) -> Any:
        return self._results.forecast(steps, exog=day_waves(self._fitted_steps, steps, self._day_steps))


def _finite(values: FloatArray, name: str) -> FloatArray:
    """The same values, or the error that they are not numbers."""
    if not np.isfinite(values).all():
        raise FitError(f"{name}: the fit gave no finite numbers")
    return values
