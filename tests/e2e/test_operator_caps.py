"""Hard limits on the real parts: a CostPolicy's prices and limit, shared by the workloads of a namespace."""

import contextlib
from collections.abc import Iterator

import pytest

from hack.cluster import ClusterError
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


def test_a_refused_shrink_stops_nobody_who_has_room(world: World, policy: Manifest):
    """4 replicas fit. `kept` may not go from 2 to 1, so that `busy` gets the other 2, and both say why."""
    busy, kept = (optimizer(world.namespace, name) for name in ("busy", "kept"))
    for manifest in (busy, kept):
        manifest["spec"]["resources"] = {"gpu": 1}
        name = manifest["metadata"]["name"]
        world.demand.loads[name] = {"busy": 3.0, "kept": 13.0}[name]
        world.apply(deployment(world.namespace, name, 1, "0s"), manifest)
    eventually(lambda: world.replicas("kept") == 2, 40, lambda: world.explain("kept"))
    with forbidden_shrinks(world, "kept"):
        world.demand.loads |= {"kept": 1.0, "busy": 100.0}
        eventually(lambda: world.condition("kept", "Ready").get("reason") == "ScaleRefused", 60, lambda: told(world))
        eventually(lambda: world.replicas("busy") == 2, 20, lambda: told(world))
        always(lambda: (world.replicas("busy"), world.replicas("kept")) == (2, 2), 6, lambda: told(world))
        decision = world.status("kept")["lastDecision"]
        assert (decision["outcome"], decision.get("writtenReplicas")) == ("Refused", None)
        assert "may not shrink" in decision["outcomeMessage"]
        assert "ScaledDown" not in world.reasons("kept")
        assert world.status("busy")["lastDecision"].get("outcome") in (None, "Written")


def told(world: World) -> str:
    return "\n".join(world.explain(name) for name in ("busy", "kept"))


@contextlib.contextmanager
def forbidden_shrinks(world: World, name: str) -> Iterator[None]:
    """Admission refuses to lower the count of one Deployment."""
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": f"{world.namespace}-{name}"}}
    scales = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["UPDATE"],
        "resources": ["deployments/scale"],
    }
    count = "has({0}.spec.replicas) ? {0}.spec.replicas : 0"
    rule = f"object.metadata.name != '{name}' || ({count.format('object')}) >= ({count.format('oldObject')})"
    world.apply(
        {
            **kind,
            "kind": "ValidatingAdmissionPolicy",
            "spec": {
                "matchConstraints": {"resourceRules": [scales]},
                "validations": [{"expression": rule, "message": f"{name} may not shrink"}],
            },
        },
        {
            **kind,
            "kind": "ValidatingAdmissionPolicyBinding",
            "spec": {
                "policyName": kind["metadata"]["name"],
                "validationActions": ["Deny"],
                "matchResources": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}
                },
            },
        },
    )
    try:
        eventually(lambda: shrinking_is_refused(world, name), 30)
        yield
    finally:
        for kind_name in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            world.cluster.kubectl("delete", kind_name, f"{world.namespace}-{name}")


def shrinking_is_refused(world: World, name: str) -> bool:
    try:
        world.cluster.kubectl("scale", "deployment", name, "-n", world.namespace, "--replicas=1", "--dry-run=server")
    except ClusterError as error:
        return "may not shrink" in str(error)
    return False
