"""Without a trusted forecast we are HPA v2: every decision against an independent statement of its rules."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.domain.observation import PodObservation, PodPhase, Pods
from kcloud_autoscale.domain.policy import MetricKind, MetricTarget, PolicySelect, RatePolicy, ScalingRules
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.state import DecisionState
from tests import hpa_reference as hpa
from tests.builders.deciding import NOW, a_case, a_fleet, decide_one, metric

counts = st.integers(1, 30)
# 2 % and 50 % besides HPA's tenth: each direction has its own.
tolerances = st.sampled_from([Fraction(1, 50), Fraction(1, 10), Fraction(1, 2)])
bands = st.builds(hpa.Band, tolerances, tolerances)


def asked(case, band):
    """What the largest metric asks for, before windows and rates."""
    rules = {
        "scale_up": replace(case.policy.scale_up, tolerance_fraction=float(band.up)),
        "scale_down": replace(case.policy.scale_down, tolerance_fraction=float(band.down)),
    }
    decision = decide_one(replace(case, policy=replace(case.policy, **rules)))
    return max(proposal.replicas for proposal in decision.proposals)


@given(total=st.integers(0, 200_000), target=st.integers(1, 20_000), current=counts, band=bands)
@settings(max_examples=100, deadline=None)
def test_a_shared_total_asks_for_what_hpa_asks_for(total, target, current, band):
    queue = MetricTarget("queue", MetricKind.AVERAGE_VALUE, target / 1000)
    case = a_case(replicas=current, kappa=None, targets=(queue,), metrics=[metric("queue", total / 1000)])

    assert asked(case, band) == hpa.average_value(total, target, current, band)


@given(milli=st.integers(0, 5_000), target=st.integers(1, 2_000), ready=counts, starting=st.integers(0, 5), band=bands)
@settings(max_examples=100, deadline=None)
def test_one_value_asks_for_what_hpa_asks_for(milli, target, ready, starting, band):
    current = ready + starting
    latency = MetricTarget("latency", MetricKind.VALUE, target / 1000)
    running = some_pods([hpa.Pod(i < ready, None) for i in range(current)])
    case = a_case(
        replicas=current, kappa=None, targets=(latency,), metrics=[metric("latency", milli / 1000)], running=running
    )

    assert asked(case, band) == hpa.value(milli, target, current, ready, band)


# Around the 300 s of a start, the 30 s in which readiness is first told and a window of 75 s.
AGES = st.sampled_from([40, 120, 299, 300, 301, 86_400])
pod_lists = st.lists(
    st.builds(
        hpa.Pod,
        st.sampled_from([True, True, False, None]),
        st.one_of(st.none(), st.integers(0, 1500)),
        st.sampled_from([False, False, False, True]),
        st.sampled_from(["Running", "Running", "Running", "Pending", "Failed", "Succeeded"]),
        st.one_of(st.none(), AGES.map(lambda age: NOW - age)),
    ).flatmap(
        lambda pod: st.sampled_from([0, 29, 30, 31, 200]).map(
            lambda took: replace(pod, changed=min(NOW, (pod.started or NOW - 300) + took))
        )
    ),
    min_size=1,
    max_size=12,
)
# As HPA knows them: resources of metrics.k8s.io, and a metric per pod of custom.metrics.k8s.io.
RESOURCES = {"cpu": "cpu", "memory": "memory", "gpu": None, "npu": None}


@given(
    pods=pod_lists,
    name=st.sampled_from(list(RESOURCES)),
    target=st.integers(100, 1200),
    extra=st.integers(-2, 2),
    window=st.sampled_from([0, 75]),
    band=bands,
)
@settings(max_examples=400, deadline=None)
def test_a_number_per_pod_asks_for_what_hpa_asks_for(pods, name, target, extra, window, band):
    current = max(1, len(pods) + extra)  # `spec.replicas` may be ahead of the pods, or behind
    aimed = MetricTarget(name, MetricKind.UTILIZATION, target / 1000)
    values = {f"p{i}": pod.milli / 1000 for i, pod in enumerate(pods) if pod.milli is not None}
    mean = sum(values.values()) / len(values) if values else 0.0
    observed = replace(metric(name, mean, values or {"gone": 0.5}), window_seconds=float(window))
    case = a_case(replicas=current, kappa=None, targets=(aimed,), metrics=[observed], running=some_pods(pods))

    expected = hpa.per_pod(pods, hpa.Metric(RESOURCES[name], NOW, window), target, current, band)
    if expected is None:
        decision = decide_one(case)
        assert (decision.hold_reason, decision.desired_replicas) == ("MetricsUnknown", current)
    else:
        assert asked(case, band) == expected


def some_pods(pods):
    return Pods(
        PodObservation(
            f"p{i}",
            0.0,
            pod.changed if pod.ready else None,
            "n1",
            deleting=pod.deleting,
            phase=PodPhase(pod.phase),
            started_seconds=pod.started,
            unready_seconds=pod.changed if pod.ready is False else None,
        )
        for i, pod in enumerate(pods)
    )


periods = st.sampled_from([15, 30, 60, 90])
policies = st.lists(
    st.one_of(
        st.tuples(periods, st.just("Pods"), st.integers(1, 6)),
        st.tuples(periods, st.just("Percent"), st.integers(1, 100)),
    ),
    min_size=1,
    max_size=3,
)
selects = st.sampled_from(["Max", "Max", "Min", "Disabled"])


def ours(rules: hpa.Rules) -> ScalingRules:
    return ScalingRules(
        float(rules.window),
        tuple(
            RatePolicy(
                float(period), pods=amount if kind == "Pods" else None, percent=amount if kind != "Pods" else None
            )
            for period, kind, amount in rules.policies
        ),
        PolicySelect(rules.select),
    )


@given(
    up=st.builds(hpa.Rules, st.sampled_from([0, 15, 60]), policies, selects),
    down=st.builds(hpa.Rules, st.sampled_from([15, 60, 120]), policies, selects),
    start=st.integers(2, 20),
    totals=st.lists(st.integers(0, 60_000), min_size=3, max_size=30),
)
@settings(max_examples=100, deadline=None)
def test_a_run_of_syncs_gives_the_counts_that_hpa_gives(up, down, start, totals):
    """The whole controller in a loop every 15 s: its windows, its policies, its memory of its own changes."""
    reference = hpa.Controller(up, down, least=2, most=40)
    queue = MetricTarget("queue", MetricKind.AVERAGE_VALUE, 1.0)
    theirs = mine = start
    state = DecisionState(since_seconds=NOW)
    for tick, total in enumerate(totals):
        now = NOW + 15.0 * tick
        theirs = reference.sync(now, theirs, hpa.average_value(total, 1000, theirs, hpa.Band()))
        case = a_case(
            replicas=mine, kappa=None, state=state, targets=(queue,),
            metrics=[replace(metric("queue", 0.0), total=Sample(total / 1000, now))],
            scale_up=ours(up), scale_down=ours(down), min_replicas=2, max_replicas=40,
        )  # fmt: skip
        outcome = decide_fleet((case,), a_fleet(case, cycle_seconds=15.0), now)
        mine, state = outcome.fleet.decisions[0].desired_replicas, outcome.states[0]

        assert mine == theirs, f"tick {tick}"
