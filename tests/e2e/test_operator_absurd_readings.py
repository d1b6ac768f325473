"""Exporters that tell what cannot be, to a real Prometheus: the reading is unknown, and everything else goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hack.cluster import Prometheus
from tests.e2e.world import World, eventually, optimizer
from tests.integration.manifests import deployment

pytestmark = pytest.mark.e2e

# Go's largest float is 1.8e308: one such step of a minute, added to a ledger, is Infinity for ever.
ABSURD = ("1e308", "1e300", "-1e308", "+Inf")
SANE_LOAD, SANE_WATTS, SANE_PERCENT, SANE_USD = "20", "250", "50", "2"
# What of each workload is told wrongly.
SIGNALS = ("load", "busy", "watts")
REASONS = ("OutOfRange", "NotANumber")


def told(world: World, absurd: str | None) -> str:
    """What all exporters say, with one absurd value in each kind of signal; None for sane ones."""
    lines = [f'node_gpu_hourly_cost{{node="gpu-{index}"}} {absurd or SANE_USD}' for index in range(4)]
    for name in SIGNALS:
        load = absurd if name == "load" and absurd else SANE_LOAD
        lines.append(f'demo_load{{namespace="{world.namespace}",workload="{name}"}} {load}')
    for pod in world.cluster.kubectl.get("pods", "-n", world.namespace)["items"]:
        owner = pod["metadata"]["labels"]["app"]
        labels = f'namespace="{world.namespace}",pod="{pod["metadata"]["name"]}",UUID="{pod["metadata"]["uid"]}"'
        watts = absurd if owner == "watts" and absurd else SANE_WATTS
        busy = absurd if owner == "busy" and absurd else SANE_PERCENT
        lines += [f"DCGM_FI_DEV_POWER_USAGE{{{labels}}} {watts}", f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} {busy}"]
    return "\n".join(lines) + "\n"


def statuses(world: World) -> dict[str, dict[str, Any]]:
    found = world.cluster.kubectl.get("workloadoptimizers", "-n", world.namespace)["items"]
    return {each["metadata"]["name"]: each.get("status", {}) for each in found}


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())}


def is_refused(world: World) -> bool:
    """Each absurd reading is unknown: load and utilization by name, the price, and the draw of the moment."""
    seen = statuses(world)
    of = {name: conditions(status) for name, status in seen.items()}
    return (
        all(of[name]["MetricsAvailable"][1] in REASONS for name in ("load", "busy"))
        and all(each["PriceKnown"][1] in REASONS for each in of.values())
        and "currentPower" not in seen["watts"]
        and "currentPower" in seen["load"]
    )


def is_well(world: World) -> bool:
    return all(
        conditions(status).get(kind, ("", ""))[0] == "True"
        for status in statuses(world).values()
        for kind in ("MetricsAvailable", "PowerKnown", "PriceKnown")
    ) and all("currentPower" in status for status in statuses(world).values())


def test_absurd_samples_are_unknown_and_leave_nothing_behind(own_world: Callable[..., tuple[World, Prometheus]]):
    world, _ = own_world()
    world.cluster.kubectl.apply([deployment(world.namespace, name, 3, "0s", gpus=1) for name in SIGNALS])
    eventually(lambda: len(world.cluster.kubectl.get("pods", "-n", world.namespace)["items"]) == 3 * len(SIGNALS), 20)
    world.demand.body = told(world, None)
    wanted = [optimizer(world.namespace, name) for name in SIGNALS]
    for each in wanted:
        each["spec"]["resources"] = {"gpu": 1}
        if each["metadata"]["name"] == "busy":
            each["spec"]["autoScaling"]["metrics"] = [{"type": "gpu", "threshold": 70}]
    world.apply(*wanted)
    eventually(lambda: is_well(world), 40, lambda: statuses(world))
    for absurd in ABSURD:
        world.demand.body = told(world, absurd)
        eventually(lambda: is_refused(world), 20, lambda: (absurd, statuses(world)))  # noqa: B023
        world.demand.body = told(world, None)
        eventually(lambda: is_well(world), 30, lambda: statuses(world))
        assert {name: world.replicas(name) for name in SIGNALS} == dict.fromkeys(SIGNALS, 3)
    assert not [name for name, status in statuses(world).items() if "StatusWritten" in conditions(status)]
    assert "was not written" not in world.operator.said()
    text = world.operator.get("metrics", "/metrics")[1]
    values = [
        (sample.name, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("namespace") == world.namespace
    ]
    assert values
    assert not [each for each in values if not math.isfinite(each[1])]
    # Three replicas at 2 $/h each for at most some minutes.
    assert all(value < 3.0 for name, value in values if name == "kcloud_lifetime_actual_cost_usd")
    assert all(world.status(name)["savings"]["actual"]["usd"] < 3.0 for name in SIGNALS)
