"""What every forecaster promises, whatever is inside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kcloud_autoscale.forecast.base import Forecaster
from kcloud_autoscale.forecast.registry import NAMES, make_forecaster
from tests.builders.demand_series import daily_wave

STEP = 1_800.0  # 48 a day: two seasons are 96 steps
HORIZON = 2
LEVELS = (0.5, 0.8, 0.95, 0.99)
STEPS = 168  # three days and a half


def wave() -> np.ndarray:
    return daily_wave(3.5, STEP, seed=1)


def with_gaps() -> np.ndarray:
    values = wave()
    values[[0, 1, 50]] = np.nan
    values[90:110] = np.nan
    values[-1] = np.nan
    return values


def spike() -> np.ndarray:
    values = wave()
    values[120] = 1e4
    return values


def level_shift() -> np.ndarray:
    values = wave()
    values[100:] *= 20.0
    return values


def clock_change() -> np.ndarray:
    """An hour missing, then the same rhythm an hour early."""
    values = daily_wave(4, STEP, seed=1)
    return np.concatenate([values[:100], np.full(2, np.nan), values[104 : STEPS + 2]])


def garbage() -> np.ndarray:
    values = wave()
    values[60:66] = [np.inf, -np.inf, -5.0, np.nan, 1e300, 0.0]
    return values


DEMAND: dict[str, Callable[[], np.ndarray]] = {
    "wave": wave,
    "gaps": with_gaps,
    "constant": lambda: np.full(STEPS, 7.0),
    "zero": lambda: np.zeros(STEPS),
    "two points": lambda: np.array([3.0, 5.0]),
    "one point": lambda: np.array([3.0]),
    "1e9": lambda: wave() * 1e9,
    "1e-9": lambda: wave() * 1e-9,
    "spike": spike,
    "level shift": level_shift,
    "clock change": clock_change,
    "garbage": garbage,
    "on and off": lambda: np.tile([0.0, 0.0, 0.0, 9.0], STEPS // 4),
}


def fresh(name: str) -> Forecaster:
    return make_forecaster(name, STEP, HORIZON, refit_seconds=86_400.0)


def said(forecaster: Forecaster, values: np.ndarray) -> np.ndarray:
    """Quantiles (steps, levels) after each step."""
    rows = []
    for value in values:
        forecaster.learn(np.array([value]))
        rows.append(forecaster.quantiles(LEVELS))
    return np.array(rows)


def usable(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values) & (values >= 0), values, 0.0)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", DEMAND)
@pytest.mark.parametrize("name", NAMES)
def test_quantiles_are_finite_ordered_not_negative_and_within_what_was_seen(name: str, kind: str) -> None:
    values = DEMAND[kind]()
    quantiles = said(fresh(name), values)
    seen = np.minimum(np.maximum.accumulate(usable(values)), 1e30)
    assert np.isfinite(quantiles).all()
    assert (quantiles >= 0).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles[:, -1] <= 1.2 * seen * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_later_changes_nothing_said_before(name: str) -> None:
    values, cut = with_gaps(), 130
    changed = values.copy()
    changed[cut:] = 1e6
    assert np.array_equal(said(fresh(name), values[:cut]), said(fresh(name), changed)[:cut])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_history_gives_the_same_forecast(name: str) -> None:
    assert np.array_equal(said(fresh(name), spike()), said(fresh(name), spike()))


@pytest.mark.parametrize("name", NAMES)
def test_feeding_in_pieces_or_at_once_is_the_same(name: str) -> None:
    whole, pieces = fresh(name), fresh(name)
    values = wave()
    whole.learn(values)
    for at in range(0, len(values), 7):
        pieces.learn(values[at : at + 7])
    assert np.array_equal(whole.quantiles(LEVELS), pieces.quantiles(LEVELS))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_known_yet_is_no_demand_and_no_error(name: str) -> None:
    forecaster = fresh(name)
    assert forecaster.quantiles(LEVELS).tolist() == [0.0] * len(LEVELS)
    forecaster.learn(np.full(3, np.nan))
    assert forecaster.quantiles(LEVELS).tolist() == [0.0] * len(LEVELS)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_load_is_forecast_as_it_is(name: str) -> None:
    forecaster = fresh(name)
    forecaster.learn(np.full(STEPS, 7.0))
    assert np.allclose(forecaster.quantiles(LEVELS), 7.0, rtol=0.15)


@pytest.mark.parametrize("name", NAMES)
def test_scale_is_a_unit_not_a_property(name: str) -> None:
    # requests per second or per hour: the same forecast in the other unit.
    plain, scaled = fresh(name), fresh(name)
    plain.learn(wave())
    scaled.learn(wave() * 3_600.0)
    assert np.allclose(plain.quantiles(LEVELS) * 3_600.0, scaled.quantiles(LEVELS), rtol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_level_shift_is_followed_within_a_day(name: str) -> None:
    values = level_shift()
    median = said(fresh(name), values)[-1][0]
    assert 0.3 * values[-1] < median < 3.0 * values[-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_refit_keeps_the_season_and_the_residuals(name: str) -> None:
    """Just after a refit the forecast is about what it was just before: nothing that was learned is gone."""
    values = daily_wave(5, STEP, seed=2, noise=0.02)
    quantiles = said(fresh(name), values)
    refit = 4 * 48
    ratio = quantiles[refit - 1 : refit + 2] / quantiles[refit - 2 : refit + 1]
    assert ((ratio > 0.6) & (ratio < 1.7)).all()


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no forecaster 'prophet'; there are online-ensemble, .*stl, .*sarimax"):
        make_forecaster("prophet", STEP, HORIZON)
