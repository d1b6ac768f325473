"""Hard limits on the real parts: a CostPolicy's prices and limit, shared by the workloads of a namespace."""

from collections.abc import Iterator

import pytest

from tests.e2e.world import World, always, eventually, optimizer
from tests.integration.manifests import Manifest, deployment

pytestmark = pytest.mark.e2e


@pytest.fixture
def policy(world: World) -> Iterator[Manifest]:
    """2 $/h per GPU, 8 $/h for everything in the namespace."""
    manifest = {
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "CostPolicy",
        "metadata": {"name": world.namespace},
        "spec": {
            "costPerHourLimit": 8,
            "resourceCostPolicy": {"gpuCostPerHour": 2},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
        },
    }
    world.apply(manifest)
    yield manifest
    world.cluster.kubectl("delete", "costpolicy", world.namespace)


def policy_status(world: World) -> dict[str, object]:
    status: dict[str, object] = world.cluster.kubectl.get("costpolicy", world.namespace).get("status", {})
    return status


def test_a_shared_limit_is_never_exceeded_and_follows_its_owner(world: World, policy: Manifest):
    world.demand.loads["dear"] = 100.0  # wants all of its 10 replicas
    manifest = optimizer(world.namespace, "dear")
    manifest["spec"]["resources"] = {"gpu": 1}
    world.apply(deployment(world.namespace, "dear", 1, "0s"), manifest)
    # 8 $/h at 2 $/h each: 4 replicas.
    eventually(lambda: world.replicas("dear") == 4, 40, lambda: world.explain("dear"))
    always(lambda: world.replicas("dear") <= 4, 4, lambda: world.explain("dear"))
    eventually(lambda: "CapReached" in world.reasons("dear"), 10, lambda: world.explain("dear"))
    eventually(lambda: policy_status(world).get("currentCost") == 8.0, 90, lambda: policy_status(world))
    assert (policy_status(world)["phase"], policy_status(world)["workloads"]) == ("Active", 1)
    assert world.status("dear")["currentCost"] == 8.0
    policy["spec"]["costPerHourLimit"] = 4
    world.apply(policy)
    took = eventually(lambda: world.replicas("dear") == 2, 30, lambda: world.explain("dear"))
    assert took < 10.0  # at once, not after a stabilization window
