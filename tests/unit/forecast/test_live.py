"""The forecaster as a tick sees it: histories in, domain forecasts out."""

from __future__ import annotations

import numpy as np
import pytest

from kcloud_autoscale.domain.series import Forecast
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.live import LiveForecaster, read_curve
from tests.builders.demand_series import Request, daily_wave, history

STEP = 600.0
KEY, OTHER = WorkloadKey("shop", "checkout"), WorkloadKey("shop", "search")


def forecast_of(live: LiveForecaster, request: Request | None = None) -> Forecast:
    request = request or Request(KEY)
    return live.forecast([request], 0.0)[request.key]


def test_a_forecast_says_what_it_rests_on() -> None:
    live = LiveForecaster(STEP)
    live.learn({KEY: history(daily_wave(5, STEP), STEP, first_step=1000)})
    answer = forecast_of(live, Request(KEY, 1_700.0, 0.95))
    assert answer.origin_seconds == (1000 + 720) * STEP
    assert answer.horizon_seconds == 1_700.0
    assert answer.history_seconds == 720 * STEP
    assert (answer.trusted, answer.reason) == (True, "Calibrated")
    assert answer.model.startswith("hedge(")
    assert sum(weight for _, weight in answer.weights) == pytest.approx(1.0, abs=0.06)
    scores = dict(answer.scores)
    assert scores["pinball"] < scores["pinball_last_value"]
    assert 0.85 < scores["coverage"] <= 1.0


def test_the_level_asked_for_is_among_those_answered_and_between_its_neighbours() -> None:
    live = LiveForecaster(STEP)
    live.learn({KEY: history(daily_wave(5, STEP), STEP)})
    answer = forecast_of(live, Request(KEY, 1_800.0, 0.93))
    at = answer.levels.index(0.93)
    assert answer.levels[at - 1] == 0.9
    assert answer.values[at - 1] <= answer.at(0.93) <= answer.values[at + 1]
    assert list(answer.levels) == sorted(answer.levels)


@pytest.mark.parametrize("level", [0.2, 0.999, 0.95])
def test_levels_outside_what_is_kept_are_clamped(level: float) -> None:
    live = LiveForecaster(STEP)
    live.learn({KEY: history(daily_wave(2, STEP), STEP)})
    answer = forecast_of(live, Request(KEY, 1_800.0, level))
    assert answer.values[0] <= answer.at(level) <= answer.values[-1]
    assert len(answer.levels) == 7


def test_a_curve_is_read_in_normal_scores() -> None:
    # Half way between the scores of 0.80 (0.842) and 0.90 (1.282) is 1.062, the level 0.8558.
    assert read_curve([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0], 0.85588) == pytest.approx(15.0, abs=0.01)


def test_steps_seen_before_are_skipped_and_steps_left_out_are_unknown() -> None:
    values = daily_wave(3, STEP)
    overlapping, exact = LiveForecaster(STEP), LiveForecaster(STEP)
    for live in (overlapping, exact):
        live.learn({KEY: history(values[:200], STEP)})
        forecast_of(live)
    overlapping.learn({KEY: history(values[150:210], STEP, first_step=150)})
    exact.learn({KEY: history(values[200:210], STEP, first_step=200)})
    assert forecast_of(overlapping) == forecast_of(exact)
    # Three steps never came: the clock is where it should be and they count as unknown.
    overlapping.learn({KEY: history(values[213:215], STEP, first_step=213)})
    answer = forecast_of(overlapping)
    assert answer.origin_seconds == 215 * STEP
    assert answer.history_seconds == 212 * STEP


def test_seen_until_tells_the_observer_where_to_read_on() -> None:
    live = LiveForecaster(STEP)
    assert live.seen_until() == {}
    live.learn({KEY: history(np.ones(10), STEP, first_step=5), OTHER: history(np.ones(0), STEP)})
    assert live.seen_until() == {KEY: 15 * STEP}
    live.forget([KEY])
    assert live.seen_until() == {}
    assert live.forecast([Request(KEY)], 0.0) == {}


def test_history_that_comes_in_parts_before_the_first_forecast_is_joined() -> None:
    values = daily_wave(2, STEP)
    parts, whole = LiveForecaster(STEP), LiveForecaster(STEP)
    parts.learn({KEY: history(values[:100], STEP)})
    parts.learn({KEY: history(values[100:], STEP, first_step=100)})
    whole.learn({KEY: history(values, STEP)})
    assert forecast_of(parts) == forecast_of(whole)


def test_without_demand_there_is_no_forecast_until_there_is() -> None:
    live = LiveForecaster(STEP)
    live.learn({KEY: history(np.full(5, np.nan), STEP)})
    assert live.forecast([Request(KEY)], 0.0) == {}
    live.learn({KEY: history(np.array([np.nan, 4.0]), STEP, first_step=5)})
    assert forecast_of(live).values[-1] <= 4.8 * (1 + 1e-6)


def test_minutes_of_history_are_not_trusted_and_silence_is_not_either() -> None:
    live = LiveForecaster(60.0)
    live.learn({KEY: history(np.full(9, 5.0), 60.0)})
    assert (forecast_of(live).trusted, forecast_of(live).reason) == (False, "TooLittleHistory")
    live.learn({KEY: history(np.full(1, 5.0), 60.0, first_step=9)})
    assert (forecast_of(live).trusted, forecast_of(live).reason) == (True, "ColdStart")
    live.learn({KEY: history(np.full(6, np.nan), 60.0, first_step=10)})
    assert (forecast_of(live).trusted, forecast_of(live).reason) == (False, "DemandUnknown")


def test_a_longer_lead_time_forecasts_a_longer_window() -> None:
    live = LiveForecaster(STEP)
    live.learn({KEY: history(daily_wave(5, STEP), STEP)})
    short = forecast_of(live, Request(KEY, 600.0, 0.5)).values[0]
    assert forecast_of(live, Request(KEY, 6 * 3_600.0, 0.5)).values[0] > short  # at midnight demand rises for 6 hours


def test_a_lead_time_beyond_what_can_be_forecast_is_cut_and_said() -> None:
    live = LiveForecaster(STEP)
    live.learn({KEY: history(daily_wave(5, STEP), STEP)})
    answer = forecast_of(live, Request(KEY, 40 * 3_600.0, 0.95))
    assert answer.horizon_seconds == 86_400.0
    assert 60 < answer.at(0.95) < 140  # the daily peak of 80, with noise


def test_an_outage_of_hours_is_caught_up() -> None:
    values = daily_wave(4, STEP)
    live = LiveForecaster(STEP)
    live.learn({KEY: history(values[:300], STEP)})
    forecast_of(live)
    live.learn({KEY: history(values[300:500], STEP, first_step=300)})
    answer = forecast_of(live)
    assert answer.origin_seconds == 500 * STEP
    assert 0.5 * values[499] < answer.values[0] < 2 * values[499]


def test_a_history_on_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shop/checkout: step of 60\.0 s where 600\.0 s is meant"):
        LiveForecaster(STEP).learn({KEY: history(np.ones(3), 60.0)})


def test_a_rehearsal_ten_times_as_fast_says_the_same_of_compressed_time() -> None:
    values = daily_wave(5, STEP)
    real, fast = LiveForecaster(STEP), LiveForecaster(STEP / 10, time_scale=10.0)
    real.learn({KEY: history(values, STEP)})
    fast.learn({KEY: history(values, STEP / 10)})
    slow_answer, fast_answer = forecast_of(real, Request(KEY, 1_800.0)), forecast_of(fast, Request(KEY, 180.0))
    assert fast_answer.values == slow_answer.values
    assert fast_answer.origin_seconds == slow_answer.origin_seconds / 10
    assert fast_answer.history_seconds == slow_answer.history_seconds / 10
