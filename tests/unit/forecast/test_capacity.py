from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from hack.load.queueing import Replica, flow_over, latency
from kcloud_autoscale.domain.capacity import Capacity, CapacityAtLeast, KnownCapacity
from kcloud_autoscale.domain.observation import CapacityHistory
from kcloud_autoscale.domain.policy import MetricKind, MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.state import CapacityState
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.capacity import (
    FEWEST_PAIRS,
    MOST_PAIRS,
    REFIT_SECONDS,
    estimate,
    learn,
    learned_capacity,
)

STEP = 60.0
DAY_STEPS = 1_440
LATENCY = MetricTarget("latency", MetricKind.VALUE, 0.5, 0.95)
POLICY = WorkloadPolicy(WorkloadKey("a", "b"), max_replicas=50, targets=(LATENCY,))


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival waits in M/M/c with `offered` Erlang (Erlang B by its recursion, then C)."""
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


def p95_latency(load_per_replica: float, slots: int = 8, service_rate: float = 4.0) -> float:
    """95th percentile of waiting plus the 95th percentile of service, seconds, of one replica with 8 slots.

    Waiting exceeds t with probability C * exp(-(c mu - lambda) t).
    """
    offered = load_per_replica / service_rate
    if offered >= slots:
        return 30.0
    waits = erlang_c(slots, offered)
    waiting = max(0.0, math.log(waits / 0.05)) / (slots * service_rate - load_per_replica) if waits > 0.0 else 0.0
    return waiting + 0.25 * math.log(20.0) / 2.0


def true_capacity(threshold: float) -> float:
    return float(brentq(lambda load: p95_latency(load) - threshold, 1.0, 31.99))


def observed(
    loads: np.ndarray, start: float = 0.0, ready: float = 6.0, noise: float = 0.2, slower: float = 1.0, seed: int = 0
) -> CapacityHistory:
    rng = np.random.default_rng(seed)
    latency = np.array([slower * p95_latency(load * slower) for load in loads]) * rng.lognormal(0.0, noise, len(loads))
    return CapacityHistory(start, STEP, loads * ready, np.full(len(loads), ready), latency, "latency")


def learned(states: tuple[CapacityState, ...], policy: WorkloadPolicy = POLICY) -> float:
    found = estimate(states, policy)
    assert isinstance(found, KnownCapacity)
    assert found.source == "learned"
    return found.per_replica


def uniform_loads(low: float, high: float, steps: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, steps)


def fitted(*pieces: CapacityHistory, policy: WorkloadPolicy = POLICY) -> tuple[CapacityState, ...]:
    states: tuple[CapacityState, ...] = ()
    for piece in pieces:
        states = learn(states, (piece,), policy, piece.start_seconds + STEP * len(piece.metric))
    return states


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.8])
def test_the_truth_of_a_queueing_model_is_found(threshold: float):
    policy = replace(POLICY, targets=(replace(LATENCY, threshold=threshold),))
    assert learned(fitted(observed(uniform_loads(4.0, 31.5, 14 * DAY_STEPS)), policy=policy), policy) == pytest.approx(
        true_capacity(threshold), rel=0.05
    )


def test_a_daily_rhythm_that_seldom_reaches_the_threshold_suffices():
    steps = np.arange(14 * DAY_STEPS)
    loads = (
        16.0 + 12.0 * np.sin(2.0 * np.pi * steps / DAY_STEPS) + np.random.default_rng(3).normal(0.0, 1.0, len(steps))
    )
    capacity = learned(fitted(observed(np.clip(loads, 0.5, 31.5))), POLICY)
    assert capacity == pytest.approx(true_capacity(0.5), rel=0.06)


def test_outliers_and_gaps_move_nothing():
    piece = observed(uniform_loads(4.0, 31.5, 10 * DAY_STEPS))
    metric = piece.metric.copy()
    rng = np.random.default_rng(5)
    metric[rng.random(len(metric)) < 0.2] = np.nan
    metric[rng.random(len(metric)) < 0.05] = 60.0
    capacity = learned(fitted(replace(piece, metric=metric)), POLICY)
    assert capacity == pytest.approx(true_capacity(0.5), rel=0.06)


def test_a_threshold_never_approached_gives_only_a_lower_bound():
    # At 16/s and less p95 stays at 0.37 s, far under the 0.5 s allowed.
    found = estimate(fitted(observed(uniform_loads(4.0, 16.0, 3 * DAY_STEPS), noise=0.02)), POLICY)
    assert isinstance(found, CapacityAtLeast)
    assert found.per_replica == pytest.approx(16.0, rel=0.03)


def test_a_threshold_that_was_nearly_reached_was_not_crossed():
    # At 16/s p95 is 0.37 s; 0.38 s are allowed: within a thirtieth, and still no load has missed it.
    piece = observed(uniform_loads(4.0, 16.0, 3 * DAY_STEPS), noise=0.0)
    nearly = 1.03 * piece.metric.max()
    policy = replace(POLICY, targets=(replace(LATENCY, threshold=nearly),))
    # Every pair met it, so that the largest load is the bound, and no load above it counts as missed.
    largest = float((piece.demand / piece.ready_replicas).max())
    assert estimate(fitted(piece, policy=policy), policy) == CapacityAtLeast(largest)


def test_a_bound_needs_every_objective_to_be_met():
    queue = MetricTarget("queue", MetricKind.AVERAGE_VALUE, 2.0)
    policy = replace(POLICY, targets=(LATENCY, queue))
    met = CapacityState("latency", proven_per_replica=9.0)
    assert estimate((met, CapacityState("queue", proven_per_replica=7.0)), policy) == CapacityAtLeast(7.0)
    # The queue was too long at every load seen: what latency has met says nothing of what a replica serves.
    assert estimate((met, CapacityState("queue")), policy) is None


@pytest.mark.parametrize(
    ("proven", "known"),
    # Learned at 10: a little more that is fine moves it, much more ends it, and less says nothing.
    [(None, 10.0), (8.0, 10.0), (10.8, 10.8), (11.5, None)],
)
def test_what_was_learned_ends_where_much_larger_loads_are_fine(proven: float | None, known: float | None):
    state = CapacityState("latency", crossed_per_replica=10.0, proven_per_replica=proven)
    assert learned_capacity(state) == known


def test_a_faster_version_whose_limit_was_never_reached_is_only_bounded():
    old = observed(uniform_loads(4.0, 25.0, DAY_STEPS), slower=1.25)
    new = observed(uniform_loads(4.0, 16.0, 15 * DAY_STEPS, seed=4), start=DAY_STEPS * STEP, noise=0.02)
    assert learned(fitted(old)) == pytest.approx(12.7, rel=0.05)
    found = estimate(fitted(old, new), POLICY)
    assert isinstance(found, CapacityAtLeast)
    assert found.per_replica == pytest.approx(16.0, rel=0.03)


@st.composite
def queueing(draw: st.DrawFn) -> CapacityHistory:
    """What a service has shown: any replica, any range of loads, with and without overload, noise and gaps."""
    replica = Replica(
        capacity_per_second=draw(st.floats(0.5, 200.0)),
        slots=draw(st.integers(1, 32)),
        alone_fraction=draw(st.floats(0.1, 1.0)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps, ready = draw(st.integers(60, 600)), rng.integers(1, 8, 600)
    peak = draw(st.floats(0.05, 1.3))
    ready = ready[:steps].astype(np.float64)
    demand = ready * replica.capacity_per_second * rng.uniform(0.02, peak, steps)
    waited = latency(replica, flow_over(replica, demand, ready, STEP)).quantile_seconds(0.95)
    waited *= rng.lognormal(0.0, draw(st.floats(0.0, 0.5)), steps)
    waited[rng.random(steps) < draw(st.floats(0.0, 0.3))] = np.nan
    return CapacityHistory(0.0, STEP, demand, ready, waited, "latency")


@given(piece=queueing(), beyond=st.floats(1.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_a_goal_that_every_measured_step_met_is_no_capacity_but_a_bound(piece: CapacityHistory, beyond: float):
    found = capacity_for(piece, beyond * float(np.nanmax(piece.metric, initial=0.0)))
    known = np.isfinite(piece.metric)
    if known.sum() < FEWEST_PAIRS:
        assert found is None
        return
    assert found == CapacityAtLeast(float((piece.demand / piece.ready_replicas)[known].max()))


@given(piece=queueing(), goals=st.tuples(st.floats(0.01, 1.5), st.floats(0.01, 1.5)))
@settings(max_examples=150, deadline=None)
def test_a_looser_goal_never_gives_less_capacity(piece: CapacityHistory, goals: tuple[float, float]):
    largest = float(np.nanmax(piece.metric, initial=1e-6))
    tight, loose = (capacity_for(piece, goal * largest) for goal in sorted(goals))
    assert (loose.per_replica if loose else 0.0) >= (tight.per_replica if tight else 0.0) * (1.0 - 1e-12)
    assert not (isinstance(tight, CapacityAtLeast) and isinstance(loose, KnownCapacity))


def capacity_for(piece: CapacityHistory, goal_seconds: float) -> Capacity | None:
    policy = replace(POLICY, targets=(replace(LATENCY, threshold=goal_seconds),))
    return estimate(fitted(piece, policy=policy), policy)


def test_a_threshold_out_of_reach_of_the_smallest_load_gives_no_capacity():
    policy = replace(POLICY, targets=(replace(LATENCY, threshold=0.1),))
    assert estimate(fitted(observed(uniform_loads(4.0, 31.0, DAY_STEPS)), policy=policy), policy) is None


def test_a_few_pairs_give_nothing():
    assert estimate(fitted(observed(uniform_loads(4.0, 31.5, 59))), POLICY) is None


def test_no_ready_replica_and_no_demand_are_no_pairs():
    piece = replace(observed(uniform_loads(4.0, 31.5, 100)), ready_replicas=np.zeros(100))
    assert estimate(fitted(piece), POLICY) is None
    piece = replace(observed(uniform_loads(4.0, 31.5, 100)), demand=np.zeros(100))
    assert estimate(fitted(piece), POLICY) is None


def test_a_slower_version_is_relearned_within_a_day():
    old = observed(uniform_loads(4.0, 31.5, 10 * DAY_STEPS))
    # A fifth slower, and observed for sixteen hours at up to the old capacity.
    new = observed(uniform_loads(8.0, 20.9, 16 * 60, seed=8), start=10 * DAY_STEPS * STEP, slower=1.25)
    before = learned(fitted(old), POLICY)
    after = learned(fitted(old, new), POLICY)
    assert before == pytest.approx(true_capacity(0.5), rel=0.06)
    # p95 of the slower one is 1.25 * p95(1.25 load): 0.5 s where p95(1.25 load) is 0.4 s.
    assert after == pytest.approx(true_capacity(0.4) / 1.25, rel=0.1)


def test_a_version_too_slow_at_any_load_seen_brings_the_capacity_down():
    old = observed(uniform_loads(8.0, 31.5, 10 * DAY_STEPS))
    new = observed(uniform_loads(8.0, 20.9, 12 * 60, seed=8), start=10 * DAY_STEPS * STEP, slower=2.0)
    after = learned(fitted(old, new), POLICY)
    assert after == pytest.approx(8.0, rel=0.1)


def test_a_faster_version_is_believed_once_larger_loads_are_seen_to_be_fine():
    old = observed(uniform_loads(4.0, 25.0, 5 * DAY_STEPS), slower=1.25)
    new = observed(uniform_loads(4.0, 25.0, DAY_STEPS, seed=9), start=5 * DAY_STEPS * STEP)
    before = learned(fitted(old), POLICY)
    after = learned(fitted(old, new), POLICY)
    assert before == pytest.approx(true_capacity(0.4) / 1.25, rel=0.08)
    assert after == pytest.approx(true_capacity(0.5), rel=0.08)


def test_what_was_learned_stands_when_the_evidence_above_it_has_aged_away():
    high = observed(uniform_loads(4.0, 31.5, DAY_STEPS))
    low = observed(uniform_loads(4.0, 16.0, 15 * DAY_STEPS, seed=2), start=DAY_STEPS * STEP)
    assert learned(fitted(high, low)) == learned(fitted(high))


def test_memory_is_bounded_and_keeps_the_upper_loads():
    states = fitted(observed(uniform_loads(0.01, 31.5, 14 * DAY_STEPS)))
    assert len(states[0].metric) <= MOST_PAIRS
    assert states[0].load_per_replica.max() > 31.0
    assert (np.diff(states[0].at_seconds) > 0.0).all()


def test_a_step_is_taken_in_once():
    piece = observed(uniform_loads(4.0, 31.5, 40))
    once = fitted(piece)
    again = learn(once, (piece,), POLICY, 1e6)
    assert len(again[0].metric) == len(once[0].metric)


def test_refits_wait_five_minutes_and_nothing_new_costs_nothing():
    states = fitted(observed(uniform_loads(4.0, 31.5, 1_000)))
    now = 1_000 * STEP
    soon = learn(states, (observed(uniform_loads(4.0, 31.5, 1), start=now),), POLICY, now + 60.0)
    later = learn(soon, (observed(uniform_loads(4.0, 31.5, 1), start=now + 60.0),), POLICY, now + REFIT_SECONDS)
    assert soon[0].fitted_seconds == states[0].fitted_seconds
    assert later[0].fitted_seconds == now + REFIT_SECONDS
    assert learn(later, (), POLICY, now + 9_999.0) is later


def test_another_threshold_is_fitted_at_once():
    states = fitted(observed(uniform_loads(4.0, 31.5, 5_000)))
    policy = replace(POLICY, targets=(replace(LATENCY, threshold=0.8),))
    piece = observed(uniform_loads(4.0, 31.5, 1), start=5_000 * STEP)
    capacity = learned(learn(states, (piece,), policy, 5_000 * STEP + 60.0), policy)
    assert capacity == pytest.approx(true_capacity(0.8), rel=0.06)


def test_the_user_knows_better():
    assert estimate((), replace(POLICY, capacity_per_replica=12.0)) == KnownCapacity(12.0)


def test_a_requests_target_is_a_capacity_unless_its_own_query_counts_something_else():
    requests = MetricTarget("requests", MetricKind.AVERAGE_VALUE, 7.0)
    assert estimate((), replace(POLICY, targets=(requests,))) == KnownCapacity(7.0)
    assert estimate((), replace(POLICY, targets=(replace(requests, query="x"),))) is None


def test_the_smallest_of_several_targets_wins():
    known = CapacityState("latency", crossed_per_replica=9.0)
    requests = MetricTarget("requests", MetricKind.AVERAGE_VALUE, 7.0)
    assert estimate((known,), replace(POLICY, targets=(LATENCY, requests))) == KnownCapacity(7.0)
    assert estimate((known,), replace(POLICY, targets=(LATENCY, replace(requests, threshold=11.0)))) == KnownCapacity(
        9.0, "learned"
    )


def test_without_a_target_nothing_is_known():
    assert estimate((), replace(POLICY, targets=())) is None


def test_a_target_that_is_gone_is_forgotten():
    states = fitted(observed(uniform_loads(4.0, 31.5, 1_000)))
    queue = MetricTarget("queue", MetricKind.AVERAGE_VALUE, 2.0)
    piece = replace(observed(uniform_loads(4.0, 31.5, 10), start=1_000 * STEP), metric_name="queue")
    after = learn(states, (piece,), replace(POLICY, targets=(queue,)), 1_010 * STEP)
    assert [state.metric_name for state in after] == ["queue"]
