"""A service that fails for want of devices saves nothing: the baseline has no others either."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hack.cluster import Prometheus
from tests.e2e.world import World, always, eventually, optimizer
from tests.integration.manifests import deployment

pytestmark = pytest.mark.e2e

USD = 2.0


def metrics(world: World) -> dict[str, float]:
    families = text_string_to_metric_families(world.operator.get("metrics", "/metrics")[1])
    samples = [sample for family in families for sample in family.samples]
    return {sample.name: sample.value for sample in samples if sample.labels.get("name") == "llm"}


def test_missing_most_requests_for_want_of_devices_is_no_saving(own_world: Callable[..., tuple[World, Prometheus]]):
    world, _ = own_world()
    # Whole nodes of 8 GPUs: at most four replicas fit, 30 are needed for 300 per second.
    world.cluster.kubectl.apply([deployment(world.namespace, "llm", 1, "0s", gpus=8)])
    prices = "".join(f'node_gpu_hourly_cost{{node="gpu-{index}"}} {USD}\n' for index in range(4))
    world.demand.body = f'demo_load{{namespace="{world.namespace}",workload="llm"}} 300\n{prices}'
    wanted = optimizer(world.namespace, "llm", maxReplicas=30)
    wanted["spec"]["resources"] = {"gpu": 8}
    world.apply(wanted)
    missed = "kcloud_actual_demand_missed_total"
    spent = "kcloud_lifetime_actual_cost_usd"
    eventually(lambda: metrics(world).get(missed, 0.0) > 0.0 and metrics(world).get(spent, 0.0) > 0.0, 60)
    # Four of 30 serve; a baseline with devices of its own would "save" 20 x 16 $/h, or 0.09 $ a second.
    always(lambda: metrics(world)["kcloud_cost_savings_total"] <= 0.0, 15, lambda: metrics(world))
    found = metrics(world)
    assert found[missed] > 0.5 * (found[missed] + found["kcloud_actual_demand_served_total"])
    assert found["kcloud_baseline_replicas"] <= 4
    assert world.status("llm")["savings"]["usd"] <= 0.0
