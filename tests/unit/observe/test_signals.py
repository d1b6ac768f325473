"""Watts and utilization of pods, where devices lie or keep silent."""

from __future__ import annotations

from kcloud_autoscale.domain.bounds import POD_WATTS, UTILIZATION_FRACTION
from kcloud_autoscale.domain.observation import PodObservation
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.observe.objects import Pod, Requests
from kcloud_autoscale.observe.prometheus_response import Point
from kcloud_autoscale.observe.signals import (
    FleetSignals,
    PodReadings,
    device_model,
    total_watts,
    watts_per_pod,
)

GPU = Requests(accelerators=(("nvidia.com/gpu", 1),))


def pod(name: str, requests: Requests = GPU) -> Pod:
    return Pod(PodObservation(name, 0.0, ready_seconds=1.0), {}, requests, None)


def point(name: str, value: float, **labels: str) -> Point:
    return Point({"namespace": "ai", "pod": name, **labels}, value, 0.0)


def watts(*points: Point) -> PodReadings:
    found = PodReadings()
    found.take(list(points), POD_WATTS, "modelName")
    return found


def test_devices_and_host_add_up() -> None:
    signals = FleetSignals(device_watts=watts(point("a", 400.0), point("b", 300.0)), host_watts=watts(point("a", 35.0)))
    assert total_watts("ai", [pod("a"), pod("b")], signals, 9.0) == Sample(735.0, 9.0, "measured")


def test_host_power_alone_says_nothing_of_a_pod_with_accelerators() -> None:
    signals = FleetSignals(host_watts=watts(point("gpu", 35.0), point("cpu", 20.0)))
    assert watts_per_pod("ai", [pod("gpu"), pod("cpu", Requests())], signals) == {"cpu": 20.0}


def test_a_part_is_not_the_whole() -> None:
    total = total_watts("ai", [pod("a"), pod("b")], FleetSignals(device_watts=watts(point("a", 400.0))), 9.0)
    assert isinstance(total, Missing)
    assert total.reason is MissingReason.NO_DATA
    assert total.message.startswith("1 of 2 serving pods are unmeasured")


def test_an_error_code_is_no_reading() -> None:
    for sentinel in (9223372036854775794.0, 140737488355328.0, -1.0, float("nan"), float("inf")):
        total = total_watts("ai", [pod("a")], FleetSignals(device_watts=watts(point("a", sentinel))), 9.0)
        assert isinstance(total, Missing)
        assert total.reason is MissingReason.OUT_OF_RANGE


def test_the_better_metric_stands_and_the_next_fills_its_holes() -> None:
    found = PodReadings()
    found.take([point("a", 0.5), point("b", 4294967295 / 100)], UTILIZATION_FRACTION, add_up=False)
    found.take([point("a", 0.9), point("b", 0.7), point("c", 0.2)], UTILIZATION_FRACTION, add_up=False)
    assert found.values == {("ai", "a"): 0.5, ("ai", "b"): 0.7, ("ai", "c"): 0.2}


def test_a_source_that_failed_is_named() -> None:
    found = PodReadings()
    found.take(Missing(MissingReason.SOURCE_ERROR, "DCGM: HTTP 503"), POD_WATTS)
    mean = found.mean("ai", [pod("a")], "utilization", 9.0)
    assert mean == Missing(MissingReason.SOURCE_ERROR, "DCGM: HTTP 503")


def test_the_model_most_pods_run_on() -> None:
    signals = FleetSignals(
        device_watts=watts(
            *(point(name, 1.0, modelName=model) for name, model in (("a", "H100"), ("b", "A100"), ("c", "H100")))
        )
    )
    assert device_model("ai", [pod("a"), pod("b"), pod("c")], signals) == "H100"
    assert device_model("ai", [pod("x")], signals) == ""
