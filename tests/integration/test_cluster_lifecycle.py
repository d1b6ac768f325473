"""Clusters come and go: side by side, part by part, and without a trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hack.cluster import Cluster, ClusterError, Node
from tests.integration.waiting import eventually, is_running

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
PARTS = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
OWNER = """
import json, time
from hack.cluster import Cluster
cluster = Cluster.start()
cluster.prometheus.start()
print(json.dumps({"pids": cluster.pids, "directory": str(cluster.directory)}), flush=True)
time.sleep(600)
"""


def test_two_clusters_run_side_by_side_and_leave_nothing() -> None:
    with Cluster.start(nodes=[Node("first")]) as first, Cluster.start(nodes=[Node("second")]) as second:
        assert first.url != second.url
        assert first.kubectl("get", "nodes", "-o", "name") == "node/first\n"
        assert second.kubectl("get", "nodes", "-o", "name") == "node/second\n"
        pids = [*first.pids.values(), *second.pids.values()]
        assert set(first.pids) == PARTS
        assert all(map(is_running, pids))

    assert not any(map(is_running, pids))
    assert not first.directory.exists()
    assert not second.directory.exists()
    with pytest.raises(ClusterError):
        first.kubectl("get", "nodes")


def test_parts_come_back_on_the_same_port_with_their_data() -> None:
    with Cluster.start(nodes=[Node("gpu-0")]) as cluster:
        url = cluster.url
        cluster.stop_part("kube-apiserver")
        with pytest.raises(ClusterError, match=r"refused|connect"):
            cluster.kubectl("get", "nodes")
        cluster.start_part("kube-apiserver")
        assert cluster.url == url
        assert cluster.kubectl("get", "nodes", "-o", "name") == "node/gpu-0\n"

        cluster.stop_part("kwok", kill=True)
        cluster.start_part("kwok")
        cluster.add_node("gpu-1", {"nvidia.com/gpu": 4})  # fails unless the new kwok works at once

        with pytest.raises(ClusterError, match="runs already"):
            cluster.start_part("kwok")
        with pytest.raises(ClusterError, match="never started"):
            cluster.start_part("kubelet")


def test_nothing_outlives_an_owner_that_was_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    told = json.loads(owner.stdout.readline())
    pids = list(told["pids"].values())
    assert len(pids) == len(PARTS) + 1  # and Prometheus
    assert all(map(is_running, pids))

    owner.kill()
    owner.wait()

    eventually(lambda: [pid for pid in pids if is_running(pid)], lambda left: not left, 5)
    eventually(Path(told["directory"]).exists, lambda there: not there, 5)


def test_nothing_outlives_a_killed_supervisor() -> None:
    with Cluster.start() as cluster:
        pids = list(cluster.pids.values())
        supervisor = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(supervisor, signal.SIGKILL)

        eventually(lambda: [pid for pid in pids if is_running(pid)], lambda left: not left, 5)
        with pytest.raises(ClusterError, match=r"ended|stopped"):
            cluster.stop_part("kwok")
    assert not cluster.directory.exists()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hack.cluster", *words]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_brings_a_named_cluster_up_and_down() -> None:
    name = f"--name=test-{os.getpid()}"
    try:
        up = command("up", name, "--gpu-nodes=1")
        assert up.returncode == 0, up.stderr
        assert "export KUBECONFIG=" in up.stdout
        assert "gpu-0" in command("status", name).stdout
        again = command("up", name)
        assert again.returncode == 1
        assert "runs already" in again.stderr
    finally:
        down = command("down", name)
    assert "is down" in down.stderr
    status = command("status", name)
    assert status.returncode == 1
    assert "does not run" in status.stderr
