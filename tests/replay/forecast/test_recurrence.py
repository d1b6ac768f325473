"""A fitted model goes on between two fits as the library itself would."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.stl import STLForecast
from statsmodels.tsa.holtwinters import ExponentialSmoothing
from statsmodels.tsa.statespace.sarimax import SARIMAX

from kcloud_autoscale.forecast import statistical
from kcloud_autoscale.forecast.recurrence import LAGS, Recurrence, fit_width, forecast_peaks, packed
from kcloud_autoscale.forecast.statistical import day_waves

DAY = 96
STEPS, AHEAD = 5 * DAY + 7, 12


def logs(steps: int = STEPS) -> np.ndarray:
    """A daily wave, and noise that remembers four fifths of itself."""
    rng, noise = np.random.default_rng(3), np.zeros(steps)
    for step in range(1, steps):
        noise[step] = 0.8 * noise[step - 1] + rng.normal(0.0, 0.05)
    return np.asarray(3.0 + 0.5 * np.sin(2 * np.pi * np.arange(steps) / DAY) + noise)


def autoreg(seen: np.ndarray) -> np.ndarray:
    waves = np.column_stack([np.ones(len(seen)), day_waves(0, len(seen), DAY)])
    ahead = np.column_stack([np.ones(AHEAD), day_waves(len(seen), AHEAD, DAY)])
    return np.asarray(AutoReg(seen, 12, trend="n", exog=waves).fit().forecast(AHEAD, exog=ahead))


def ets(seen: np.ndarray) -> np.ndarray:
    return np.asarray(ETSModel(seen, error="add", trend="add", damped_trend=True).fit(disp=False).forecast(AHEAD))


def holt_winters(seen: np.ndarray) -> np.ndarray:
    model = ExponentialSmoothing(seen, seasonal="add", seasonal_periods=DAY, initialization_method="heuristic")
    return np.asarray(model.fit().forecast(AHEAD))


def sarimax(seen: np.ndarray) -> np.ndarray:
    results = SARIMAX(seen, exog=day_waves(0, len(seen), DAY), order=(2, 0, 1), trend="c").fit(disp=False, maxiter=20)
    return np.asarray(results.forecast(AHEAD, exog=day_waves(len(seen), AHEAD, DAY)))


def stl(seen: np.ndarray) -> np.ndarray:
    model = STLForecast(seen, ARIMA, model_kwargs={"order": (2, 0, 0)}, period=DAY, trend_jump=2, low_pass_jump=2)
    return np.asarray(model.fit().forecast(AHEAD))


LIBRARY: dict[str, tuple[type[statistical.Fitted], Callable[[np.ndarray], np.ndarray]]] = {
    "AutoReg": (statistical.AutoRegressionFourier, autoreg),
    "ETS": (statistical.ErrorTrendSeasonal, ets),
    "HoltWinters": (statistical.HoltWinters, holt_winters),
    "SARIMAX": (statistical.SarimaxFourier, sarimax),
    "STL": (statistical.SeasonalTrendLoess, stl),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_right_after_a_fit_it_says_what_the_library_says(name: str) -> None:
    """Within half a per cent of the load; exactly but for what 60 lags leave out, and the season HoltWinters moves."""
    model, library = LIBRARY[name]
    fitted = model()
    fitted.fit(logs(), DAY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = library(logs() - logs().mean()) + logs().mean()
    assert np.allclose(fitted.path(logs(), AHEAD), wanted, atol=5e-3)


def test_with_what_has_been_seen_since_it_says_what_the_library_says_then() -> None:
    """SARIMAX again, as the library filters ten more steps with the parameters of the fit."""
    whole = logs(STEPS + 10)
    fitted = statistical.SarimaxFourier()
    fitted.fit(whole[:STEPS], DAY)
    waves = day_waves(0, STEPS + 10, DAY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        middle = whole[:STEPS].mean()
        model = SARIMAX(whole[:STEPS] - middle, exog=waves[:STEPS], order=(2, 0, 1), trend="c")
        results = model.fit(disp=False, maxiter=20)
        later = results.append(whole[STEPS:] - middle, exog=waves[STEPS:])
        wanted = middle + later.forecast(AHEAD, exog=day_waves(STEPS + 10, AHEAD, DAY))
        without = middle + results.forecast(AHEAD + 10, exog=day_waves(STEPS, AHEAD + 10, DAY))[10:]
    assert np.allclose(fitted.path(whole, AHEAD), wanted, atol=1e-4)
    assert not np.allclose(fitted.path(whole, AHEAD), without, atol=1e-2)


def test_smoothing_with_what_has_been_seen_since_is_what_the_library_smooths() -> None:
    whole = logs(STEPS + 10)
    fitted = statistical.ErrorTrendSeasonal()
    fitted.fit(whole[:STEPS], DAY)
    results = ETSModel(whole[:STEPS], error="add", trend="add", damped_trend=True).fit(disp=False)
    later = ETSModel(whole, error="add", trend="add", damped_trend=True).smooth(results.params)
    assert np.allclose(fitted.path(whole, AHEAD), later.forecast(AHEAD), atol=5e-3)


def test_a_history_that_is_longer_than_a_model_takes_loses_whole_days_of_its_beginning() -> None:
    """Of 35 days 5 are used: 5 x 96 = 480 is the least number of whole days that leaves 400 or more."""

    class Short(statistical.AutoRegressionFourier):
        longest = 400

    whole = logs(35 * DAY)
    short, bare = Short(), statistical.AutoRegressionFourier()
    short.fit(whole, DAY)
    bare.fit(whole[-5 * DAY :], DAY)
    assert np.allclose(short.path(whole, AHEAD), bare.path(whole[-5 * DAY :], AHEAD))


def test_a_smoothing_of_three_tenths_forgets_three_tenths_a_step() -> None:
    lags = statistical.smoothing_lags(0.3, 0.0, 0.0)
    assert np.allclose(lags[:3], [0.3, 0.21, 0.147])
    assert lags.sum() == pytest.approx(1.0, abs=1e-8)  # 0.7^60 is left


def test_a_moving_average_is_an_autoregression_that_fades() -> None:
    # (1 - 0.5 L) / (1 + 0.4 L) = 1 - 0.9 L + 0.36 L^2 - 0.144 L^3 + ...
    lags = statistical.inverted_lags(np.array([1.0, -0.5]), np.array([1.0, 0.4]))
    assert np.allclose(lags[:3], [0.9, -0.36, 0.144])


def test_a_packed_fit_keeps_the_time_of_day_wherever_its_history_began() -> None:
    first = 1_000 * DAY + 13
    recurrence = Recurrence(np.zeros(LAGS), np.arange(DAY) / 50.0)  # says nothing but the step of its own day
    fits = packed(recurrence, 0.5, first)[None]
    assert fits.shape == (1, fit_width(DAY))
    demand = np.ones((1, LAGS + 2))
    said = forecast_peaks(fits, demand, np.array([first + 20]), 2)
    # Origins 20, 21, 22 of that history: the larger of the next two steps is 22, 23, 24.
    assert np.allclose(said[0], np.exp(np.array([22, 23, 24]) / 50.0) - 0.5, rtol=1e-6)


def test_the_peak_is_that_of_the_path_and_who_has_no_fit_says_nothing() -> None:
    values = np.exp(logs())
    model = statistical.AutoRegressionFourier()
    model.fit(np.log(values + 2.0), DAY)
    fits = np.stack([np.zeros(fit_width(DAY), dtype=np.float32), packed(model.recurrence, 2.0, 0)])
    demand = np.stack([values[-LAGS:], values[-LAGS:]])
    said = forecast_peaks(fits, demand, np.array([STEPS - 1, STEPS - 1]), AHEAD)
    wanted = np.exp(model.path(np.log(values + 2.0), AHEAD).max()) - 2.0
    assert np.isnan(said[0, 0])
    assert said[1, 0] == pytest.approx(wanted, rel=1e-4)


def test_a_recurrence_that_explodes_stays_a_number() -> None:
    lags = np.zeros(LAGS)
    lags[0] = 50.0
    fits = packed(Recurrence(lags, np.zeros(DAY)), 1.0, 0)[None]
    assert np.isfinite(forecast_peaks(fits, np.full((1, LAGS), 9.0), np.array([0]), 90)).all()
