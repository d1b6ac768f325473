"""What is known of demand, metrics and capacity, as a table: what is configured and unknown forbids shrinking."""

from __future__ import annotations

import pytest

from kcloud_autoscale.decide.signals import read_signals
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from tests.builders.deciding import GPU, LATENCY, NOW, a_case, decide_one, metric, pods, settled

NOT_CONFIGURED = Missing(MissingReason.NOT_CONFIGURED)
AWAY = Missing(MissingReason.SOURCE_ERROR, "Prometheus did not answer")
NAN = Missing(MissingReason.NOT_A_NUMBER)
STALE = Sample(40.0, NOW - 181.0)
OLD_ENOUGH = Sample(40.0, NOW - 180.0)


@pytest.mark.parametrize(
    ("demand", "kappa", "targets", "latency", "complete", "usable", "unknown"),
    [
        # demand alone
        (40.0, 10.0, (), None, True, True, []),
        (OLD_ENOUGH, 10.0, (), None, True, True, []),
        (STALE, 10.0, (), None, False, False, ["demand"]),
        (AWAY, 10.0, (), None, False, False, ["demand"]),
        (NOT_CONFIGURED, 10.0, (), None, False, False, []),
        # without a capacity no count follows from a load
        (40.0, None, (), None, False, False, []),
        (AWAY, None, (), None, False, False, ["demand"]),
        # demand and a metric: each unknown one is missed, what is known still counts
        (40.0, 10.0, (LATENCY,), 0.1, True, True, []),
        (AWAY, 10.0, (LATENCY,), 0.1, False, True, ["demand"]),
        (STALE, 10.0, (LATENCY,), 0.1, False, True, ["demand"]),
        (40.0, 10.0, (LATENCY,), AWAY, False, True, ["latency"]),
        (40.0, 10.0, (LATENCY,), STALE, False, True, ["latency"]),
        (40.0, 10.0, (LATENCY,), None, False, True, ["latency"]),
        (AWAY, 10.0, (LATENCY,), AWAY, False, False, ["demand", "latency"]),
        # a metric alone
        (NOT_CONFIGURED, None, (LATENCY,), 0.1, True, True, []),
        (NOT_CONFIGURED, 10.0, (LATENCY,), 0.1, True, True, []),
        (NOT_CONFIGURED, None, (LATENCY,), AWAY, False, False, ["latency"]),
        # a capacity still to be learned: the metric decides, and a demand that is away holds nobody
        (40.0, None, (LATENCY,), 0.1, True, True, []),
        (AWAY, None, (LATENCY,), 0.1, True, True, ["demand"]),
        # a latency of no requests is NaN, which is idle where nobody asks, and unknown where somebody does
        (0.0, 10.0, (LATENCY,), NAN, True, True, []),
        (1.0, 10.0, (LATENCY,), NAN, False, True, ["latency"]),
        (0.0, 10.0, (LATENCY,), AWAY, False, True, ["latency"]),
        (AWAY, 10.0, (LATENCY,), NAN, False, False, ["demand", "latency"]),
    ],
)
def test_what_is_known(demand, kappa, targets, latency, complete, usable, unknown):
    seen = [] if latency is None else [metric("latency", latency)]
    signals = read_signals(a_case(demand, 4, kappa=kappa, targets=targets, metrics=seen), 180.0, NOW)

    assert (signals.complete, signals.usable) == (complete, usable)
    assert [name for name, _, _ in signals.unknown] == unknown
    known = isinstance(latency, float) and bool(targets)
    assert [target.name for target, _, _ in signals.metrics] == (["latency"] if known else [])


@pytest.mark.parametrize(
    ("demand", "latency", "kappa"),
    [(AWAY, 0.01, 10.0), (STALE, 0.01, 10.0), (1.0, AWAY, 10.0), (1.0, STALE, None), (AWAY, AWAY, 10.0)],
)
def test_nothing_shrinks_while_anything_that_it_rests_on_is_unknown(demand, latency, kappa):
    case = a_case(demand, 8, 1.0, kappa=kappa, targets=(LATENCY,), metrics=[metric("latency", latency)])
    assert decide_one(case).desired_replicas == 8
    known = a_case(1.0, 8, 1.0, kappa=10.0, targets=(LATENCY,), metrics=[metric("latency", 0.01)])
    assert decide_one(known).desired_replicas == 1


def test_a_utilization_counts_only_with_pods_that_count():
    def at(running, per_pod=None) -> list[str]:
        used = metric("gpu", 0.3, per_pod)
        case = a_case(replicas=4, running=running, targets=(GPU,), metrics=[used], state=settled())
        return [name for name, _, _ in read_signals(case, 180.0, NOW).unknown]

    assert at(pods(4)) == []
    assert at(pods(1)) == []
    assert at(pods(0, starting=4)) == ["gpu"]
    assert at(pods(4), {"llm-0": 0.3}) == []
    assert at(pods(4), {"somebody-else": 0.3}) == ["gpu"]
