"""Zero replicas: who may sleep, what wakes, and whose zero it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kcloud_autoscale.decide.record import state_after_write
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.observation import MetricObservation
from kcloud_autoscale.domain.policy import (
    GATEWAY_PRESETS,
    Caps,
    DemandSource,
    Fallback,
    MetricKind,
    MetricTarget,
    RatePolicy,
    ScalingRules,
)
from kcloud_autoscale.domain.reading import AtLeast, Missing, MissingReason
from kcloud_autoscale.observe.presets import PRESETS
from tests.builders.deciding import GPU, LATENCY, NOW, UNKNOWN, a_case, condition, decide, decide_one, metric, settled

GATEWAY = DemandSource(query="sum(rate(gateway_requests_total[1m]))")
QUEUE = MetricTarget("queue", MetricKind.AVERAGE_VALUE, 5.0, query="sum(queue_depth)")
GONE = Missing(MissingReason.NO_DATA, "no series")
IDLE_LONG = NOW - 3_600.0


def sleepy(
    demand: Any, replicas: int, forecast: Any = None, state: dict[str, Any] | None = None, **policy: Any
) -> Case:
    """May have none at all; its load is told by a gateway, and it has been idle for an hour."""
    source = policy.pop("source", GATEWAY)
    remembered = settled(**({"idle_since_seconds": IDLE_LONG} | (state or {})))
    case = a_case(demand, replicas, forecast, state=remembered, **({"min_replicas": 0} | policy))
    return replace(case, policy=replace(case.policy, demand=source))


def count(case: Case) -> int | None:
    return decide_one(case).desired_replicas


@pytest.mark.parametrize("forecast", [None, 0.0, 0.01])
def test_the_last_replica_goes_after_the_cooldown(forecast):
    """0.01 per second are less than a request in a minute: a quantile of nothing is never quite 0."""
    assert count(sleepy(0.0, 3, forecast)) == 0
    fresh = decide(sleepy(0.0, 3, forecast, {"idle_since_seconds": NOW - 299.0}))
    assert fresh.fleet.decisions[0].desired_replicas == 1
    assert fresh.fleet.decisions[0].steps[2].reason in ("CoolingDown", "AsWanted")
    assert count(sleepy(0.0, 3, forecast, {"idle_since_seconds": NOW - 300.0})) == 0
    assert count(sleepy(0.0, 3, forecast, {"idle_since_seconds": NOW - 60.0}, cooldown_seconds=60.0)) == 0


def test_the_quiet_time_begins_with_the_first_quiet_tick_and_ends_with_a_request():
    first = decide(sleepy(0.0, 1, 0.0, {"idle_since_seconds": None})).states[0]
    assert first.idle_since_seconds == NOW
    assert decide(sleepy(0.001, 1, 0.0)).states[0].idle_since_seconds is None
    assert decide(sleepy(UNKNOWN, 1, 0.0)).states[0].idle_since_seconds is None
    bound = AtLeast(0.0, NOW, "", MissingReason.PARTIAL_SAMPLES, "")
    assert decide(sleepy(bound, 1, 0.0)).states[0].idle_since_seconds is None


def test_a_little_demand_or_a_forecast_of_some_keeps_the_last_replica():
    assert count(sleepy(0.001, 1, 0.0)) == 1
    assert count(sleepy(0.0, 1, 0.5)) == 1


def test_minreplicas_1_stays_1():
    assert count(sleepy(0.0, 1, 0.0, min_replicas=1)) == 1


@pytest.mark.parametrize(
    ("demand", "forecast", "kappa", "wanted"),
    [
        (0.001, None, 10.0, 1),
        (0.001, 0.0, 10.0, 1),
        (35.0, 0.0, 10.0, 4),
        (0.0, 25.0, 10.0, 3),  # before anybody asks
        (0.0, 0.01, 10.0, 0),
        (0.0, None, 10.0, 0),
        (7.0, None, None, 1),  # what a replica can serve is not known before one runs
        (0.0, None, None, 0),
        (AtLeast(3.0, NOW, "", MissingReason.PARTIAL_SAMPLES, ""), None, 10.0, 1),
    ],
)
def test_what_wakes_a_target_at_zero(demand, forecast, kappa, wanted):
    # What its pods would tell (utilization, latency) is missing at 0 pods, and holds nobody asleep.
    seen = [metric("gpu", GONE), metric("latency", Missing(MissingReason.NOT_A_NUMBER))]
    state = {"asleep": True, "last_desired": 0, "good_since_seconds": None}
    case = sleepy(demand, 0, forecast, state, kappa=kappa, metrics=seen, targets=(GPU, LATENCY), max_replicas=100)
    decision = decide_one(case)
    assert decision.desired_replicas == wanted
    assert (decision.action is not None) is (wanted > 0)
    assert condition(decision, "Ready") is True


def test_no_window_and_no_rate_limit_holds_back_the_first_replica():
    slow = ScalingRules(3600.0, (RatePolicy(60.0, percent=10),))
    state = {"asleep": True, "good_since_seconds": None}
    assert count(sleepy(35.0, 0, None, state, scale_up=slow)) == 1


def test_a_hard_limit_does():
    state = {"asleep": True}
    assert count(sleepy(35.0, 0, None, state, usd=3.0, caps=Caps(max_usd_per_hour=2.0))) == 0


def test_a_queue_that_is_told_without_pods_wakes_too():
    def at(depth: float, replicas: int, state: dict[str, Any]) -> int | None:
        seen = [metric("queue", depth)]
        return count(
            sleepy(None, replicas, None, state, source=DemandSource(), kappa=None, metrics=seen, targets=(QUEUE,))
        )

    assert at(12.0, 0, {"asleep": True}) == 3
    assert at(0.0, 0, {"asleep": True}) == 0
    assert at(0.0, 2, {}) == 0


@pytest.mark.parametrize("source", [DemandSource("vllm"), DemandSource()])
def test_what_comes_from_the_pods_themselves_lets_nobody_sleep(source):
    decision = decide_one(sleepy(0.0, 3, 0.0, source=source))
    assert decision.desired_replicas == 1
    assert decision.final_reason == "NoSignalAtZero"


def test_a_query_that_was_found_to_read_the_pods_lets_nobody_sleep():
    case = sleepy(0.0, 3, 0.0)
    case = replace(case, seen=replace(case.seen, demand_of_pods=True))
    assert count(case) == 1
    busy = replace(
        case, policy=replace(case.policy, targets=(QUEUE,)), seen=replace(case.seen, metrics=(metric("queue", 0.0),))
    )
    assert count(busy) == 0  # the queue would wake it


def test_a_signal_that_is_gone_at_zero_brings_one_back_and_that_stays():
    def dark(seconds: float, reading: Missing = GONE, **policy: Any) -> Case:
        state = {"asleep": True, "good_since_seconds": None, "unknown_since_seconds": NOW - seconds}
        return sleepy(reading, 0, None, state, generation=4, **policy)

    assert count(dark(299.0)) == 0
    woken = decide(dark(300.0))
    assert woken.fleet.decisions[0].desired_replicas == 1
    kept = woken.states[0].kept_awake_generation
    assert kept == 4
    assert count(sleepy(0.0, 1, 0.0, {"kept_awake_generation": kept}, generation=4)) == 1
    assert count(sleepy(0.0, 1, 0.0, {"kept_awake_generation": kept}, generation=5)) == 0  # another spec
    # A Prometheus that is away says nothing of the signal; a fallback is what was asked for then.
    assert count(dark(86_400.0, UNKNOWN)) == 0
    assert count(dark(86_400.0, UNKNOWN, fallback=Fallback(2, 600.0))) == 2


@pytest.mark.parametrize(
    ("asleep", "ours", "least", "is_paused"),
    [
        (True, False, 0, False),
        (False, False, 0, True),  # 3 were wanted, and somebody set 0
        (False, True, 0, False),  # we wrote it, and were killed before the status said so
        (None, False, 0, False),  # found at 0 when it was adopted
        (None, False, 1, True),
        (True, False, 1, False),  # minReplicas was raised while it slept
        (None, True, 1, False),
    ],
)
def test_whose_zero_it_is(asleep, ours, least, is_paused):
    case = sleepy(35.0, 0, None, {"asleep": asleep}, min_replicas=least)
    case = replace(case, seen=replace(case.seen, target=replace(case.seen.target, replicas_are_ours=ours)))
    outcome = decide(case)
    decision = outcome.fleet.decisions[0]
    assert (decision.hold_reason == "Paused") is is_paused
    assert decision.desired_replicas == (0 if is_paused else 5)  # at 70 % of a replica each
    # Once a count was asked for, a zero is somebody else's; a wake-up that did not come through is tried again.
    state = outcome.states[0]
    assert state.asleep is False
    for outcome_of_write in () if decision.action is None else (ScaleOutcome.FAILED, ScaleOutcome.STALE):
        result = ScaleResult(decision.action, outcome_of_write)
        assert state_after_write(state, result, False, NOW).asleep is True


def test_a_sleep_is_remembered_and_a_pause_is_not_taken_for_one():
    asleep = decide(sleepy(0.0, 1, 0.0)).states[0]
    assert asleep.asleep is True
    assert decide(sleepy(35.0, 3, 35.0)).states[0].asleep is False


def test_the_presets_of_gateways_are_those_whose_series_are_not_the_pods_alone():
    assert {name for name, each in PRESETS.items() if each.told_by_gateway} == GATEWAY_PRESETS


def test_a_metric_of_the_pods_that_is_missing_at_zero_is_no_unknown():
    seen = [MetricObservation("gpu", GONE)]
    decision = decide_one(sleepy(0.0, 0, 0.0, {"asleep": True}, metrics=seen, targets=(GPU,)))
    assert condition(decision, "MetricsAvailable") is True
