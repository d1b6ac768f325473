"""Bulk replay says what the live forecaster says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.forecast.panel import Panel
from kcloud_autoscale.forecast.replay import ReplayedForecaster, replay
from tests.builders.demand_series import Request, daily_wave, history

STEP = 600.0
KEY = WorkloadKey("shop", "checkout")


def rough_demand() -> np.ndarray:
    """Four days with a late start, gaps, garbage and a jump."""
    values = daily_wave(4, STEP, seed=4)
    values[:7] = np.nan
    values[200:210] = np.nan
    values[300] = -3.0
    values[400:] *= 7.0
    return values


@pytest.mark.parametrize(
    ("taught", "model"),
    [(0, None), (20, None), (250, None), (0, "ETS"), (20, "AutoReg"), (250, "AutoReg"), (500, "ETS")],
)
def test_replayed_and_live_forecasts_are_the_same(taught: int, model: str | None) -> None:
    values, request = rough_demand(), Request(KEY, 1_800.0, 0.97, model)
    live, bulk = LiveForecaster(STEP), ReplayedForecaster({KEY: history(values, STEP)}, taught)
    compared = 0
    for end in range(max(taught, 1), len(values)):
        part = history(values[:end] if end == taught else values[end - 1 : end], STEP, 0 if end == taught else end - 1)
        answers = []
        for forecaster in (live, bulk):
            forecaster.learn({KEY: part})
            answers.append(forecaster.forecast([request], 0.0))
        one, other = answers
        assert one.keys() == other.keys()
        if one:
            compared += 1
            assert np.allclose(one[KEY].values, other[KEY].values, rtol=1e-9)
            assert one[KEY].levels == other[KEY].levels
            for name in ("trusted", "reason", "origin_seconds", "history_seconds", "horizon_seconds", "asked"):
                assert getattr(one[KEY], name) == getattr(other[KEY], name), (end, name)
            theirs, ours = one[KEY].scores, other[KEY].scores
            assert (theirs is None) == (ours is None)
            if theirs is not None and ours is not None:
                assert dataclasses.astuple(ours) == pytest.approx(dataclasses.astuple(theirs), rel=1e-6, abs=1e-9)
    assert compared > (300 if taught < 500 else 70)


def test_a_window_that_grows_and_shrinks_is_replayed_as_it_would_be_live() -> None:
    """Live, the whole history comes again with the next step when it is asked for, as an operator reads it."""
    values = rough_demand()
    live, bulk = LiveForecaster(STEP), ReplayedForecaster({KEY: history(values, STEP)}, 250)
    horizons = []
    for end in range(250, len(values)):
        request = Request(KEY, 6_000.0 if 300 <= end < 450 else 1_800.0, 0.97)
        begin = 0 if end == 250 or KEY in live.to_reread() else end - 1
        for forecaster in (live, bulk):
            forecaster.learn({KEY: history(values[begin:end], STEP, begin)})
        one, other = (forecaster.forecast([request], 0.0)[KEY] for forecaster in (live, bulk))
        assert np.allclose(one.values, other.values, rtol=1e-9), end
        assert (one.horizon_seconds, one.origin_seconds) == (other.horizon_seconds, other.origin_seconds)
        horizons.append(one.horizon_seconds)
    # Asked for at step 300, forecast from step 301 on; when it shrinks, the longer window covers the shorter at once.
    assert [horizons.index(6_000.0), horizons.count(6_000.0)] == [51, 149]


def test_cutting_the_future_off_changes_nothing_before() -> None:
    values = rough_demand()
    whole = replay(KEY, history(values, STEP), 1_800.0, 100)
    cut = replay(KEY, history(values[:350], STEP), 1_800.0, 100)
    assert cut.first == whole.first == 99
    assert np.array_equal(cut.quantiles, whole.quantiles[: len(cut.quantiles)])


def test_a_replay_looks_no_further_than_it_was_fed() -> None:
    values = rough_demand()
    bulk = ReplayedForecaster({KEY: history(values, STEP)})
    assert bulk.forecast([Request(KEY)], 0.0) == {}
    bulk.learn({KEY: history(values[:50], STEP)})
    assert bulk.forecast([Request(KEY)], 0.0)[KEY].origin_seconds == 50 * STEP
    assert bulk.seen_until() == {KEY: 50 * STEP}
    bulk.forget([KEY])
    assert bulk.forecast([Request(KEY)], 0.0) == {}


def test_no_demand_at_all_gives_no_forecast() -> None:
    bulk = ReplayedForecaster({KEY: history(np.full(9, np.nan), STEP)})
    bulk.learn({KEY: history(np.full(9, np.nan), STEP)})
    assert bulk.forecast([Request(KEY)], 0.0) == {}


def test_a_replay_works_in_blocks_from_refresh_to_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of minutes is 1,440 steps; half-hourly refreshes make 48 blocks, the young first two hours some more."""
    blocks: list[int] = []
    advance = Panel.advance

    def counted(panel: Panel, rows: np.ndarray, demand: np.ndarray) -> np.ndarray:
        blocks.append(demand.shape[1])
        return advance(panel, rows, demand)

    monkeypatch.setattr(Panel, "advance", counted)
    answer = replay(KEY, history(daily_wave(1, 60.0), 60.0), 300.0, 0)
    assert len(answer.quantiles) == sum(blocks) == 1_440
    assert len(blocks) < 48 + 120 / 3 + 3
