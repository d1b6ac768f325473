from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from kcloud_autoscale.domain.observation import CapacityHistory
from kcloud_autoscale.domain.policy import MetricKind, MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.state import CapacityState
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.capacity import MOST_PAIRS, REFIT_SECONDS, estimate, learn

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
    capacity, source = estimate(fitted(observed(uniform_loads(4.0, 31.5, 14 * DAY_STEPS)), policy=policy), policy)
    assert source == "learned"
    assert capacity == pytest.approx(true_capacity(threshold), rel=0.05)


def test_a_daily_rhythm_that_seldom_reaches_the_threshold_suffices():
    steps = np.arange(14 * DAY_STEPS)
    loads = (
        16.0 + 12.0 * np.sin(2.0 * np.pi * steps / DAY_STEPS) + np.random.default_rng(3).normal(0.0, 1.0, len(steps))
    )
    capacity, _ = estimate(fitted(observed(np.clip(loads, 0.5, 31.5))), POLICY)
    assert capacity == pytest.approx(true_capacity(0.5), rel=0.06)


def test_outliers_and_gaps_move_nothing():
    piece = observed(uniform_loads(4.0, 31.5, 10 * DAY_STEPS))
    metric = piece.metric.copy()
    rng = np.random.default_rng(5)
    metric[rng.random(len(metric)) < 0.2] = np.nan
    metric[rng.random(len(metric)) < 0.05] = 60.0
    capacity, _ = estimate(fitted(replace(piece, metric=metric)), POLICY)
    assert capacity == pytest.approx(true_capacity(0.5), rel=0.06)


def test_a_threshold_never_approached_gives_only_a_lower_bound():
    # At 16/s and less p95 stays at 0.37 s, under nine tenths of the 0.5 s allowed.
    states = fitted(observed(uniform_loads(4.0, 16.0, 3 * DAY_STEPS), noise=0.02))
    assert estimate(states, POLICY) == (None, "lower-bound")
    assert states[0].proven_per_replica == pytest.approx(16.0, rel=0.03)


def test_a_threshold_out_of_reach_of_the_smallest_load_gives_no_capacity():
    policy = replace(POLICY, targets=(replace(LATENCY, threshold=0.1),))
    assert estimate(fitted(observed(uniform_loads(4.0, 31.0, DAY_STEPS)), policy=policy), policy) == (None, "unknown")


def test_a_few_pairs_give_nothing():
    assert estimate(fitted(observed(uniform_loads(4.0, 31.5, 59))), POLICY) == (None, "unknown")


def test_no_ready_replica_and_no_demand_are_no_pairs():
    piece = replace(observed(uniform_loads(4.0, 31.5, 100)), ready_replicas=np.zeros(100))
    assert estimate(fitted(piece), POLICY) == (None, "unknown")
    piece = replace(observed(uniform_loads(4.0, 31.5, 100)), demand=np.zeros(100))
    assert estimate(fitted(piece), POLICY) == (None, "unknown")


def test_a_slower_version_is_relearned_within_a_day():
    old = observed(uniform_loads(4.0, 31.5, 10 * DAY_STEPS))
    # A fifth slower, and observed for sixteen hours at up to the old capacity.
    new = observed(uniform_loads(8.0, 20.9, 16 * 60, seed=8), start=10 * DAY_STEPS * STEP, slower=1.25)
    before, _ = estimate(fitted(old), POLICY)
    after, _ = estimate(fitted(old, new), POLICY)
    assert before == pytest.approx(true_capacity(0.5), rel=0.06)
    # p95 of the slower one is 1.25 * p95(1.25 load): 0.5 s where p95(1.25 load) is 0.4 s.
    assert after == pytest.approx(true_capacity(0.4) / 1.25, rel=0.1)


def test_a_version_too_slow_at_any_load_seen_brings_the_capacity_down():
    old = observed(uniform_loads(8.0, 31.5, 10 * DAY_STEPS))
    new = observed(uniform_loads(8.0, 20.9, 12 * 60, seed=8), start=10 * DAY_STEPS * STEP, slower=2.0)
    after, _ = estimate(fitted(old, new), POLICY)
    assert after == pytest.approx(8.0, rel=0.1)


def test_a_faster_version_is_believed_once_larger_loads_are_seen_to_be_fine():
    old = observed(uniform_loads(4.0, 25.0, 5 * DAY_STEPS), slower=1.25)
    new = observed(uniform_loads(4.0, 25.0, DAY_STEPS, seed=9), start=5 * DAY_STEPS * STEP)
    before, _ = estimate(fitted(old), POLICY)
    after, _ = estimate(fitted(old, new), POLICY)
    assert before == pytest.approx(true_capacity(0.4) / 1.25, rel=0.08)
    assert after == pytest.approx(true_capacity(0.5), rel=0.08)


def test_what_was_learned_stands_when_the_evidence_above_it_has_aged_away():
    high = observed(uniform_loads(4.0, 31.5, DAY_STEPS))
    low = observed(uniform_loads(4.0, 16.0, 15 * DAY_STEPS, seed=2), start=DAY_STEPS * STEP)
    learned, _ = estimate(fitted(high), POLICY)
    assert estimate(fitted(high, low), POLICY) == (learned, "learned")


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
    capacity, _ = estimate(learn(states, (piece,), policy, 5_000 * STEP + 60.0), policy)
    assert capacity == pytest.approx(true_capacity(0.8), rel=0.06)


def test_the_user_knows_better():
    assert estimate((), replace(POLICY, capacity_per_replica=12.0)) == (12.0, "spec")


def test_a_requests_target_is_a_capacity_unless_its_own_query_counts_something_else():
    requests = MetricTarget("requests", MetricKind.AVERAGE_VALUE, 7.0)
    assert estimate((), replace(POLICY, targets=(requests,))) == (7.0, "spec")
    assert estimate((), replace(POLICY, targets=(replace(requests, query="x"),))) == (None, "unknown")


def test_the_smallest_of_several_targets_wins():
    learned = CapacityState("latency", capacity_per_replica=9.0)
    requests = MetricTarget("requests", MetricKind.AVERAGE_VALUE, 7.0)
    assert estimate((learned,), replace(POLICY, targets=(LATENCY, requests))) == (7.0, "spec")
    assert estimate((learned,), replace(POLICY, targets=(LATENCY, replace(requests, threshold=11.0)))) == (
        9.0,
        "learned",
    )


def test_without_a_target_nothing_is_known():
    assert estimate((), replace(POLICY, targets=())) == (None, "unknown")


def test_a_target_that_is_gone_is_forgotten():
    states = fitted(observed(uniform_loads(4.0, 31.5, 1_000)))
    queue = MetricTarget("queue", MetricKind.AVERAGE_VALUE, 2.0)
    piece = replace(observed(uniform_loads(4.0, 31.5, 10), start=1_000 * STEP), metric_name="queue")
    after = learn(states, (piece,), replace(POLICY, targets=(queue,)), 1_010 * STEP)
    assert [state.metric_name for state in after] == ["queue"]
