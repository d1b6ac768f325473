"""`kcloud-autoscale check` beside a real API server and a real Prometheus."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hack.cluster import Cluster, Prometheus
from tests.e2e.world import optimizer
from tests.integration.manifests import deployment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def check(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kcloud_autoscale", "check", *words]
    if "-f" not in words:
        command += ["--kubeconfig", str(cluster.kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


def test_a_cluster_is_checked_and_its_dump_tells_the_same(
    cluster: Cluster, namespace: str, tmp_path: Path, prometheus: Callable[[], Prometheus]
) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl.wait_established("-f", str(ROOT / "crds"))
    cluster.kubectl.apply([deployment(namespace, "llm", 2, "0s", gpus=2), optimizer(namespace, "llm")])
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/llm", "--timeout=60s")
    server = prometheus()
    server.start()
    dump = tmp_path / "dump"

    told = check(cluster, f"{namespace}/llm", "--prometheus", server.url, "-o", "json", "--dump", str(dump))

    assert told.returncode == 1, told.stderr  # nothing exports the load
    assert "ok   Prometheus answers" in told.stderr
    assert "ok   CustomResourceDefinitions of kcloud.io/v1alpha1 are installed" in told.stderr
    assert "ok   may patch deployments/scale (apps)" in told.stderr
    (only,) = json.loads(told.stdout)
    target = only["target"]
    assert (target["kind"], target["name"], target["replicas"], target["readyReplicas"]) == ("Deployment", "llm", 2, 2)
    assert [(each["resource"], each["count"]) for each in only["devices"]] == [("nvidia.com/gpu", 2)]
    assert only["decision"]["from"] == only["decision"]["to"] == 2
    assert "gpu-0" not in (dump / "objects.yaml").read_text()
    (replayed,) = json.loads(check(cluster, "-f", str(dump), "-o", "json").stdout)
    # The message about the price names the node, and that name was replaced.
    assert " on node node-" in replayed["usdPerReplicaHour"]["message"]
    told_alike = only.keys() - {"usdPerReplicaHour", "doubts"}
    assert {name: replayed[name] for name in told_alike} == {name: only[name] for name in told_alike}


def test_what_is_not_there_is_said(cluster: Cluster, namespace: str, prometheus: Callable[[], Prometheus]) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl.wait_established("-f", str(ROOT / "crds"))
    away = check(cluster, f"{namespace}/nobody", "--prometheus", prometheus().url)
    assert away.returncode == 2
    assert "FAIL Prometheus answers" in away.stderr
    assert f"there is no WorkloadOptimizer {namespace}/nobody" in away.stderr
