from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kcloud_autoscale.domain.capacity import CapacityAtLeast
from kcloud_autoscale.domain.observation import CapacityHistory, MetricObservation, Observation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy, MetricKind, MetricTarget
from kcloud_autoscale.domain.reading import AtLeast, MissingReason, Sample
from kcloud_autoscale.domain.workload import Mode
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.tick import FleetState, tick
from tests.builders.accounting import KEY, NOW, a_policy, seen, some_pods


def starved() -> WorkloadObservation:
    """Two replicas of 10 per second each where 95 are asked for."""
    return seen(some_pods(2), demand=95.0)


@pytest.mark.parametrize(
    ("mode", "conflict", "counted"),
    [(Mode.AUTO, None, True), (Mode.RECOMMEND, None, False), (Mode.OFF, None, False), (Mode.AUTO, "hpa/llm", False)],
)
def test_only_what_is_missed_with_a_count_of_ours_is_counted(mode: Mode, conflict: str | None, counted: bool):
    policy = FleetPolicy({KEY: a_policy(mode=mode)})
    state = FleetState(LiveForecaster())
    for step in range(3):
        now = NOW + 60.0 * step
        observation = Observation(now, {KEY: replace(starved(), conflict=conflict)})
        state = tick(observation, policy, state, now).state

    level = state.workloads[KEY].level
    assert level is not None
    assert (level.misses.own > 0.0) is counted


def history(latency_seconds: float) -> CapacityHistory:
    """Loads of 1 to 10 each on two replicas for a day and a half, all of one latency."""
    loads = np.linspace(2.0, 20.0, 432)
    return CapacityHistory(NOW - 432 * 300.0, 300.0, loads, np.full(432, 2.0), np.full(432, latency_seconds), "latency")


def test_a_load_above_what_was_seen_to_be_fine_is_no_miss_and_orders_nothing():
    latency = MetricTarget("latency", MetricKind.VALUE, 0.2, 0.95)
    workload = a_policy(capacity_per_replica=None, targets=(latency,))
    reading = MetricObservation("latency", Sample(0.19, NOW))
    state, now = FleetState(LiveForecaster()), NOW
    for step in range(5):
        now = NOW + 60.0 * step
        look = replace(starved(), metrics=(replace(reading, total=Sample(0.19, now)),), demand=Sample(95.0, now))
        look = replace(look, capacity_history=(history(0.19),) if step == 0 else ())
        result = tick(Observation(now, {KEY: look}), FleetPolicy({KEY: workload}), state, now)
        state = result.state

    # 47 each where 10 have been seen: fine is what the latency says it is.
    (decision,) = result.fleet.decisions
    assert decision.capacity == CapacityAtLeast(10.0)
    assert (decision.desired_replicas, result.fleet.actions) == (2, ())
    assert result.accounts[KEY].ledger.actual.demand_missed == 0.0
    assert state.workloads[KEY].level is None


def test_a_lower_bound_is_not_settled_as_if_it_were_the_demand():
    """Two minutes at 15/s known, then five in which at least 4/s were told: served, missed, score and shadow stand."""
    policy = FleetPolicy({KEY: a_policy()})
    state = FleetState(LiveForecaster())
    bound = AtLeast(4.0, NOW, "demand", MissingReason.PARTIAL_SAMPLES, "1 of 2 Ready pods have samples")
    ledgers, shadows = [], []
    for step in range(8):
        now = NOW + 60.0 * step
        look = replace(seen(some_pods(2), demand=15.0), demand=bound if step > 2 else Sample(15.0, NOW))
        result = tick(Observation(now, {KEY: look}), policy, state, now)
        state, account = result.state, result.accounts[KEY]
        ledgers.append(account.ledger.actual)
        shadows.append(state.workloads[KEY].baseline.replicas)
        assert (account.score is None) is (step > 2)

    assert ledgers[2].demand_served == pytest.approx(2 * 60.0 * 15.0)
    assert ledgers[-1].demand_served == ledgers[2].demand_served
    assert ledgers[-1].demand_missed == ledgers[2].demand_missed
    assert set(shadows[2:]) == {shadows[2]}
