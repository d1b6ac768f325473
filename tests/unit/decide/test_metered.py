"""Which pods a metric of their own speaks for: HPA's `groupPods`, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kcloud_autoscale.decide.metered import Metered, metered
from kcloud_autoscale.domain.observation import PodObservation, PodPhase
from tests.builders.deciding import NOW, metric

MEASURED, UNREADY = Metered(0.8, 1, 0, 0), Metered(0.0, 0, 1, 0)
MISSING, IGNORED = Metered(0.0, 0, 0, 1), Metered(0.0, 0, 0, 0)


def pod(age: float, ready: bool, since: float, **given) -> PodObservation:
    """Started `age` seconds ago; Ready or not since so many seconds."""
    ready_seconds, unready_seconds = (NOW - since, None) if ready else (None, NOW - since)
    return PodObservation(
        "p", NOW - age, ready_seconds, "n1", started_seconds=NOW - age, unready_seconds=unready_seconds, **given
    )


def grouped(seen: PodObservation, name: str = "cpu", window: float = 75.0) -> Metered:
    return metered([seen], replace(metric(name, 0.8, {"p": 0.8}), window_seconds=window))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (pod(3600, True, 3500), MEASURED),
        (pod(3600, False, 20), MEASURED),  # Ready for an hour, and not now: overloaded, not starting
        (pod(301, False, 270), MEASURED),  # turned unready 31 s after its start, so that it was Ready before
        (pod(301, False, 272), UNREADY),  # unready from the 29th second on: never Ready
        (pod(299, False, 20), UNREADY),  # within the five minutes of a start nothing unready counts
        (pod(200, True, 75), MEASURED),  # the whole window lies after it became Ready
        (pod(200, True, 74), UNREADY),  # a second of the window still burned in starting
        (PodObservation("p", NOW - 3600), UNREADY),  # no kubelet has taken it up
        (replace(pod(3600, True, 3500), ready_seconds=None), UNREADY),  # nobody says whether it is Ready
    ],
)
def test_the_cpu_of_a_starting_pod_does_not_count(seen, expected):
    assert grouped(seen) == expected


@pytest.mark.parametrize("name", ["memory", "gpu", "npu"])
@pytest.mark.parametrize("seen", [pod(40, False, 40), pod(200, True, 1), PodObservation("p", NOW - 40)])
def test_readiness_is_a_matter_of_cpu_alone(name, seen):
    assert grouped(seen, name) == MEASURED


@pytest.mark.parametrize("name", ["cpu", "memory", "gpu"])
@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (pod(3600, True, 3500, deleting=True), IGNORED),
        (pod(3600, False, 20, phase=PodPhase.FAILED), IGNORED),
        (pod(3600, True, 3500, phase=PodPhase.PENDING), UNREADY),
        (replace(pod(3600, True, 3500), name="silent"), MISSING),
        (replace(pod(40, False, 40), name="silent"), MISSING),  # runs without a value: missing, Ready or not
        (replace(pod(3600, False, 20, phase=PodPhase.SUCCEEDED), name="silent"), MISSING),
    ],
)
def test_phase_and_deletion_come_first(name, seen, expected):
    assert grouped(seen, name) == expected
