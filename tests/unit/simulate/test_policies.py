from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.account.baseline import advance
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.state import BaselineState
from kcloud_autoscale.simulate.hindsight import tuned_hpa
from kcloud_autoscale.simulate.policies import Hpa, Keda, Phpa, clairvoyant, oracle, static_peak
from kcloud_autoscale.simulate.score import score, violating
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import World, WorldRules, replay
from tests.builders.accounting import KEY, a_policy

RULES = WorldRules(10.0, 120.0)


def trace(demand: list[float] | np.ndarray) -> Trace:
    return Trace("test", 0.0, 60.0, np.array(demand, dtype=float))


def world(replicas: int, ready: int | None = None) -> World:
    ready = replicas if ready is None else ready
    return World(replicas, ready, 2, [(99, replicas - ready)] if ready < replicas else [])


@pytest.mark.parametrize(
    ("demand", "replicas", "ready", "expected", "reason"),
    [
        (76.0, 10, 10, 10, "WithinTolerance"),  # 0.76 / 0.7 = 1.086
        (77.0, 10, 10, 10, "WithinTolerance"),  # exactly 1.1
        (78.0, 10, 10, 12, "AboveTarget"),  # ceil(1.114 x 10)
        (62.0, 10, 10, 9, "BelowTarget"),
        (84.0, 12, 10, 12, "WithinTolerance"),  # 1.2 on the ready, 1.0 on all
        (105.0, 12, 10, 15, "AboveTarget"),  # 1.25 x 12
        (math.nan, 10, 10, 10, "NoMetrics"),
        (0.0, 10, 10, 1, "BelowTarget"),  # the floor
    ],
)
def test_hpa_by_hand(demand: float, replicas: int, ready: int, expected: int, reason: str):
    hpa = Hpa(RULES, 60.0)
    hpa.decide(1, np.array([7.0 * ready]), world(replicas, ready))  # long ago: what it found then is forgotten

    assert hpa.decide(99, np.array([demand]), world(replicas, ready)) == (expected, reason)


def test_hpa_takes_what_it_finds_for_recommended():
    # 42 are 6 at 70 %, and 10 run at first: they stay for 5 minutes.
    hpa, found = Hpa(RULES, 60.0), world(10)
    decided = [hpa.decide(step, np.array([42.0]), found)[0] for step in range(1, 8)]

    assert decided == [10] * 6 + [6]


def test_hpa_goes_down_after_five_minutes_and_says_why_not_earlier():
    run = replay(trace([84.0] * 6 + [42.0] * 10), WorldRules(10.0, 0.0), Hpa(WorldRules(10.0, 0.0), 60.0))
    first_low = 7  # the first decision that knows of the 42
    assert run.replicas[first_low : first_low + 6].tolist() == [12, 12, 12, 12, 12, 6]
    assert run.reasons[first_low] == "Stabilized"


def test_no_hpa_sleeps_where_the_floor_is_zero():
    # Nothing for 9 minutes, 84 from step 9 on: the one replica it kept sees them, and 84 / 7 = 12 are ordered.
    rules = WorldRules(10.0, 0.0, min_replicas=0)
    data = trace([20.0] + [0.0] * 8 + [84.0] * 3)
    for policy in (Hpa(rules, 60.0), Phpa(Hpa(rules, 60.0), 1_440)):
        run = replay(data, rules, policy)
        assert run.replicas[7:].tolist() == [1, 1, 1, 12, 12], policy.name


@given(
    st.lists(st.one_of(st.just(math.nan), st.just(0.0), st.floats(0.0, 900.0)), min_size=1, max_size=80),
    st.sampled_from([0.0, 60.0, 240.0]),
    st.sampled_from([0, 1, 3]),
)
def test_two_statements_of_hpa_agree(demand: list[float], startup: float, floor: int):
    """The shadow that the ledger runs and the policy here were written apart; they must tell the same story."""
    rules = WorldRules(10.0, startup, min_replicas=floor, max_replicas=50)
    policy = a_policy(min_replicas=floor, max_replicas=50)
    hpa, shadow = Hpa(rules, 60.0), BaselineState()
    state: World | None = None
    for step, value in enumerate(demand, start=1):
        reading = Missing(MissingReason.NO_DATA) if math.isnan(value) else Sample(value, 60.0 * step)
        shadow = advance(shadow, policy, reading, 10.0, startup, FleetPolicy({KEY: policy}), 60.0 * step)
        if shadow.replicas is None:
            continue
        if state is None:
            state = World.at_rest(shadow.replicas, rules.startup_steps(60.0))
        state.mature(step)
        wanted, _ = hpa.decide(step, np.array([value]), state)
        state.order(step, wanted)
        assert (state.replicas, state.ready) == (shadow.replicas, shadow.ready)


def test_keda_takes_the_ratio_over_all_replicas():
    # 10 of 12 ready: HPA sees 1.2 on the ready ones, KEDA's external metric sees 84 / 12 = 7.0, on target.
    assert Keda(RULES, 60.0).decide(1, np.array([84.0]), world(12, 10)) == (12, "AverageValue")
    assert Keda(RULES, 60.0).decide(1, np.array([105.0]), world(12, 10)) == (15, "AverageValue")


def test_keda_sleeps_after_the_cooldown_and_wakes():
    keda, rules = [], WorldRules(10.0, 0.0, min_replicas=0)
    policy = Keda(rules, 60.0)
    run = replay(trace([20.0, 20.0, 0, 0, 0, 0, 0, 0, 0, 0, 30.0, 30.0]), rules, policy)
    keda = run.replicas.tolist()
    assert keda[2] == 3  # 20 / 7
    assert keda[7] == 3  # idle since step 3 (the first that knows of 0): 240 s
    assert keda[8] == 0  # 300 s
    assert keda[11] == 1  # woken by the 30 of step 10


def test_phpa_repeats_yesterdays_rise_before_it_comes():
    day = [20.0] * 10 + [80.0] * 10
    rules = WorldRules(10.0, 0.0)
    run = replay(trace(day * 4), rules, Phpa(Hpa(rules, 60.0), len(day)))
    hpa = replay(trace(day * 4), rules, Hpa(rules, 60.0))
    rise = 3 * len(day) + 10
    assert hpa.ready[rise] * 10.0 < 80.0
    assert (run.replicas >= hpa.replicas).all()
    assert "Predicted" in run.reasons


def test_static_is_the_peak():
    plan = static_peak(trace([10.0, 95.0, 20.0]), RULES)
    assert plan.plan.tolist() == [10, 10, 10]


def test_clairvoyant_is_exact():
    assert clairvoyant(trace([10.0, 10.1, 95.0, math.nan, 5.0]), RULES).plan.tolist() == [1, 2, 10, 10, 1]


def test_oracle_orders_just_in_time():
    # Two steps of start-up: the 40 of step 5 is ordered at step 3, and dropped at step 6.
    plan = oracle(trace([10.0, 10.0, 10.0, 10.0, 10.0, 40.0, 10.0, 10.0]), RULES).plan
    assert plan.tolist() == [1, 1, 1, 4, 4, 4, 1, 1]


def test_oracle_keeps_through_a_short_gap_and_drops_through_a_long_one():
    short = oracle(trace([20.0, 10.0, 10.0, 20.0]), RULES).plan
    assert short.tolist() == [2, 2, 2, 2]  # a gap of two costs two, ordering anew costs two starting steps as well
    long = oracle(trace([20.0, 10.0, 10.0, 10.0, 10.0, 20.0]), RULES).plan
    assert long.tolist() == [2, 1, 1, 2, 2, 2]


def least_cost(need: list[int], lag: int) -> int:
    """Exhaustive: for each level the steps at which a replica is paid for, kept or ordered anew, the cheaper."""
    total = 0
    for level in range(1, max(need) + 1):
        at = [step for step, count in enumerate(need) if count >= level]
        total += len(at) + sum(min(after - before - 1, lag) for before, after in itertools.pairwise(at))
        total += min(lag, at[0])  # the first order cannot be earlier than step 0
    return total


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30), st.integers(0, 5))
def test_no_plan_without_a_violation_is_cheaper_than_oracles(need: list[int], lag: int):
    rules = WorldRules(10.0, lag * 60.0)
    data = trace([10.0 * count for count in need])
    plan = oracle(data, rules)
    assert int(plan.plan.sum()) == least_cost(need, lag)
    run = replay(data, rules, plan)
    # Only what nobody could have ordered in time (the world begins with one replica) is late.
    assert not violating(run, rules)[lag:].any()


@pytest.mark.parametrize("allowed", [0.0, 0.02, 0.2])
def test_the_tuned_hpa_meets_what_it_is_allowed_at_the_least_cost(allowed: float):
    rng = np.random.default_rng(7)
    minutes = np.arange(3 * 1_440)
    demand = 100.0 + 60.0 * np.sin(minutes / 229.0) + rng.normal(0.0, 8.0, len(minutes))
    data = trace(np.maximum(demand, 1.0))
    rules = WorldRules(10.0, 120.0, history_steps=60)
    found = tuned_hpa(data, rules, allowed)
    assert found is not None
    _, best, target = found
    assert best.violation_fraction <= allowed
    looser = score(replay(data, rules, Hpa(rules, 60.0, target + 0.05)), rules)
    assert looser.violation_fraction > allowed or looser.replica_hours >= best.replica_hours


def test_no_target_is_found_where_none_suffices():
    demand = [10.0] * 30 + [10_000.0] + [10.0] * 30
    assert tuned_hpa(trace(demand), RULES, 0.0) is None
