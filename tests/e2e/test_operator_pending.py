"""Too few GPUs, on a real scheduler: what waits is not billed, takes nobody's room, and is given back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hack.cluster import Node
from tests.e2e.test_operator_faults import Factory
from tests.e2e.world import World, always, eventually, optimizer
from tests.integration.manifests import Manifest, deployment

pytestmark = pytest.mark.e2e

GPU = "nvidia.com/gpu"
USD_PER_GPU = 2.0


@pytest.fixture
def pools(own_world: Factory) -> Iterator[World]:
    """4 nodes of 8 GPUs for one workload, one of 16 for the other; 400 $/h and 20 $ for both at 2 $/h per GPU."""
    world, _ = own_world()
    names = [f"{world.namespace}-big-{i}" for i in range(5)] + [f"{world.namespace}-small"]
    world.apply(*(big(world, i) for i in range(4)), node(names[-1], f"{world.namespace}-small", 16))
    world.apply({
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "CostPolicy",
        "metadata": {"name": world.namespace},
        "spec": {
            "costPerHourLimit": 400,
            "budgetLimit": 20,
            "resourceCostPolicy": {"gpuCostPerHour": USD_PER_GPU},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
        },
    })  # fmt: skip
    yield world
    world.cluster.kubectl("delete", "costpolicy", world.namespace)
    world.cluster.kubectl("delete", "node", "--wait=false", "--ignore-not-found", *names)


def node(name: str, pool: str, gpus: int) -> Manifest:
    return Node(name, {GPU: gpus}, {"pool": pool}).manifest()


def big(world: World, index: int) -> Manifest:
    return node(f"{world.namespace}-big-{index}", f"{world.namespace}-big", 8)


def deploy(world: World, name: str, pool: str, gpus: int, priority: int, **scaling: int) -> None:
    workload = deployment(world.namespace, name, 1, "0s", gpus)
    workload["spec"]["template"]["spec"]["nodeSelector"] = {"pool": f"{world.namespace}-{pool}"}
    manifest = optimizer(world.namespace, name, **scaling)
    manifest["spec"] |= {"priority": priority, "resources": {"gpu": gpus}}
    world.apply(workload, manifest)


def policy_status(world: World) -> dict[str, float]:
    status: dict[str, float] = world.cluster.kubectl.get("costpolicy", world.namespace).get("status", {})
    return status


def with_node(world: World, name: str) -> int:
    pods = world.cluster.kubectl.get("pods", "-n", world.namespace, "-l", f"app={name}")["items"]
    return sum("nodeName" in pod["spec"] for pod in pods)


def test_replicas_without_a_node_cost_nobody_anything(pools: World):
    world = pools
    world.demand.loads |= {"small": 110.0, "pend": 300.0}
    deploy(world, "small", "small", 1, 10, maxReplicas=12)
    eventually(lambda: world.status("small").get("readyReplicas", 0) >= 11, 40, lambda: world.explain("small"))
    serving = world.replicas("small")

    # 30 of 8 GPUs each are wanted, 480 $/h of 400 $/h; 4 find a node.
    deploy(world, "pend", "big", 8, 90, maxReplicas=30)
    refused = lambda: world.condition("pend", "Schedulable")  # noqa: E731
    eventually(lambda: refused().get("status") == "False", 40, lambda: world.explain("pend"))
    assert (refused()["reason"], world.condition("pend", "Ready")["status"]) == ("Unschedulable", "False")
    eventually(lambda: f"Insufficient {GPU}" in refused()["message"], 10, lambda: world.explain("pend"))
    assert world.replicas("small") >= serving

    # Past the deadline of two lead times, 4 s here, they are given back; after each pause one more is tried.
    eventually(lambda: world.replicas("pend") <= 5, 40, lambda: world.explain("pend"))
    always(lambda: world.replicas("pend") <= 5 and world.replicas("small") >= serving, 6, lambda: world.explain("pend"))
    assert with_node(world, "pend") == 4
    always(lambda: world.condition("pend", "Ready")["status"] == "False", 4, lambda: world.explain("pend"))
    assert "Unschedulable" in world.reasons("pend")
    paid = 4 * 8 * USD_PER_GPU + serving * USD_PER_GPU
    eventually(lambda: policy_status(world).get("currentCost") == paid, 90, lambda: (paid, policy_status(world)))
    assert world.status("pend")["currentCost"] == 64.0

    # The budget drains as fast as what runs costs.
    spent(world)  # counters begin at 0 at the first look at them
    before, started = spent(world), time.monotonic()
    time.sleep(12)
    rate = (spent(world) - before) / (time.monotonic() - started) * 3_600.0
    assert rate == pytest.approx(paid, rel=0.35)

    # A node that is added is seen, however long the pause has become.
    world.apply(big(world, 4))
    eventually(lambda: with_node(world, "pend") == 5, 30, lambda: world.explain("pend"))
    assert world.replicas("small") >= serving


def spent(world: World) -> float:
    """Of both workloads, as the operator has added it up."""
    text = world.operator.get("metrics", "/metrics")[1]
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("kcloud_spent_usd_total{") and world.namespace in line
    )


def test_a_member_of_whose_use_nothing_is_known_stops_nobody(own_world: Factory):
    """A CPU-only Deployment without a price, in mode Off, under the limit that all share."""
    world, _ = own_world()
    world.demand.loads["victim"] = 15.0
    world.apply({
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "CostPolicy",
        "metadata": {"name": world.namespace},
        "spec": {
            "costPerHourLimit": 100_000,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
        },
    })  # fmt: skip
    try:
        pod = optimizer(world.namespace, "victim")
        pod["spec"]["resources"] = {"gpu": 1}
        odd = optimizer(world.namespace, "web", mode="Off")
        replicas = [deployment(world.namespace, name, 1, "0s", gpus) for name, gpus in (("victim", 1), ("web", 0))]
        world.apply(*replicas, odd, pod)
        eventually(lambda: world.replicas("victim") >= 2, 40, lambda: world.explain("victim"))
        world.demand.loads["victim"] = 65.0
        eventually(lambda: world.replicas("victim") >= 7, 30, lambda: world.explain("victim"))
        within = world.condition("web", "WithinCaps")
        assert (within["status"], within["reason"]) == ("Unknown", "Unknown")
        eventually(lambda: "UseUnknown" in world.reasons("web"), 10, lambda: world.explain("web"))
        known = next(c for c in world.cluster.kubectl.get("costpolicy", world.namespace)["status"]["conditions"]
                     if c["type"] == "PriceKnown")  # fmt: skip
        assert f"{world.namespace}/web" in known["message"]
    finally:
        world.cluster.kubectl("delete", "costpolicy", world.namespace)
