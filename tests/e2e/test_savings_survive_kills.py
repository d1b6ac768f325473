"""Ten kills under a scraping Prometheus: every panel of what was saved is within 1 % of what ran.

Four workloads whose counts stand still, so that the truth is a product: price x replicas x time.
"""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from hack.chart.release import CHART
from hack.cluster import Prometheus
from hack.cluster.ports import Ports
from tests.e2e.world import World, eventually, optimizer
from tests.integration.manifests import Manifest, deployment

pytestmark = pytest.mark.e2e

KILLS = 10
ALIVE_SECONDS = 3.5
USD, WATTS, GRAMS_PER_KWH = 2.0, 300.0, 400.0
WITHIN = 0.01
# What one replica more draws for the same work: an idle A100 of the device table, with its part of the host.
IDLE_WATTS = 60.0 * 1.3
# Name: load, replicas that run (mode Recommend touches nothing), replicas of an HPA at 70 %.
# It runs one fewer, and serves alike; it runs more than it needs; it lacks 6 of the 10 it needs; it has no load at all.
SAVER, WASTER, STARVED, TRAINING = "saver", "waster", "starved", "training"
WORKLOADS = {SAVER: (20.0, 2, 3), WASTER: (20.0, 5, 3), STARVED: (70.0, 1, 10), TRAINING: (None, 2, None)}


def told(world: World) -> str:
    """Load, draw, prices and the grid, as exporters tell them."""
    lines = [f'node_gpu_hourly_cost{{node="gpu-{index}"}} {USD}' for index in range(4)]
    lines.append(f'carbon_intensity{{location="here"}} {GRAMS_PER_KWH}')
    own = f'namespace="{world.namespace}"'
    loads = {name: load for name, (load, _, _) in WORKLOADS.items() if load is not None}
    lines += [f'demo_load{{{own},workload="{name}"}} {load}' for name, load in loads.items()]
    for pod in world.cluster.kubectl.get("pods", "-n", world.namespace)["items"]:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        labels = f'namespace="{world.namespace}",pod="{name}",UUID="{uid}",modelName="NVIDIA A100-SXM4-80GB"'
        lines.append(f"DCGM_FI_DEV_POWER_USAGE{{{labels}}} {WATTS}")
    return "\n".join(lines) + "\n"


def wanted(namespace: str, name: str) -> Manifest:
    made = optimizer(namespace, name, mode="Recommend", maxReplicas=20)
    made["spec"]["resources"] = {"gpu": 1}
    if name == TRAINING:
        del made["spec"]["autoScaling"]
        made["spec"]["workloadType"] = "training"
    return made


def ask(url: str, query: str, at_seconds: float) -> float | None:
    words = urllib.parse.urlencode({"query": query, "time": f"{at_seconds:.3f}"})
    with urllib.request.urlopen(f"{url}/api/v1/query?{words}", timeout=10) as answer:
        result: list[Any] = json.load(answer)["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def panels() -> dict[str, list[str]]:
    """Queries of the dashboard by title."""
    dashboard = json.loads((CHART / "dashboards" / "kcloud-savings.json").read_text())
    return {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    }


def shown(url: str, query: str, namespace: str, name: str, until: float, seconds: float) -> float | None:
    """What a panel shows of one workload over the seconds before an instant."""
    window = f"{seconds * 1000:.0f}ms"
    filled = query.replace("$__range", window).replace("$__rate_interval", window)
    filled = filled.replace("$namespace", namespace).replace("$name", name)
    return ask(url, filled.replace("$job", ".+").replace("$instance", ".+"), until)


def truth(name: str, hours: float) -> dict[str, float]:
    """What the panels of sums must show of one workload after so many hours."""
    load, ours, theirs = WORKLOADS[name]
    spent = {"Spent": ours * USD * hours}
    if load is None or theirs is None:
        return spent
    more = theirs - ours
    lacking = max(0, min(-(-int(load) // 10), theirs) - ours)
    usd, kwh = more * USD * hours, more * IDLE_WATTS / 1000.0 * hours
    missed = max(0.0, load - 10.0 * ours) / load
    saved = 0.0 if lacking else 1.0
    return spent | {
        "Saved": saved * usd,
        "Unproven": (1.0 - saved) * usd,
        "Of the baseline's cost": saved * more / theirs,
        "Energy saved": saved * kwh * 1000.0,
        "Carbon saved": saved * kwh * GRAMS_PER_KWH,
        "Load missed by us": missed,
        "Load missed by the baseline": 0.0,
    }


def rates(name: str) -> dict[str, list[float]]:
    """What the panels over time must show of it: the baseline's and ours, or one line."""
    load, ours, theirs = WORKLOADS[name]
    if load is None or theirs is None:
        return {}
    watts = ours * WATTS
    saved = (theirs - ours) * USD if name != STARVED else 0.0
    return {
        "Cost": [theirs * USD, ours * USD],
        "Power": [watts + (theirs - ours) * IDLE_WATTS, watts],
        "Replicas": [theirs, ours],
        "Money saved": [saved],
        "Optimization score": [{SAVER: 1.0, WASTER: 2.0 / 5.0, STARVED: 1.0 / 7.0}[name]],
    }


def test_ten_kills_change_no_panel_by_one_percent(own_world: Callable[..., tuple[World, Prometheus]]):
    ports = Ports()
    port = ports.reserve()
    world, prometheus = own_world(CYCLE_SECONDS="1", METRICS_PORT=str(port))
    own = (
        f"  - job_name: kcloud\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        "    honor_labels: true\n    scrape_interval: 500ms\n    scrape_timeout: 500ms\n"
    )
    prometheus.reload(world.demand.scrape_config() + own)
    counts = {name: ours for name, (_, ours, _) in WORKLOADS.items()}
    world.cluster.kubectl.apply(
        [deployment(world.namespace, name, ours, "0s", gpus=1) for name, ours in counts.items()]
    )
    pods = lambda: world.cluster.kubectl.get("pods", "-n", world.namespace)["items"]  # noqa: E731
    eventually(lambda: len(pods()) == sum(counts.values()), 20)
    world.demand.body = told(world)
    world.apply(*(wanted(world.namespace, name) for name in WORKLOADS))
    lines = panels()
    began = 'kcloud_lifetime_actual_cost_usd{name="%s"} > 0'
    compared = 'kcloud_lifetime_baseline_carbon_grams{name="%s"} > 0'
    known = [compared % name if load else began % name for name, (load, _, _) in WORKLOADS.items()]
    eventually(lambda: all(ask(prometheus.url, each, time.time()) for each in known), 40, lambda: statuses(world))
    start = time.time()
    for _ in range(KILLS):
        time.sleep(ALIVE_SECONDS)
        world.operator.kill()
        world.operator.start()
        world.operator.wait_ready()
    time.sleep(ALIVE_SECONDS)
    end = time.time()
    counted = ask(
        prometheus.url,
        f"max_over_time(kcloud_last_cycle_timestamp_seconds[{end - start:.0f}s])"
        f" - min_over_time((kcloud_last_cycle_timestamp_seconds > 0)[{end - start:.0f}s:500ms])",
        end,
    )
    assert counted == pytest.approx(end - start, abs=3.0)
    wrong = {}
    for name in WORKLOADS:
        expected = {title: [value] for title, value in truth(name, counted / 3600.0).items()} | rates(name)
        for title, values in expected.items():
            got = [shown(prometheus.url, query, world.namespace, name, end, end - start) for query in lines[title]]
            if got != [pytest.approx(value, rel=WITHIN, abs=1e-9) for value in values]:
                wrong[name, title] = (got, values)
    assert not wrong
    assert {name: world.replicas(name) for name in WORKLOADS} == counts


def statuses(world: World) -> dict[str, Any]:
    found = world.cluster.kubectl.get("workloadoptimizers", "-n", world.namespace)["items"]
    return {each["metadata"]["name"]: each.get("status", {}) for each in found}
