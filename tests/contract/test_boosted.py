"""The boosted model as plain arrays: what scikit-learn says, without scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.boosted import Boosted, Trees, say_of_the_model, trees_of
from kcloud_autoscale.forecast.features import NAMES
from kcloud_autoscale.forecast.fleet import FleetForecaster
from kcloud_autoscale.forecast.intervals import SCORES
from kcloud_autoscale.forecast.priors import Knowledge, default_prior
from kcloud_autoscale.forecast.settings import LEVELS, FleetSettings, grid_of


def constant(value: float) -> Trees:
    """One tree that says the same to all."""
    one = np.zeros((1, 1))
    index = one.astype(np.int64)
    return Trees(index, one, index, index, one, value, 0)


def test_plain_trees_say_what_scikit_learn_says() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3_000, 6))
    target = rows[:, 0] * np.sign(rows[:, 1]) + rng.normal(size=3_000)
    model = HistGradientBoostingRegressor(loss="quantile", quantile=0.9, max_iter=30, max_leaf_nodes=15).fit(
        rows, target
    )
    fresh = rng.normal(size=(500, 6)) * 2
    assert np.allclose(trees_of(model).predict(fresh), model.predict(fresh))


def test_the_curve_is_straight_through_the_median_and_the_95_quantile() -> None:
    curve = Boosted(constant(1.0), constant(3.0)).curve(np.zeros((1, 3)), np.array([2.0]), np.array([0.5]))[0]
    assert curve[0] == pytest.approx(2.0 + 0.5 * 1.0)
    assert curve[LEVELS.index(0.95)] == pytest.approx(2.0 + 0.5 * 3.0)
    assert np.allclose(np.diff(curve) / np.diff(SCORES), np.diff(curve)[0] / np.diff(SCORES)[0])


def test_crossed_quantiles_become_equal() -> None:
    curve = Boosted(constant(3.0), constant(1.0)).curve(np.zeros((1, 3)), np.zeros(1), np.ones(1))[0]
    assert np.allclose(curve, 3.0)


def test_its_say_fades_over_four_hours() -> None:
    said = say_of_the_model(np.array([0.0, 1_200.0, 14_400.0, 1e9]))
    assert said[0] == 1.0
    assert said[1] == pytest.approx((1 / 2 - 1 / 13) / (12 / 13))
    assert said[2:].tolist() == [0.0, 0.0]


def test_a_newborn_listens_to_the_model_and_a_grown_workload_does_not() -> None:
    grid = grid_of(FleetSettings(), 60.0, 5)
    prior = default_prior(grid)
    bold = Knowledge({(60.0, 5): prior}, Boosted(constant(4.0), constant(9.0)))
    plain = Knowledge({(60.0, 5): prior})
    values = np.exp(0.05 * np.random.default_rng(1).normal(size=400)) * 10.0

    def median(knowledge: Knowledge, steps: int) -> float:
        fleet: FleetForecaster[str] = FleetForecaster(60.0, knowledge=knowledge)
        fleet.warm_up({"w": DemandHistory(0.0, 60.0, values[:steps])}, {"w": 5})
        return float(fleet.predict(["w"]).quantiles[0, 0])

    assert median(bold, 5) > 1.03 * median(plain, 5)
    # At 400 minutes it is silent; that it spoke before is only in what was learned of its quality.
    assert median(bold, 400) == pytest.approx(median(plain, 400), rel=0.05)
    assert len(NAMES) == 30
