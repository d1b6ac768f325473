from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_autoscale.decide import hpa
from kcloud_autoscale.decide.counting import replicas_for, replicas_within
from kcloud_autoscale.decide.metered import Metered
from kcloud_autoscale.domain.capacity import CapacityAtLeast
from kcloud_autoscale.domain.decision import Stage
from kcloud_autoscale.domain.observation import PodPhase, Pods
from kcloud_autoscale.domain.policy import Ceiling, ForecastPolicy, MetricKind, MetricTarget
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.series import Forecast, Levels
from tests.builders.deciding import (
    GPU,
    LATENCY,
    LONG_AGO,
    NOW,
    QUEUE,
    a_case,
    a_forecast,
    condition,
    decide_one,
    metric,
    pods,
)

MEMORY = MetricTarget("memory", MetricKind.UTILIZATION, 0.6)
UNPRICED = Missing(MissingReason.NO_DATA, "h900 has no public price")


@pytest.mark.parametrize(
    ("load", "each", "expected"),
    [
        (71.0, 10.0, 8),
        (70.0, 10.0, 7),
        (0.0, 10.0, 0),
        (8.4, 0.7, 12),
        (0.3, 0.1, 3),
        (70.000001, 10.0, 8),
        (1e300, 1e-9, 2**31 - 1),  # as many as `spec.replicas` can hold
    ],
)
def test_the_least_count_that_carries_a_load(load, each, expected):
    assert replicas_for(load, each) == expected


@pytest.mark.parametrize(
    ("limit", "each", "expected"), [(100.0, 13.76, 7), (0.3, 0.1, 3), (0.0, 5.0, 0), (5.0, 5.0, 1)]
)
def test_the_largest_count_within_a_limit(limit, each, expected):
    assert replicas_within(limit, each) == expected


@pytest.mark.parametrize(
    ("demand", "peak", "expected", "reason"),
    [
        (45.0, 61.0, 7, "ForecastNeed"),  # ceil(61 / 10) over ceil(45 / 10)
        (65.0, 61.0, 7, "ObservedNeed"),  # both 7: what is seen is named
        (85.0, 61.0, 9, "ObservedNeed"),  # never below what the load needs right now
    ],
)
def test_with_a_trusted_forecast_the_larger_need_wins(demand, peak, expected, reason):
    decision = decide_one(a_case(demand, 4, peak))

    assert (decision.desired_replicas, decision.final_reason) == (expected, reason)
    assert [proposal.name for proposal in decision.proposals] == ["observed-demand", "forecast"]


def test_the_level_is_that_of_the_priority_unless_it_is_set():
    # 0.80 + 0.19 * 50 / 100 = 0.895, halfway between the 0.89 and 0.90 of this forecast: 60 + 0.5 * 20 = 70.
    forecast = Forecast("ridge", NOW, 360.0, (0.5, 0.89, 0.90), (30.0, 60.0, 80.0), True, "Calibrated")
    assert decide_one(a_case(20.0, 4, forecast)).level == pytest.approx(0.895)
    assert decide_one(a_case(20.0, 4, forecast)).desired_replicas == 7
    case = a_case(20.0, 4, forecast)
    low = decide_one(replace(case, policy=replace(case.policy, forecast=ForecastPolicy(quantile=0.5))))
    assert (low.level, low.proposals[1].replicas) == (0.5, 3)


@pytest.mark.parametrize(
    ("running", "expected", "reason"),
    [
        (4, 5, "ForecastNeed"),  # 48 are ordered for: 5; what does not run cannot be kept
        (6, 6, "NoChange"),  # of what runs, 61 could be needed: 7
        (9, 7, "Kept"),  # the two above that go
    ],
)
def test_what_runs_is_kept_up_to_its_own_level_and_nothing_is_ordered_for_it(running, expected, reason):
    forecast = Forecast("ridge", NOW, 360.0, (0.5, 0.9, 0.99), (40.0, 48.0, 61.0), True, "Calibrated")
    case = replace(a_case(30.0, running, forecast), levels=Levels(order=0.9, keep=0.99))
    decision = decide_one(case)

    assert (decision.desired_replicas, decision.final_reason, decision.level) == (expected, reason, 0.9)
    kept = decision.proposals[2]
    assert (kept.name, kept.replicas) == ("keep", min(running, 7))
    assert "61 per second at most within 360 s (quantile 0.99)" in kept.message


@pytest.mark.parametrize(("limit", "expected"), [(10.0, 5), (4.0, 3), (20.0, 7)])
def test_above_a_ceiling_nothing_is_kept_that_the_load_does_not_need(limit, expected):
    # 2 $/h each; the load needs 3, 5 would be ordered, 7 kept; 10 $/h leave room for 5, 4 $/h for less than needed.
    forecast = Forecast("ridge", NOW, 360.0, (0.5, 0.9, 0.99), (40.0, 48.0, 61.0), True, "Calibrated")
    case = a_case(30.0, 9, forecast, ceilings=(Ceiling("cost", limit),))
    assert decide_one(replace(case, levels=Levels(order=0.9, keep=0.99))).desired_replicas == expected


@pytest.mark.parametrize(
    ("demand", "expected"),
    [
        (28.0, 4),  # 28 / (4 * 7) = 1.0
        (30.0, 4),  # 1.07: within a tenth
        (30.8, 4),  # 1.1 to the last bit
        (30.9, 5),  # 1.104: ceil(30.9 / 7)
        (84.0, 12),  # 84 / 7 is 12, and not 12.000000000000002
        (20.0, 3),  # 0.71: ceil(20 / 7)
    ],
)
@pytest.mark.parametrize("forecast", [None, a_forecast(999.0, trusted=False)])
def test_without_a_trusted_forecast_demand_is_sized_by_hpa_at_70_percent(demand, expected, forecast):
    assert decide_one(a_case(demand, 4, forecast)).desired_replicas == expected


def test_of_several_metrics_the_largest_need_wins():
    # Latency 0.3 / 0.2 * 4 = 6; gpu mean 0.9 / 0.6 * 4 = 6; queue 40 / 5 = 8.
    case = a_case(
        replicas=4,
        kappa=None,
        targets=(LATENCY, GPU, QUEUE),
        metrics=[metric("latency", 0.3), metric("gpu", 0.9), metric("queue", 40.0)],
    )
    decision = decide_one(case)

    assert [(p.name, p.replicas) for p in decision.proposals] == [("latency", 6), ("gpu", 6), ("queue", 8)]
    assert (decision.desired_replicas, decision.final_reason) == (8, "MetricAboveTarget")


@pytest.mark.parametrize(
    ("values", "starting", "of_memory", "of_gpu"),
    [
        ([0.9, 0.9, 0.9, 0.9], 0, 6, 6),  # 3.6 / (4 * 0.6) = 1.5
        ([0.9, 0.9, 0.9, 0.9], 2, 6, 6),  # the two that start count as idle: 3.6 / (6 * 0.6) = 1.0, and 6 stay
        ([0.9, 0.9, None, None], 0, 4, 4),  # 1.5, with the missing ones idle 0.75: the direction turns, 4 stay
        ([0.3, 0.3, None, None], 0, 4, 3),  # 0.5; with the missing ones at 1.0 it is 1.08, at the target 0.75: 3
        ([0.1, 0.1, 0.1, None], 0, 3, 2),  # 0.17; (0.3 + 1.0) / (4 * 0.6) = 0.54: ceil(1.3 / 0.6), or ceil(0.9 / 0.6)
        ([0.3, 0.3, 0.3, 0.3], 2, 2, 2),  # 0.5: those that start are left out when scaling down
    ],
)
def test_pods_that_start_or_say_nothing_dampen_a_utilization(values, starting, of_memory, of_gpu):
    per_pod = {f"llm-{i}": value for i, value in enumerate(values) if value is not None}
    mean, asked = sum(per_pod.values()) / len(per_pod), []
    for target in (MEMORY, GPU):
        case = a_case(
            replicas=len(values) + starting,
            kappa=None,
            targets=(target,),
            metrics=[metric(target.name, mean, per_pod)],
            running=pods(len(values), starting),
        )
        asked.append(decide_one(case).proposals[0].replicas)

    assert asked == [of_memory, of_gpu]


def test_only_a_share_of_the_requests_is_cut_to_whole_percent():
    # 0.6675 against 0.6 is 1.1125, beyond a tenth, and ceil(4 * 1.1125) = 5; cut to 0.66 it is exactly a tenth.
    values = dict.fromkeys((f"llm-{i}" for i in range(4)), 0.6675)

    def asked(target):
        case = a_case(replicas=4, kappa=None, targets=(target,), metrics=[metric(target.name, 0.6675, values)])
        return decide_one(case).proposals[0].replicas

    assert (asked(MEMORY), asked(GPU)) == (4, 5)


def test_a_pod_that_was_ready_and_is_not_counts_with_its_cpu():
    # 4 at 0.9 against 0.6, one of which lost its readiness under the load: 6, and not 2.7 / 0.6 for the 3 that serve
    # with an idle one among 4, which is 0.675 / 0.6 = 1.125: 5.
    overloaded = replace(pods(4)[3], ready_seconds=None, unready_seconds=NOW - 20.0, started_seconds=LONG_AGO)
    serving = [replace(pod, started_seconds=LONG_AGO) for pod in pods(3)]
    values = {pod.name: 0.9 for pod in (*serving, overloaded)}
    case = a_case(
        replicas=4,
        kappa=None,
        targets=(MetricTarget("cpu", MetricKind.UTILIZATION, 0.6),),
        metrics=[metric("cpu", 0.9, values)],
        running=Pods((*serving, overloaded)),
    )

    assert decide_one(case).proposals[0].replicas == 6


def test_a_mean_utilization_says_nothing_where_only_an_evicted_pod_was_ready():
    evicted = [replace(pod, phase=PodPhase.FAILED) for pod in pods(1)]
    case = a_case(replicas=1, kappa=None, targets=(GPU,), metrics=[metric("gpu", 0.9)], running=evicted)
    assert decide_one(case).hold_reason == "MetricsUnknown"


def test_more_pods_than_the_spec_asks_for_do_not_turn_the_direction():
    # 11 of 12 pods at 0.48 and one that is silent: (5.28 + 1.0) / (12 * 0.6) = 0.87 asks for 11, with 10 in the spec.
    counted = Metered(5.28, 11, 0, 1)
    assert hpa.per_pod(counted, 0.6, 10, hpa.Tolerance(), of_requests=True) == 10
    assert hpa.per_pod(counted, 0.6, 12, hpa.Tolerance(), of_requests=True) == 11


def test_latency_beyond_its_threshold_grows_the_count_though_capacity_says_enough():
    # κ says 4 for 40 per second, and 4 serve; 0.5 s against 0.2 s asks for 10, a correction adds at most half: 6.
    case = a_case(40.0, 4, 40.0, targets=(LATENCY,), metrics=[metric("latency", 0.5)])
    decision = decide_one(case)

    assert (decision.desired_replicas, decision.final_reason) == (6, "MetricAboveTarget")
    mild = a_case(40.0, 4, 40.0, targets=(LATENCY,), metrics=[metric("latency", 0.25)])
    assert decide_one(mild).desired_replicas == 5  # 1.25 * 4


def test_latency_within_the_tolerance_changes_nothing():
    case = a_case(35.0, 4, 35.0, targets=(LATENCY,), metrics=[metric("latency", 0.21)])
    assert decide_one(case).desired_replicas == 4


def test_latency_below_its_threshold_does_not_hold_the_count_up():
    case = a_case(15.0, 4, 15.0, targets=(LATENCY,), metrics=[metric("latency", 0.19)])
    assert decide_one(case).desired_replicas == 2


def test_latency_has_nothing_to_add_while_the_replicas_that_cure_it_are_starting():
    # 50 per second on 4 that serve: latency is bad because the fifth is still starting. Were it counted, half more than
    # the 4 that serve, 6, would be asked for.
    starting = pods(4, starting=1)
    case = a_case(50.0, 5, 50.0, running=starting, targets=(LATENCY,), metrics=[metric("latency", 2.0)])
    assert decide_one(case).desired_replicas == 5


@pytest.mark.parametrize(
    ("observed", "limit", "expected"),
    [
        (40.0, 10.0, 5),  # 2 $/h each: 5 fit under 10 $/h; the forecast wants 7, the load needs 4
        (58.0, 10.0, 6),  # the load itself needs 6, and gets them
        (40.0, 14.0, 7),  # room for all
        (40.0, 6.0, 4),  # 3 fit: no headroom at all
    ],
)
def test_above_a_ceiling_only_the_observed_need_grows_the_count(observed, limit, expected):
    case = a_case(observed, 3, 70.0, ceilings=(Ceiling("cost", limit),))
    assert decide_one(case).desired_replicas == expected


def test_the_tightest_of_several_ceilings_counts():
    # 2 $/h and 500 W each: 10 $/h leave room for 5, 2,000 W for 4.
    case = a_case(30.0, 3, 70.0, ceilings=(Ceiling("cost", 10.0), Ceiling("power", 2000.0)))
    decision = decide_one(case)

    assert (decision.desired_replicas, decision.final_reason) == (4, "CeilingReached")


def test_under_a_ceiling_with_an_unknown_price_the_forecast_holds_what_runs_and_grows_nothing():
    def at(replicas: int) -> int | None:
        return decide_one(
            a_case(40.0, replicas, 70.0, usd=UNPRICED, ceilings=(Ceiling("cost", 10.0),))
        ).desired_replicas

    assert (at(3), at(5), at(9)) == (4, 5, 7)


def test_a_requests_metric_counts_like_any_other():
    requests = MetricTarget("requests", MetricKind.AVERAGE_VALUE, 8.0, query="sum(rate(mine[1m]))")
    # By κ 5 suffice for 45; 70 requests at 8 each are 9, half more than the 5 that serve is 8.
    case = a_case(45.0, 5, 45.0, targets=(requests,), metrics=[metric("requests", 70.0)])
    assert decide_one(case).desired_replicas == 8


@given(st.floats(0.0, 900.0), st.floats(0.0, 900.0), st.floats(0.0, 900.0), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_more_demand_never_asks_for_less(one, other, peak, replicas):
    low, high = sorted((one, other))
    for forecast in (peak, None):
        asked = [decide_one(a_case(demand, replicas, forecast)).desired_replicas for demand in (low, high)]
        assert asked[0] <= asked[1]


@pytest.mark.parametrize(
    ("latency", "expected", "reason"),
    [
        (0.19, 4, "MetricTarget"),  # 25 each, more than has been seen to be fine, and it is: nothing to add
        (0.30, 6, "MetricAboveTarget"),  # 0.3 / 0.2 * 4
        (0.10, 2, "MetricTarget"),  # 0.1 / 0.2 * 4
    ],
)
def test_a_capacity_that_was_never_exceeded_sizes_nothing(latency, expected, reason):
    # At 10 each as a ceiling 100 per second would need 10, and the peak of 150 would need 15.
    case = a_case(
        100.0, 4, 150.0, kappa=CapacityAtLeast(10.0), targets=(LATENCY,), metrics=[metric("latency", latency)]
    )
    decision = decide_one(case)

    assert (decision.desired_replicas, [p.name for p in decision.proposals]) == (expected, ["latency"])
    assert next(step.reason for step in decision.steps if step.stage is Stage.SIZE) == reason
    assert decision.capacity == CapacityAtLeast(10.0)
    assert condition(decision, "ForecastTrusted") is False
    why = next(fact for fact in decision.conditions if fact.type == "ForecastTrusted")
    assert why.reason == "CapacityAtLeast"
