"""`kcloud-autoscale explain` beside the real API server: what it stores is what is told."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hack.cluster import Cluster
from kcloud_autoscale.act.status import workload_status
from tests.e2e.world import optimizer
from tests.unit.act.outcomes import decision, outcome, remembered

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def explain(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kcloud_autoscale", "explain", *words, "--kubeconfig", str(cluster.kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


def test_the_last_decision_is_told_from_the_stored_status(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl.wait_established("-f", str(ROOT / "crds"))
    cluster.kubectl.apply([optimizer(namespace, "llm")])
    fresh = explain(cluster, f"{namespace}/llm")
    assert fresh.returncode == 1
    assert "the operator has not written a status" in fresh.stdout

    status = workload_status(outcome(decision=decision(at_seconds=time.time() - 20.0)), {}, remembered(2))
    stored = cluster.kubectl.get("workloadoptimizer", "llm", "-n", namespace)
    file = tmp_path / "status.json"
    file.write_text(json.dumps({**stored, "status": status}), encoding="utf-8")
    cluster.kubectl("replace", "--subresource=status", "-f", str(file))
    told = explain(cluster, f"{namespace}/llm")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(f"{namespace}/llm  Deployment/llm  Optimizing")
    assert "Changed from 2 to 3 replicas, though 4 were asked for (MaxCostPerHour)." in told.stdout
    assert "raise spec.costConstraints.maxCostPerHour from 30 to 40 $/h" in told.stdout
    assert "The spec has changed since" not in told.stdout
    offline = cluster.kubectl("get", "workloadoptimizer", "llm", "-n", namespace, "-o", "yaml")
    file.write_text(offline, encoding="utf-8")
    assert explain(cluster, "-f", str(file)).stdout.splitlines()[1:2] == told.stdout.splitlines()[1:2]


def test_an_optimizer_that_is_not_there_is_said(cluster: Cluster, namespace: str) -> None:
    gone = explain(cluster, f"{namespace}/nobody")
    assert gone.returncode == 2
    assert f"there is no WorkloadOptimizer {namespace}/nobody" in gone.stderr
