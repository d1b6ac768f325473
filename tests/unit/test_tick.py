from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from kcloud_autoscale.domain.capacity import CapacityAtLeast
from kcloud_autoscale.domain.decision import ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.observation import CapacityHistory, MetricObservation, Observation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy, ForecastPolicy, MetricKind, MetricTarget
from kcloud_autoscale.domain.reading import AtLeast, MissingReason, Sample
from kcloud_autoscale.domain.series import DemandHistory, Forecast
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.tick import FleetState, ForecastRequest, note_writes, tick
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


class Recording:
    """A forecaster that is told things and says nothing."""

    def __init__(self, seen_until: dict[WorkloadKey, float] | None = None) -> None:
        self.until = seen_until or {}
        self.again: set[WorkloadKey] = set()
        self.learned: list[WorkloadKey] = []
        self.requests: list[ForecastRequest] = []
        self.forgotten: list[WorkloadKey] = []

    def seen_until(self) -> dict[WorkloadKey, float]:
        return self.until

    def to_reread(self) -> set[WorkloadKey]:
        return self.again

    def learn(self, histories: Mapping[WorkloadKey, DemandHistory]) -> None:
        self.learned += list(histories)

    def forecast(self, requests: Sequence[ForecastRequest], now_seconds: float) -> dict[WorkloadKey, Forecast]:
        self.requests += list(requests)
        return {}

    def forget(self, keys: Sequence[WorkloadKey]) -> None:
        self.forgotten += list(keys)


OTHER = WorkloadKey("shop", "other")


@pytest.mark.parametrize(
    ("seen_until", "lag_seconds"),
    [({}, 0.0), ({KEY: NOW}, 0.0), ({KEY: NOW - 10.0}, 90.0), ({KEY: NOW - 70.0}, 90.0)],
)
def test_the_horizon_is_a_start_up_a_cycle_and_what_the_last_step_lags(seen_until, lag_seconds):
    forecaster = Recording(seen_until)
    policy = FleetPolicy({KEY: a_policy(lead_time_seconds=120.0)}, cycle_seconds=30.0, step_seconds=60.0)
    tick(Observation(NOW, {KEY: seen(some_pods(2), 15.0)}), policy, FleetState(forecaster), NOW)

    assert [(one.key, one.horizon_seconds) for one in forecaster.requests] == [(KEY, 150.0 + lag_seconds)]


def test_a_start_up_that_is_not_known_is_the_default():
    forecaster = Recording()
    policy = FleetPolicy({KEY: a_policy()}, cycle_seconds=30.0, default_lead_time_seconds=200.0)
    result = tick(Observation(NOW, {KEY: seen(some_pods(2), 15.0)}), policy, FleetState(forecaster), NOW)

    assert forecaster.requests[0].horizon_seconds == 230.0
    assert result.fleet.decisions[0].lead_time_seconds == 200.0


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, True),
        ({"mode": Mode.RECOMMEND}, True),
        ({"mode": Mode.OFF}, False),
        ({"forecast": ForecastPolicy(enabled=False)}, False),
    ],
)
def test_a_forecast_is_asked_for_where_it_can_matter(changes, asked):
    forecaster = Recording()
    policy = FleetPolicy({KEY: a_policy(**changes)})
    tick(Observation(NOW, {KEY: seen(some_pods(2), 15.0)}), policy, FleetState(forecaster), NOW)
    assert bool(forecaster.requests) is asked


def test_a_workload_that_is_gone_is_forgotten_and_no_other():
    forecaster = Recording()
    both = FleetPolicy({KEY: a_policy(), OTHER: a_policy(key=OTHER)})
    looks = {KEY: seen(some_pods(2), 15.0), OTHER: seen(some_pods(2), 15.0)}
    state = tick(Observation(NOW, looks), both, FleetState(forecaster), NOW).state
    assert (set(state.workloads), forecaster.forgotten) == ({KEY, OTHER}, [])
    state = tick(Observation(NOW + 60.0, looks), FleetPolicy({KEY: a_policy()}), state, NOW + 60.0).state
    assert (set(state.workloads), forecaster.forgotten) == ({KEY}, [OTHER])


def test_a_history_that_is_wanted_again_is_read_from_its_beginning():
    forecaster = Recording({KEY: NOW, OTHER: NOW - 60.0})
    forecaster.again = {OTHER}
    assert FleetState(forecaster).seen_until() == {KEY: NOW}


def test_only_histories_that_were_read_are_taught():
    forecaster = Recording()
    policy = FleetPolicy({KEY: a_policy(), OTHER: a_policy(key=OTHER)})
    fed = replace(seen(some_pods(2), 15.0), demand_history=DemandHistory(NOW - 60.0, 60.0, np.array([15.0])))
    tick(Observation(NOW, {KEY: fed, OTHER: seen(some_pods(1))}), policy, FleetState(forecaster), NOW)
    assert forecaster.learned == [KEY]


def test_what_is_found_at_adoption_is_remembered_for_good():
    state = FleetState(Recording())
    for minute, count in enumerate((3, 5, 2)):
        now = NOW + 60.0 * minute
        look = Observation(now, {KEY: seen(some_pods(count), 15.0)})
        state = tick(look, FleetPolicy({KEY: a_policy()}), state, now).state
    assert state.workloads[KEY].original_replicas == 3


def test_a_workload_that_was_not_looked_at_yet_is_not_decided():
    result = tick(Observation(NOW, {}), FleetPolicy({KEY: a_policy()}), FleetState(Recording()), NOW)
    (decision,) = result.fleet.decisions
    assert (decision.desired_replicas, decision.hold_reason, result.fleet.actions) == (None, "TargetNotFound", ())
    assert result.state.workloads[KEY].original_replicas is None


def test_what_became_of_the_writes_goes_into_the_memory_of_each():
    policy = FleetPolicy({KEY: a_policy(), OTHER: a_policy(key=OTHER)})
    looks = {KEY: seen(some_pods(2), 40.0), OTHER: seen(some_pods(2), 40.0)}
    result = tick(Observation(NOW, looks), policy, FleetState(Recording()), NOW)
    first, second = result.fleet.actions
    assert (first.to_replicas, second.to_replicas) == (6, 6)  # 40 at 10 each and 70 %
    strange = replace(first, key=WorkloadKey("shop", "gone"))
    results = [ScaleResult(first, ScaleOutcome.FAILED, "500"), ScaleResult(second, ScaleOutcome.DEFERRED)]
    note_writes(result.state, [*results, ScaleResult(strange, ScaleOutcome.REFUSED)], NOW)
    decided = {key: state.decided for key, state in result.state.workloads.items()}
    # None was written, so that a fault of the server is nobody's own.
    assert decided[first.key].refusal is None
    assert (decided[first.key].last_desired, decided[second.key].last_desired) == (6, 2)
    assert (decided[second.key].waiting_since_seconds, decided[second.key].scale_events) == (NOW, ())
    note_writes(result.state, [results[0], ScaleResult(second, ScaleOutcome.WRITTEN, "", 6)], NOW)
    assert result.state.workloads[first.key].decided.refusal is not None
    assert result.state.workloads[second.key].decided.refusal is None
