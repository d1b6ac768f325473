from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.simulate.score import score, violating
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import (
    MOST_REPLICAS,
    World,
    WorldRules,
    default_ceiling,
    initial_replicas,
    replay,
)

RULES = WorldRules(10.0, 120.0)


def trace(*demand: float) -> Trace:
    return Trace("test", 0.0, 60.0, np.array(demand, dtype=float))


@dataclass
class Script:
    """Asks for what it was told to ask for, and notes how much it was shown."""

    counts: list[int]
    name: str = "script"
    shown: list[int] = field(default_factory=list)

    def decide(self, step: int, known: FloatArray, world: World) -> tuple[int, str]:
        self.shown.append(len(known))
        return self.counts[len(self.shown) - 1], "Scripted"


def test_an_order_is_paid_for_at_once_and_serves_after_the_start_up():
    run = replay(trace(*[5.0] * 6), RULES, Script([1, 3, 3, 3, 3, 3]))
    assert run.replicas.tolist() == [1, 3, 3, 3, 3, 3]
    assert run.ready.tolist() == [1, 1, 1, 3, 3, 3]  # ordered at 1, ready at 1 + 120 / 60


def test_start_up_is_rounded_up_to_steps():
    assert RULES.startup_steps(60.0) == 2
    assert WorldRules(10.0, 121.0).startup_steps(60.0) == 3
    assert WorldRules(10.0, 0.0).startup_steps(60.0) == 0
    assert WorldRules(10.0, 60.0).startup_steps(600.0) == 1


def test_without_a_start_up_an_order_serves_in_its_own_step():
    assert replay(trace(5.0, 5.0), WorldRules(10.0, 0.0), Script([4, 2])).ready.tolist() == [4, 2]


def test_going_down_is_immediate_and_takes_the_newest_starting_first():
    # 2 more at step 0, 3 more at step 1; down by 4 at step 2: the three of step 1 and one of step 0 go.
    run = replay(trace(*[5.0] * 5), RULES, Script([3, 6, 2, 2, 2]))
    assert run.replicas.tolist() == [3, 6, 2, 2, 2]
    assert run.ready.tolist() == [1, 1, 2, 2, 2]


def test_going_down_takes_ready_ones_when_nothing_starts():
    run = replay(trace(*[5.0] * 5), RULES, Script([4, 4, 4, 2, 2]))
    assert run.ready.tolist() == [1, 1, 4, 2, 2]


def test_a_decision_knows_only_the_steps_before_it():
    script = Script([1, 1, 1])
    replay(trace(5.0, 5.0, 5.0), RULES, script)
    assert script.shown == [0, 1, 2]


def test_history_is_known_but_neither_decided_nor_scored():
    script = Script([1, 1])
    run = replay(trace(5.0, 5.0, 5.0, 99.0), WorldRules(10.0, 120.0, history_steps=2), script)
    assert script.shown == [2, 3]
    assert run.first_step == 2
    assert run.demand.tolist() == [5.0, 99.0]


def test_the_world_begins_seventy_percent_full():
    rules = WorldRules(10.0, 120.0, history_steps=3)
    assert initial_replicas(trace(5.0, 42.0, np.nan, 99.0), rules) == 6  # 42 / 7
    assert initial_replicas(trace(99.0), RULES) == 1  # nothing is known before the first step


def test_the_steps_at_the_ceiling_are_counted():
    rules = WorldRules(10.0, 0.0, max_replicas=5)
    assert score(replay(trace(1.0, 1.0, 1.0, 1.0), rules, Script([4, 5, 99, 3])), rules).ceiling_steps == 2


def test_a_world_without_a_ceiling_has_room_for_its_floor():
    assert default_ceiling(1) == MOST_REPLICAS
    assert default_ceiling(200_000) == 200_000


@pytest.mark.filterwarnings("error")
def test_a_need_that_no_integer_holds_is_the_ceiling():
    rules = WorldRules(1e-12, 0.0, max_replicas=9)
    assert rules.needed(np.array([1e8, 0.0, np.nan, 1e280])).tolist() == [9, 1, 1, 9]


@pytest.mark.filterwarnings("error")
def test_a_demand_whose_sum_is_beyond_all_numbers_is_scored():
    rules = WorldRules(0.5e308, 0.0)
    got = score(replay(trace(1e308, 1e308, 1e308, 1e308), rules, Script([1, 1, 1, 2])), rules)
    assert got.unserved_fraction == pytest.approx(1.5 / 4.0)  # half of three steps, nothing of the fourth


def test_bounds_hold_whatever_a_policy_asks():
    rules = WorldRules(10.0, 0.0, min_replicas=2, max_replicas=5)
    assert replay(trace(1.0, 1.0, 1.0), rules, Script([0, 99, 3])).replicas.tolist() == [2, 5, 3]


def test_a_step_violates_when_its_demand_exceeds_what_is_ready():
    rules = WorldRules(10.0, 0.0)
    run = replay(trace(30.0, 30.1, np.nan, 45.0), rules, Script([3, 3, 3, 3]))
    assert violating(run, rules).tolist() == [False, True, False, True]
    got = score(run, rules)
    assert (got.steps, got.violations) == (3, 2)  # the unknown step is not scored
    assert got.unserved_fraction == pytest.approx((0.1 + 15.0) / 105.1)
    assert got.replica_hours == pytest.approx(3 * 4 / 60)


def test_money_energy_and_carbon():
    rules = WorldRules(10.0, 0.0, usd_per_replica_hour=6.0, watts_per_replica=700.0, grams_per_kwh=400.0)
    got = score(replay(trace(*[30.0] * 30), rules, Script([3] * 30)), rules)
    assert got.replica_hours == pytest.approx(1.5)
    assert got.usd == pytest.approx(9.0)
    assert got.watt_hours == pytest.approx(1_050.0)
    assert got.grams_co2e == pytest.approx(420.0)


def test_changes_per_hour():
    rules = WorldRules(10.0, 0.0)
    got = score(replay(trace(*[30.0] * 60), rules, Script([1 + i // 20 for i in range(60)])), rules)
    assert got.changes_per_hour == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (WorldRules(0.0, 120.0), "capacity per replica is 0"),
        (WorldRules(float("nan"), 120.0), "capacity per replica"),
        (WorldRules(1e-300, 0.0), r"test: a demand of 2e\+08 needs more replicas of 1e-300 each than can be counted"),
        (WorldRules(10.0, -1.0), "startup seconds is -1"),
        (WorldRules(10.0, 0.0, 5, 2), "min replicas 5 and max replicas 2"),
        (WorldRules(10.0, 0.0, history_steps=3), "3 steps of history were asked for, the trace has 3"),
        (WorldRules(10.0, 0.0, history_steps=2), "no known demand in 1 steps"),
    ],
)
def test_what_cannot_be_simulated_is_named(rules: WorldRules, message: str):
    with pytest.raises(ConfigError, match=message):
        rules.check(trace(1.0, 2e8, np.nan))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=50), st.integers(0, 6))
def test_the_world_agrees_with_each_replicas_own_story(counts: list[int], lag: int):
    """Replicas as (serves from) stamps, the newest at the end; a scale-down takes them from the end."""
    world, stamps = World.at_rest(5, lag), [-1] * 5
    for step, count in enumerate(counts):
        world.mature(step)
        world.order(step, count)
        stamps = stamps[:count] + [step + lag] * (count - len(stamps))
        assert world.replicas == len(stamps)
        assert world.ready == sum(stamp <= step for stamp in stamps)
