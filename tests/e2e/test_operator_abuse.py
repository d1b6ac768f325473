"""What people and machines do to a running operator: kinds taken away, statuses forged, namespaces and data lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from hack.chart.release import install
from hack.cluster import Cluster, ClusterError, Node, Prometheus
from tests.e2e.test_operator_faults import Factory, always, eventually, settled
from tests.e2e.world import ROOT, Demand, Operator, World, exported, optimizer

pytestmark = pytest.mark.e2e

FORGED = {
    "phase": "Optimized",
    "originalReplicas": 2_000_000_000,
    "desiredReplicas": 77,
    "savings": {
        "since": "1970-01-01T00:00:00Z",
        "updated": "2199-01-01T00:00:00Z",
        "usd": 1e300,
        "actual": {"usd": -5.0, "replicaSeconds": -1e18},
    },
    "budget": {"spent": -1e9, "periodStartTime": "2199-01-01T00:00:00Z"},
    "lastDecision": {"id": "forged", "time": "1970-01-01T00:00:00Z", "reason": "Forged"},
    "conditions": [],
}


def raised_to_six(world: World, name: str) -> None:
    """One replica is found, six serve 42 per second, and deletion is to restore the one."""
    world.demand.loads[name] = 42.0
    world.deploy(name)
    manifest = optimizer(world.namespace, name)
    manifest["spec"]["deletionPolicy"] = "Restore"
    world.apply(manifest)
    eventually(lambda: world.replicas(name) == 6, 60, lambda: world.explain(name))


def test_a_forged_status_is_put_right_and_moves_nothing(own_world: Factory):
    world, _ = own_world()
    raised_to_six(world, "llm")
    forge(world, "llm")
    eventually(lambda: put_right(world, "llm"), 60, lambda: world.explain("llm"))
    assert world.status("llm")["originalReplicas"] == 1

    # Forged while nobody looks, it is believed only as far as it can be true: no savings beyond what was ever spent.
    world.operator.kill()
    forge(world, "llm")
    world.operator.start()
    world.operator.wait_ready()
    eventually(lambda: put_right(world, "llm"), 60, lambda: world.explain("llm"))
    assert world.replicas("llm") == 6
    savings = world.status("llm")["savings"]
    assert abs(savings.get("usd", 0.0)) < 1e6, savings
    assert savings["actual"]["replicaSeconds"] >= 0.0, savings
    assert "Traceback" not in world.operator.said()


def put_right(world: World, name: str) -> bool:
    status = world.status(name)
    return bool(status.get("desiredReplicas") == 6 and status.get("lastDecision", {}).get("id") != "forged")


def forge(world: World, name: str) -> None:
    patch = json.dumps({"status": FORGED})
    words = ("patch", "wo", name, "-n", world.namespace, "--subresource=status", "--type=merge", "-p", patch)
    world.cluster.kubectl(*words)


def test_a_namespace_goes_with_an_optimizer_that_is_to_restore(own_world: Factory):
    world, _ = own_world()
    raised_to_six(world, "llm")
    world.cluster.kubectl("delete", "namespace", world.namespace, "--timeout=60s")
    with pytest.raises(ClusterError, match="NotFound"):
        world.cluster.kubectl.get("namespace", world.namespace)
    world.cluster.kubectl("create", "namespace", world.namespace)  # for whoever cleans up


def test_a_target_that_is_deleted_and_made_again_is_another_one(own_world: Factory):
    world, _ = own_world()
    settled(world, "llm", 42.0, 6)
    world.cluster.kubectl("delete", "deployment", "llm", "-n", world.namespace)
    found = lambda: world.condition("llm", "TargetFound").get("status")  # noqa: E731
    eventually(lambda: found() == "False", 20, lambda: world.explain("llm"))
    world.deploy("llm")
    eventually(lambda: found() == "True" and world.replicas("llm") == 6, 30, lambda: world.explain("llm"))
    assert "Traceback" not in world.operator.said()


def test_a_prometheus_that_has_lost_its_data_shrinks_nothing_before_a_window_of_new_ones(own_world: Factory):
    world, prometheus = own_world()
    settled(world, "llm", 42.0, 6)
    prometheus.stop()
    subprocess.run(["rm", "-rf", str(prometheus.data_directory)], check=True)
    world.demand.loads["llm"] = 1.0
    prometheus.start(world.demand.scrape_config())
    always(lambda: world.replicas("llm") == 6, 5.0, lambda: world.explain("llm"))
    eventually(lambda: world.replicas("llm") < 6, 60, lambda: world.explain("llm"))
    assert "Traceback" not in world.operator.said()


def test_without_its_kinds_it_ends_with_the_reason_and_started_anew_it_serves_them_once_they_are_back(tmp_path: Path):
    with Cluster.start(nodes=[Node("gpu-0")]) as cluster, exported(Demand()) as demand, Prometheus() as prometheus:
        prometheus.start(demand.scrape_config())
        operator = Operator(install(cluster), tmp_path / "log", prometheus.url)
        operator.start()
        try:
            operator.wait_ready()
            cluster.kubectl("create", "namespace", "ai")
            world = World(cluster, "ai", demand, operator)
            settled(world, "llm", 20.0, 3)
            assert operator.process is not None
            cluster.kubectl("delete", "-f", str(ROOT / "crds"), "--timeout=30s")
            assert operator.process.wait(60) != 0
            assert "watches ended: 404 page not found. Are the CRDs installed" in operator.said()
            assert world.replicas("llm") == 3

            install(cluster)
            demand.loads["llm"] = 42.0
            world.apply(optimizer("ai", "llm"))
            operator.start()  # as the kubelet does
            eventually(lambda: world.replicas("llm") == 6, 90, operator.said)
        finally:
            operator.close()
