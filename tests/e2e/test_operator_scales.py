"""The straight line on the real parts: a demand in Prometheus becomes replicas of a Deployment."""

import pytest

from tests.e2e.world import World, always, eventually, optimizer

pytestmark = pytest.mark.e2e


def test_a_new_optimizer_is_decided_within_five_seconds_and_follows_its_demand(world: World):
    world.demand.loads["llm"] = 14.0
    world.deploy("llm")
    world.apply(optimizer(world.namespace, "llm"))
    took = eventually(lambda: "lastDecision" in world.status("llm"), 10, lambda: world.explain("llm"))
    assert took < 5.0
    # HPA's rule while there is too little history: ceil(14 / (0.7 * 10)) = 2; at 42 per second ceil(42 / 7) = 6.
    eventually(lambda: world.replicas("llm") == 2, 10, lambda: world.explain("llm"))
    world.demand.loads["llm"] = 42.0
    eventually(lambda: world.replicas("llm") == 6, 30, lambda: world.explain("llm"))
    world.demand.loads["llm"] = 7.0
    eventually(lambda: world.replicas("llm") <= 2, 60, lambda: world.explain("llm"))
    assert {"ScaledUp", "ScaledDown", "WorkloadOptimized"} <= world.reasons("llm")


def test_status_event_and_log_name_the_same_decision(world: World):
    world.demand.loads["chat"] = 20.0
    world.deploy("chat")
    world.apply(optimizer(world.namespace, "chat"))
    eventually(lambda: "ScaledUp" in world.reasons("chat"), 15, lambda: world.explain("chat"))
    note = next(event["note"] for event in world.events("chat") if event["reason"] == "ScaledUp")
    decision = note.rsplit("(decision ", 1)[1].rstrip(")")
    assert f"(decision {decision})" in world.operator.said()
    assert world.status("chat")["originalReplicas"] == 1


def test_recommend_says_everything_and_touches_nothing(world: World):
    world.demand.loads["advice"] = 40.0
    world.deploy("advice")
    world.apply(optimizer(world.namespace, "advice", mode="Recommend"))
    eventually(lambda: world.status("advice").get("desiredReplicas", 0) > 1, 15, lambda: world.explain("advice"))
    always(lambda: world.replicas("advice") == 1, 5)
    assert world.status("advice")["phase"] == "Suspended"
    assert "ScaledUp" not in world.reasons("advice")


def test_another_autoscaler_on_the_target_means_hands_off(world: World):
    world.demand.loads["shared"] = 5.0
    world.deploy("shared")
    world.apply(optimizer(world.namespace, "shared"))
    eventually(lambda: world.condition("shared", "Conflict").get("status") == "False", 15)
    # The HPA has no metric to go by, so whatever moves the count would be us.
    hpa = ("autoscale", "deployment", "shared", "--min=1", "--max=5", "--cpu-percent=50", "-n", world.namespace)
    world.cluster.kubectl(*hpa)
    eventually(lambda: world.condition("shared", "Conflict").get("status") == "True", 15)
    assert "HorizontalPodAutoscaler shared" in world.condition("shared", "Conflict")["message"]
    world.demand.loads["shared"] = 60.0
    always(lambda: world.replicas("shared") == 1, 8, lambda: world.explain("shared"))
    assert world.status("shared")["phase"] == "Failed"
    eventually(lambda: "Conflict" in world.reasons("shared"), 60)  # Events keep to ten a minute
    world.cluster.kubectl("delete", "hpa", "shared", "-n", world.namespace)
    eventually(lambda: world.replicas("shared") > 1, 20, lambda: world.explain("shared"))


def test_of_two_optimizers_on_one_target_the_younger_stands_back(world: World):
    world.demand.loads |= {"older": 5.0, "younger": 60.0}
    world.deploy("one")
    target = {"kind": "Deployment", "name": "one"}
    older, younger = optimizer(world.namespace, "older"), optimizer(world.namespace, "younger")
    for manifest in (older, younger):
        manifest["spec"]["targetRef"] = target
    world.apply(older)
    eventually(lambda: "lastDecision" in world.status("older"), 10)
    world.cluster.kubectl("wait", "--for=condition=Ready", "wo/older", "-n", world.namespace, "--timeout=20s")
    world.apply(younger)
    eventually(lambda: world.condition("younger", "Conflict").get("status") == "True", 15)
    assert "WorkloadOptimizer older" in world.condition("younger", "Conflict")["message"]
    always(lambda: world.replicas("one") == 1, 5, lambda: world.explain("younger"))
    assert world.condition("older", "Conflict")["status"] == "False"


def test_a_missing_target_is_named_and_served_once_it_appears(world: World):
    world.demand.loads["late"] = 20.0
    world.apply(optimizer(world.namespace, "late"))
    eventually(lambda: world.condition("late", "TargetFound").get("status") == "False", 10)
    assert f"{world.namespace}/late" in world.condition("late", "TargetFound")["message"]
    assert world.status("late")["phase"] == "Failed"
    assert "lastOptimizationTime" not in world.status("late")
    world.deploy("late")
    eventually(lambda: world.replicas("late") == 3, 20, lambda: world.explain("late"))


def test_a_target_that_cannot_be_scaled_is_named(world: World):
    manifest = optimizer(world.namespace, "config")
    manifest["spec"]["targetRef"] = {"apiVersion": "v1", "kind": "ConfigMap", "name": "config"}
    world.demand.loads["config"] = 20.0
    world.apply(manifest)
    eventually(lambda: world.condition("config", "TargetFound").get("status") == "False", 10)
    assert "has no scale subresource" in world.condition("config", "TargetFound")["message"]


def test_nothing_is_scaled_where_the_cluster_s_own_workloads_are(world: World):
    """Whoever may write an optimizer in kube-system would else scale its DNS with the operator's token."""
    own = World(world.cluster, f"kube-{world.namespace}", world.demand, world.operator)
    own.cluster.kubectl("create", "namespace", own.namespace)
    try:
        own.demand.loads["dns"] = 42.0
        own.deploy("dns")
        own.apply(optimizer(own.namespace, "dns"))
        eventually(lambda: own.status("dns").get("desiredReplicas", 0) > 1, 20, lambda: own.explain("dns"))
        ready = own.condition("dns", "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "NamespaceExcluded")
        assert "excludedNamespaces" in ready["message"]
        always(lambda: own.replicas("dns") == 1, 4, lambda: own.explain("dns"))
    finally:
        own.cluster.kubectl("delete", "namespace", own.namespace, "--wait=false")
