"""Live scores: worked by hand from the sums that the forecaster keeps, and recounted from what it said."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from kcloud_autoscale.domain.series import LiveScores
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.answers import live_scores
from kcloud_autoscale.forecast.fleet import FleetForecaster
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.forecast.settings import LEVELS
from tests.builders.demand_series import Request, daily_wave, history, peaks

KEY = WorkloadKey("shop", "llm")
STEP = 600.0
HORIZON = 3
AT_50, AT_95 = LEVELS.index(0.5), LEVELS.index(0.95)


def kept(**at_level: tuple[float, ...]) -> np.ndarray:
    """Means as a fleet forecast has them; what is not named is not to be read."""
    scores = np.full((1, 5, len(LEVELS)), 1e9)
    scores[0, :3, AT_95] = at_level["judged"]
    scores[0, 3:, AT_50] = at_level["median"]
    return scores


def test_by_hand():
    # Two peaks of 100 and 120 against quantiles of 110 and 110, medians of 90 and 110, last values of 80 and 100:
    # one of two is covered; 10 too much cost 0.05 * 10 = 0.5, 10 short 0.95 * 10 = 9.5, in the mean 5; the medians
    # err by 10 and 10, the last values by 20 and 20.
    (scores,) = live_scores(kept(judged=(5.0, 9.0, 0.5), median=(10.0, 20.0)), np.array([2.0]))
    assert scores == LiveScores(0.95, coverage=0.5, pinball=5.0, pinball_last_value=9.0, mase=0.5, windows=2.0)


@pytest.mark.parametrize(("error", "naive", "mase"), [(0.0, 0.0, 1.0), (3.0, 0.0, math.inf), (0.0, 3.0, 0.0)])
def test_a_last_value_that_never_erred_is_met_or_not(error: float, naive: float, mase: float):
    (scores,) = live_scores(kept(judged=(0.0, 0.0, 1.0), median=(error, naive)), np.array([1.0]))
    assert scores is not None
    assert scores.mase == mase


def test_nothing_is_known_before_the_first_window_is_over():
    assert live_scores(np.full((1, 5, len(LEVELS)), np.nan), np.zeros(1)) == [None]
    live = LiveForecaster(STEP)
    live.learn({KEY: history(daily_wave(1, STEP)[:2], STEP)})
    assert live.forecast([Request(KEY, HORIZON * STEP)], 0.0)[KEY].scores is None


def test_they_are_the_decayed_means_of_what_was_said_and_what_came():
    values = daily_wave(3, STEP, seed=4).astype(np.float32).astype(np.float64)
    fleet: FleetForecaster[str] = FleetForecaster(STEP)
    fleet.warm_up({"w": history(values[:1], STEP)}, {"w": HORIZON})
    said = [fleet.predict(["w"]).quantiles[0]]
    for value in values[1:]:
        fleet.update({"w": [value]})
        said.append(fleet.predict(["w"]).quantiles[0])
    answer = fleet.predict(["w"])
    panel, row = fleet.home_of("w")
    matured = int(panel.state.folded[row]) + 1  # origins up to the last refresh

    told, came = np.array(said)[:matured], peaks(values, HORIZON)[:matured]
    weight = panel.hedge_decay ** np.arange(matured - 1, -1, -1)
    short = came - told[:, AT_95]

    def mean(each: np.ndarray) -> float:
        return float((weight * each).sum() / weight.sum())

    (scores,) = live_scores(answer.scores, answer.scored)
    assert scores is not None
    assert scores.windows == pytest.approx(weight.sum())
    assert scores.coverage == pytest.approx(mean(came <= told[:, AT_95]))
    assert scores.pinball == pytest.approx(mean(np.maximum(0.95 * short, -0.05 * short)))
    # The last value is what it is, without the intervals that the last value among the experts has.
    naive = mean(np.abs(came - values[:matured]))
    assert scores.mase == pytest.approx(mean(np.abs(came - told[:, AT_50])) / naive, rel=1e-3)
    assert scores.mase < 0.9


def test_a_new_process_learns_them_from_the_history():
    values, first = daily_wave(5, STEP, seed=2), 400
    request = Request(KEY, HORIZON * STEP)
    lived, restarted = LiveForecaster(STEP), LiveForecaster(STEP)
    for start, end in pairwise([0, *range(first, len(values) + 1, 40)]):  # for two days, seven hours at a time
        lived.learn({KEY: history(values[start:end], STEP, start)})
        before = lived.forecast([request], 0.0)[KEY].scores
    restarted.learn({KEY: history(values, STEP)})
    after = restarted.forecast([request], 0.0)[KEY].scores
    assert before is not None
    assert after is not None
    assert after.coverage == pytest.approx(before.coverage, abs=0.02)
    assert after.pinball == pytest.approx(before.pinball, rel=0.1)
    assert after.mase == pytest.approx(before.mase, rel=0.1)
