"""The forecaster as a tick sees it: histories in, domain forecasts out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from kcloud_autoscale.domain.series import Forecast
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.answers import read_curve
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.forecast.rows import Rows
from kcloud_autoscale.forecast.teach import Lesson, taught_here
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
    scores = answer.scores
    assert scores is not None
    assert scores.quantile == 0.95
    assert scores.pinball < scores.pinball_last_value
    assert 0.85 < scores.coverage <= 1.0
    assert scores.mase < 0.6


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
    answers = []
    for horizon_seconds in (600.0, 6 * 3_600.0):
        live = LiveForecaster(STEP)
        live.learn({KEY: history(daily_wave(5, STEP), STEP)})
        answers.append(forecast_of(live, Request(KEY, horizon_seconds, 0.5)).values[0])
    assert answers[1] > answers[0]  # at midnight demand rises for 6 hours


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


def grown(values: np.ndarray, until: int, whole: bool) -> LiveForecaster:
    """A forecaster whose window has grown from 1 step to 6 while the last step came, with the whole read or not."""
    live = LiveForecaster(STEP)
    live.learn({KEY: history(values[: until - 1], STEP)})
    forecast_of(live, Request(KEY, STEP))
    forecast_of(live, Request(KEY, 6 * STEP))
    start = 0 if whole else until - 1
    live.learn({KEY: history(values[start:until], STEP, first_step=start)})
    return live


def test_while_a_window_grows_the_old_one_is_forecast_and_said() -> None:
    values = daily_wave(12, STEP)
    live = LiveForecaster(STEP)
    live.learn({KEY: history(values[:1700], STEP)})
    before = forecast_of(live, Request(KEY, STEP))
    assert not live.to_reread()
    meanwhile = forecast_of(live, Request(KEY, 6 * STEP))
    assert (meanwhile.horizon_seconds, meanwhile.values) == (STEP, before.values)
    assert set(live.to_reread()) == {KEY}
    assert live.seen_until() == {KEY: 1700 * STEP}  # what is known stays known
    live.learn({KEY: history(values[:1701], STEP)})
    after = forecast_of(live, Request(KEY, 6 * STEP))
    assert (after.horizon_seconds, after.origin_seconds) == (6 * STEP, 1701 * STEP)
    assert not live.to_reread()


def test_a_window_that_has_grown_forecasts_as_if_it_had_always_been_as_long() -> None:
    values, request = daily_wave(12, STEP), Request(KEY, 6 * STEP)
    fresh = LiveForecaster(STEP)
    fresh.learn({KEY: history(values, STEP)})
    assert forecast_of(grown(values, len(values), whole=True), request) == forecast_of(fresh, request)


def test_a_daily_kick_is_still_expected_after_the_window_has_grown() -> None:
    """At nine the load jumps from 25 to 100 for ten minutes, ten days so far; one minute before the eleventh time.

    The window grows from 5 minutes to 10. Learned from the week in the ring alone the median would be at 89 and the
    highest level at 131; with the whole history they are at 98 and 141, as if the window had always been as long.
    """
    step, kick = 60.0, 10 * 1440 + 540
    values = 25.0 * np.exp(0.1 * np.random.default_rng(3).normal(size=kick))
    for day in range(10):
        values[day * 1440 + 540 : day * 1440 + 550] *= 4.0
    said = []
    for first in (0, kick - 7 * 1440 - 100):
        live = LiveForecaster(step)
        live.learn({KEY: history(values[: kick - 1], step)})
        forecast_of(live, Request(KEY, 300.0))
        forecast_of(live, Request(KEY, 600.0))
        live.learn({KEY: history(values[first:kick], step, first)})
        said.append(forecast_of(live, Request(KEY, 600.0)))
    always = LiveForecaster(step)
    always.learn({KEY: history(values, step)})
    assert said[0] == forecast_of(always, Request(KEY, 600.0))
    assert said[0].at(0.5) > 95.0


def test_where_no_older_history_comes_the_remembered_week_must_do() -> None:
    """A Prometheus that keeps less than the ring does, or a shell that only ever feeds new steps."""
    values = daily_wave(5, STEP)
    answer = forecast_of(grown(values, len(values), whole=False), Request(KEY, 6 * STEP))
    fresh = LiveForecaster(STEP)
    fresh.learn({KEY: history(values, STEP)})
    assert answer.horizon_seconds == 6 * STEP
    assert np.allclose(answer.values, forecast_of(fresh, Request(KEY, 6 * STEP)).values, rtol=1e-5)


def test_a_history_that_could_not_be_read_again_cuts_nobody_off() -> None:
    values = daily_wave(3, STEP)
    live = LiveForecaster(STEP)
    live.learn({KEY: history(values[:300], STEP)})
    forecast_of(live, Request(KEY, STEP))
    asked = []
    for _ in range(4):
        forecast_of(live, Request(KEY, 6 * STEP))  # nothing comes: Prometheus is too slow
        asked.append(KEY in live.to_reread())
    assert asked == [True, False, True, False]
    live.learn({KEY: history(values[300:302], STEP, first_step=300)})
    assert forecast_of(live, Request(KEY, 6 * STEP)).origin_seconds == 302 * STEP


def test_one_that_is_forgotten_is_not_read_again() -> None:
    live = LiveForecaster(STEP)
    live.learn({KEY: history(daily_wave(2, STEP), STEP)})
    forecast_of(live, Request(KEY, STEP))
    forecast_of(live, Request(KEY, 6 * STEP))
    live.forget([KEY])
    assert not live.to_reread()


def test_who_the_teacher_did_not_come_to_has_no_forecast_until_he_does() -> None:
    """A teacher with time for one workload per call: both are forecast in the second cycle, nothing is lost."""
    values = daily_wave(3, STEP)

    def teacher(layouts: Layouts, lessons: Sequence[Lesson]) -> Iterator[tuple[Lesson, Rows]]:
        for lesson in lessons:
            yield from taught_here(layouts, [next(lesson.split(1))])

    live = LiveForecaster(STEP, teacher=teacher)
    live.learn({KEY: history(values[:400], STEP), OTHER: history(values[:400], STEP)})
    assert set(live.forecast([Request(KEY), Request(OTHER)], 0.0)) == {KEY}
    live.learn({key: history(values[400:401], STEP, first_step=400) for key in (KEY, OTHER)})
    both = live.forecast([Request(KEY), Request(OTHER)], 0.0)
    assert {each.origin_seconds for each in both.values()} == {401 * STEP}
    assert both[OTHER].history_seconds == 401 * STEP
