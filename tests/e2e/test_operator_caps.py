"""Hard limits on the real parts: a CostPolicy's prices and limit, shared by the workloads of a namespace."""

from collections.abc import Iterator

import pytest

from tests.e2e.test_operator_faults import Factory
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


def test_a_budget_is_not_crossed_and_is_remembered_by_the_next_process(own_world: Factory):
    """At 3,600 $/h per GPU a replica costs a dollar a second: 40 $ last one replica 40 s, ten of them four."""
    world, _ = own_world()
    world.demand.loads["dear"] = 100.0
    world.apply({
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "CostPolicy",
        "metadata": {"name": world.namespace},
        "spec": {
            "budgetLimit": 40,
            "resourceCostPolicy": {"gpuCostPerHour": 3_600},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
        },
    })  # fmt: skip
    manifest = optimizer(world.namespace, "dear")
    manifest["spec"]["resources"] = {"gpu": 1}
    world.apply(deployment(world.namespace, "dear", 1, "0s"), manifest)
    try:
        eventually(lambda: world.replicas("dear") > 1, 20, lambda: world.explain("dear"))
        eventually(lambda: world.replicas("dear") == 1, 60, lambda: world.explain("dear"))
        eventually(lambda: "CapReached" in world.reasons("dear"), 10, lambda: world.explain("dear"))
        # The floor goes on after the last dollar, and the policy says so at once.
        eventually(lambda: policy_status(world).get("phase") == "Violated", 60, lambda: policy_status(world))
        world.operator.kill()
        world.operator.start()
        world.operator.wait_ready()
        # What the first process spent is not there to be spent again.
        always(lambda: world.replicas("dear") == 1, 12, lambda: world.explain("dear"))
        assert (policy_status(world)["phase"], policy_status(world)["violations"]) == ("Violated", 1)
    finally:
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
    # What is kept back stands in the status as soon as the Event does, and not minutes later.
    eventually(lambda: world.status("dear")["lastDecision"]["uncappedReplicas"] > 4, 5, lambda: world.explain("dear"))
    eventually(lambda: policy_status(world).get("currentCost") == 8.0, 90, lambda: policy_status(world))
    assert (policy_status(world)["phase"], policy_status(world)["workloads"]) == ("Active", 1)
    assert world.status("dear")["currentCost"] == 8.0
    policy["spec"]["costPerHourLimit"] = 4
    world.apply(policy)
    took = eventually(lambda: world.replicas("dear") == 2, 30, lambda: world.explain("dear"))
    assert took < 10.0  # at once, not after a stabilization window
