"""The dashboards on what a real operator exports to a real Prometheus: every panel has something to show."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hack.chart.release import CHART, install
from hack.cluster import Cluster, Node
from tests.e2e.world import Demand, Operator, World, eventually, exported, optimizer
from tests.integration.manifests import deployment

pytestmark = pytest.mark.e2e

VARIABLES = {
    "$job": ".+",
    "$instance": ".+",
    "$namespace": ".+",
    "$name": ".+",
    "$__rate_interval": "10s",
    "$__range": "20s",
}
# Nothing went wrong, and nobody tells how much carbon the grid emits.
RIGHTLY_EMPTY = {"Worker processes that ended unasked", "Carbon saved"}


def ask(url: str, expression: str) -> list[Any]:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    words = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{url}/api/v1/query?{words}", timeout=10) as answer:
        result: list[Any] = json.load(answer)["data"]["result"]
    return [each for each in result if each["value"][1] != "NaN"]


def panels() -> list[dict[str, Any]]:
    dashboards = [json.loads(path.read_text()) for path in sorted((CHART / "dashboards").glob("*.json"))]
    return [panel for each in dashboards for panel in each["panels"] if panel["type"] != "row"]


def measured_watts(world: World) -> str:
    """What the exporter of the device tells of each pod."""
    pods = world.cluster.kubectl.get("pods", "-n", world.namespace)["items"]
    return "".join(
        f'DCGM_FI_DEV_POWER_USAGE{{namespace="{world.namespace}",pod="{pod["metadata"]["name"]}",gpu="0"}} 250\n'
        for pod in pods
    )


def test_every_panel_has_something_to_show(tmp_path: Path):
    device = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    nodes = [Node("gpu-0", {"nvidia.com/gpu": 8}, device)]
    with Cluster.start(nodes=nodes) as cluster, exported(Demand({"llm": 24.0})) as demand:
        cluster.kubectl("create", "namespace", "ai")
        cluster.kubectl.apply([deployment("ai", "llm", 1, "0s")])
        cluster.prometheus.start(demand.scrape_config())
        operator = Operator(install(cluster), tmp_path / "log", cluster.prometheus.url, TIME_SCALE="60")
        operator.start()
        try:
            operator.wait_ready()
            world = World(cluster, "ai", demand, operator)
            target = f"127.0.0.1:{operator.ports()['metrics']}"
            own = f"  - job_name: kcloud\n    static_configs: [{{targets: ['{target}']}}]\n    honor_labels: true\n"
            cluster.prometheus.reload(demand.scrape_config() + own)
            wanted = optimizer("ai", "llm")
            wanted["spec"] |= {"resources": {"gpu": 1}, "costConstraints": {"maxCostPerHour": 100}}
            world.apply(wanted)
            eventually(lambda: world.replicas("llm") > 1, 20, lambda: world.explain("llm"))
            demand.body = demand.text() + measured_watts(world)
            queries = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]

            def empty() -> list[tuple[str, str]]:
                return [
                    (title, query)
                    for title, query in queries
                    if title not in RIGHTLY_EMPTY and not ask(cluster.prometheus.url, query)
                ]

            eventually(lambda: not empty(), 60, lambda: (empty(), operator.get("metrics", "/metrics")[1]))
        finally:
            operator.close()
