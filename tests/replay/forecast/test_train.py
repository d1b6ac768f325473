"""Learning from other workloads pays for new ones."""

from __future__ import annotations

import numpy as np
import pytest

from kcloud_autoscale.forecast.evaluate import cold_score, scores_csv
from kcloud_autoscale.forecast.priors import Knowledge, default_prior
from kcloud_autoscale.forecast.settings import FleetSettings, grid_of
from kcloud_autoscale.forecast.synthetic import synthetic_demand
from kcloud_autoscale.forecast.train import train_boosted, train_prior

STEP = 600.0
GRID = grid_of(FleetSettings(), STEP, 3)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    demand = synthetic_demand(24, 4.0, STEP, seed=1)
    boosted = train_boosted(lambda _: demand, [(STEP, 3)])
    return Knowledge({(STEP, 3): train_prior(demand, GRID, FleetSettings())}, boosted)


def test_made_up_demand_is_demand_and_the_same_for_the_same_seed() -> None:
    demand = synthetic_demand(30, 3.0, STEP, seed=5)
    assert demand.shape == (30, 3 * 144)
    assert np.isfinite(demand).all()
    assert (demand >= 0).all()
    assert np.array_equal(demand, synthetic_demand(30, 3.0, STEP, seed=5))
    assert not np.array_equal(demand, synthetic_demand(30, 3.0, STEP, seed=6))
    relative = demand.std(axis=1) / demand.mean(axis=1)
    assert relative.min() < 0.4 < 0.8 < relative.max()  # quiet ones and wild ones


def test_offsets_are_as_wide_as_young_workloads_need(knowledge: Knowledge) -> None:
    offsets = knowledge.cells[STEP, 3].offsets
    assert (np.diff(offsets, axis=1) > 0).all()
    held_out = synthetic_demand(30, 4.0, STEP, seed=2)
    score = cold_score(held_out, STEP, 3, knowledge)
    assert score.starts > 500
    assert 0.8 < score.coverage <= 1.0


def test_a_workload_of_ten_minutes_is_forecast_far_better_than_by_its_last_value(knowledge: Knowledge) -> None:
    held_out = synthetic_demand(30, 4.0, STEP, seed=3)
    assert cold_score(held_out, STEP, 3, knowledge).pinball_ratio < 0.6


def test_training_is_repeatable() -> None:
    demand = synthetic_demand(6, 2.0, STEP, seed=1)
    one, other = (train_prior(demand, GRID, FleetSettings()) for _ in range(2))
    assert np.array_equal(one.full, other.full)
    assert np.array_equal(one.offsets, other.offsets)


def test_the_nearest_cell_serves_and_its_offsets_grow_with_the_horizon() -> None:
    near, far = default_prior(GRID), default_prior(grid_of(FleetSettings(), 60.0, 5))
    table = Knowledge({(STEP, 3): near, (60.0, 5): far})
    wanted = grid_of(FleetSettings(), STEP, 8)
    # Eight steps ahead instead of three: the square root of 9 / 4.
    assert np.allclose(table.nearest(wanted).offsets, 1.5 * near.offsets)


def test_scores_are_a_line_per_cell() -> None:
    score = cold_score(np.full((2, 60), 5.0), STEP, 3, None)
    assert score.pinball_ratio == 1.0  # last value never errs
    assert scores_csv([score]).splitlines()[1].startswith(f"600,3,{score.starts},1.0000,")
