"""The API server goes away and comes back: nothing is lost, nothing is done twice, nobody restarts the operator."""

import time
from pathlib import Path

import pytest

from hack.chart.release import install
from hack.cluster import Cluster, Node
from tests.e2e.world import Demand, Operator, World, eventually, exported, optimizer

pytestmark = pytest.mark.e2e

# Longer than the 15 s of a Lease: the lead is lost on the way.
AWAY_SECONDS = 20.0


def test_the_operator_outlives_the_api_server_and_goes_on(tmp_path: Path):
    with Cluster.start(nodes=[Node("gpu-0", {"nvidia.com/gpu": 8})]) as cluster, exported(Demand()) as demand:
        cluster.prometheus.start(demand.scrape_config())
        operator = Operator(install(cluster), tmp_path / "log", cluster.prometheus.url)
        operator.start()
        try:
            operator.wait_ready()
            cluster.kubectl("create", "namespace", "ai")
            world = World(cluster, "ai", demand, operator)
            demand.loads["llm"] = 20.0
            world.deploy("llm")
            world.apply(optimizer("ai", "llm"))
            eventually(lambda: world.replicas("llm") == 3, 20, lambda: world.explain("llm"))
            cluster.stop_part("kube-apiserver", kill=True)
            demand.loads["llm"] = 42.0
            time.sleep(AWAY_SECONDS)
            assert "kcloud_leader 0.0" in operator.get("metrics", "/metrics")[1]
            cluster.start_part("kube-apiserver")
            eventually(lambda: world.replicas("llm") == 6, 60, lambda: world.explain("llm"))
            eventually(lambda: operator.get("probe", "/readyz")[0] == 200, 60, operator.said)
            assert operator.process is not None
            assert operator.process.poll() is None
        finally:
            operator.close()
