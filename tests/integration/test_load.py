"""The load beside real parts: readiness from an API server, history in a Prometheus, a value for the HPA controller."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import numpy as np
import pytest
import yaml

from hack.cluster import Cluster, Node, Prometheus, tool
from hack.load import external_metrics
from hack.load.demand import DemandShape, morning_ramp
from hack.load.exporter import Exporter, scrape_config, serving
from hack.load.exposition import Fault, FaultKind
from hack.load.history import HEAD_SECONDS
from hack.load.live import LiveService
from hack.load.past import PastPlan
from hack.load.scenario import Scenario
from hack.load.service import Service
from hack.load.watch import ready_pods

pytestmark = pytest.mark.integration

SCRAPE_SECONDS = 1.0
STEP_SECONDS = 15.0
ARRIVALS = 'sum(rate(istio_requests_total{destination_workload="llm"}[1m]))'


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    node = Node("gpu-0", {"nvidia.com/gpu": 16}, {"karpenter.sh/capacity-type": "spot"})
    with Cluster.start(nodes=[node], hpa_sync_seconds=2.0) as started:
        started.kubectl("create", "namespace", "demo")
        for name in ("llm", "twin"):
            started.kubectl.apply([deployment(name, replicas=2)])
            started.kubectl("-n", "demo", "rollout", "status", f"deployment/{name}", "--timeout=60s")
        yield started


async def test_exporter_follows_ready_pods(cluster: Cluster) -> None:
    async with serving(Exporter([steady_service("llm", 10.0)]), str(cluster.kubeconfig)) as port:
        assert await eventually(lambda: serves(port, 2))
        await kubectl(cluster, "scale", "deployment/llm", "--replicas=4")
        # A pod that is scheduled but not ready holds its device at idle power and serves nothing yet.
        assert await eventually(lambda: holds_devices(port, 4))
        assert await serves(port, 2)
        assert sorted((await pods_with(port, "DCGM_FI_DEV_POWER_USAGE")).values())[:2] == [60.0, 60.0]
        assert await eventually(lambda: serves(port, 4))
        names = await kubectl(cluster, "get", "pods", "-l", "app=llm", "-o", "jsonpath={.items[*].metadata.name}")
        assert set(await pods_with(port, "vllm:num_requests_running")) == set(names.split())
        await kubectl(cluster, "scale", "deployment/llm", "--replicas=2")
        assert await eventually(lambda: serves(port, 2))
        # 16 accelerators of a spot node at two fifths of 3.43 $/h.
        assert await value(port, "node_total_hourly_cost") == pytest.approx(16 * 3.43 * 0.4, abs=0.001)


async def test_exporter_outlives_an_api_server_outage(cluster: Cluster) -> None:
    async with serving(Exporter([steady_service("llm", 10.0)]), str(cluster.kubeconfig)) as port:
        assert await eventually(lambda: serves(port, 2))
        await asyncio.to_thread(cluster.stop_part, "kube-apiserver", kill=True)
        before = await value(port, "istio_requests_total")
        await asyncio.sleep(2)
        assert await serves(port, 2)  # as last seen
        assert await value(port, "istio_requests_total") >= before + 15  # 10/s for 2 s
        await asyncio.to_thread(cluster.start_part, "kube-apiserver")
        await kubectl(cluster, "scale", "deployment/llm", "--replicas=3")
        assert await eventually(lambda: serves(port, 3), timeout_seconds=60)
        await kubectl(cluster, "scale", "deployment/llm", "--replicas=2")
        assert await eventually(lambda: serves(port, 2))


async def test_two_weeks_of_history_join_the_present_without_a_hole(cluster: Cluster) -> None:
    now = time.time() // STEP_SECONDS * STEP_SECONDS
    living = {"demo/llm": await ready_pods(str(cluster.kubeconfig), "demo", "llm")}
    scenario = Scenario(
        services=[Service("demo", "llm")],
        demand=morning_ramp(now + 3600, level_per_second=12.0),  # 12/s over 70 % of 10/s: two replicas
        plan=PastPlan.before(now, min_replicas=2, step_seconds=STEP_SECONDS),
    )
    with Prometheus() as prometheus:
        written = await asyncio.to_thread(scenario.write_blocks, prometheus.data_directory, tool("promtool"), living)
        handover = scenario.hand_over(time.time(), living)
        async with serving(handover.exporter, str(cluster.kubeconfig)) as port:
            await asyncio.to_thread(prometheus.start, prometheus_config(port))
            await asyncio.sleep(3)  # scrapes may come first: what is filled in is older, and takes its place
            filled = await handover.fill(prometheus.url)
            await asyncio.sleep(20)
            until = time.time() // STEP_SECONDS * STEP_SECONDS - STEP_SECONDS
        assert written > 1_000_000
        assert filled > 3 * 240 * 5  # three hours at four samples a minute, of five series at least
        # Fourteen days at 15 s, in chunks below the limit of 11,000 points: no step is missing.
        for day in range(14):
            since = now - 86_400 * (day + 1) + 60
            points = await query_range(prometheus.url, ARRIVALS, since, since + 86_400 - 75)
            assert len(points) == 86_400 / STEP_SECONDS - 4
        # The joints: blocks to remote write three hours ago, remote write to scrapes just now. A hole or a counter that
        # starts again would show as a rate far from the demand that made it.
        for since, end in ((now - HEAD_SECONDS - 300, now - HEAD_SECONDS + 300), (now - 120, until)):
            points = await query_range(prometheus.url, ARRIVALS, since, end)
            assert len(points) == (end - since) // STEP_SECONDS + 1
            told = np.array([rate for _, rate in points])
            meant = [scenario.demand.sample(np.arange(at - 60, at, 1.0)).mean() for at, _ in points]
            assert told == pytest.approx(np.array(meant), rel=0.2)
        # The living pods carry their counters over: the same series before, at and after the joint.
        names = "|".join(pod.name for pod in living["demo/llm"])
        finished = f'count(vllm:request_success_total{{pod=~"{names}"}})'
        assert {count for _, count in await query_range(prometheus.url, finished, now - 60, until)} == {2.0}
        p95 = "histogram_quantile(0.95, sum by (le) (rate(vllm:e2e_request_latency_seconds_bucket[1m])))"
        assert all(0.5 < at < 3 for _, at in await query_range(prometheus.url, p95, now - 120, until))


async def test_real_hpa_scales_on_the_external_metric(cluster: Cluster) -> None:
    certificate = await asyncio.to_thread(cluster.server_certificate, "external-metrics")
    exporter = Exporter([steady_service("twin", 26.0)])
    with Prometheus() as prometheus:
        selected = 'destination_workload_namespace="$namespace",destination_workload="$workload"'
        arrivals = f"sum(rate(istio_requests_total{{{selected}}}[10s]))"
        metrics = external_metrics.ExternalMetrics(prometheus.url, {"requests_per_second": arrivals})
        async with (
            serving(exporter, str(cluster.kubeconfig)) as port,
            external_metrics.serving(metrics, certificate.certificate, certificate.key) as api_port,
        ):
            await asyncio.to_thread(prometheus.start, prometheus_config(port))
            await asyncio.to_thread(cluster.register_external_metrics, api_port)
            await asyncio.to_thread(cluster.kubectl.apply, [autoscaler("twin", target_per_replica="7")])
            # 26/s over 70 % of 10/s a replica: 3.7, so four.
            assert await eventually(lambda: has_replicas(cluster, 4), timeout_seconds=60)
            exporter.faults.active.append(Fault(FaultKind.NAN, "istio_requests_total"))
            # Without a usable value the real HPA holds, and says so.
            assert await eventually(lambda: says_it_cannot_scale(cluster), timeout_seconds=60)
            assert await has_replicas(cluster, 4)


def deployment(name: str, replicas: int) -> dict[str, Any]:
    """Pods that take two seconds to be scheduled and created and two more to be ready, on one accelerator each."""
    delays = {"pod-create.stage.kwok.x-k8s.io/delay": "1s", "pod-ready.stage.kwok.x-k8s.io/delay": "4s"}
    container = {"name": "server", "image": "vllm/vllm-openai", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    template = {"metadata": {"labels": {"app": name}, "annotations": delays}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def autoscaler(name: str, target_per_replica: str) -> dict[str, Any]:
    metric = {"name": "requests_per_second", "selector": {"matchLabels": {"workload": name}}}
    target = {"type": "AverageValue", "averageValue": target_per_replica}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": 8,
            "metrics": [{"type": "External", "external": {"metric": metric, "target": target}}],
        },
    }


def steady_service(name: str, arrivals_per_second: float) -> LiveService:
    demand = DemandShape(level_per_second=arrivals_per_second, daily_fraction=0, weekend_fraction=1, noise_fraction=0)
    return LiveService(Service("demo", name), demand, time.time())


def prometheus_config(port: int) -> str:
    return yaml.safe_dump(
        {
            "storage": {"tsdb": {"out_of_order_time_window": "6h"}},
            "scrape_configs": [scrape_config(port, SCRAPE_SECONDS)],
        }
    )


async def fetch(url: str) -> str:
    async with aiohttp.request("GET", url) as answer:
        return await answer.text()


async def pods_with(port: int, metric: str) -> dict[str, float]:
    """Pod → value of the metric's series, as the exporter serves them."""
    text = await fetch(f"http://127.0.0.1:{port}/metrics")
    lines = [line for line in text.splitlines() if line.startswith(metric + "{")]
    return {line.split('pod="')[1].split('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


async def value(port: int, metric: str) -> float:
    """Sum of the metric's series."""
    text = await fetch(f"http://127.0.0.1:{port}/metrics")
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(metric + "{"))


async def holds_devices(port: int, count: int) -> bool:
    return len(await pods_with(port, "DCGM_FI_DEV_POWER_USAGE")) == count


async def serves(port: int, count: int) -> bool:
    return len(await pods_with(port, "vllm:num_requests_running")) == count


async def query_range(url: str, query: str, since: float, until: float) -> list[tuple[float, float]]:
    """Instants and values of the one series that answers."""
    parameters = {"query": query, "start": str(since), "end": str(until), "step": str(STEP_SECONDS)}
    async with aiohttp.request("GET", f"{url}/api/v1/query_range", params=parameters) as answer:
        (series,) = (await answer.json())["data"]["result"]
    return [(float(at), float(told)) for at, told in series["values"]]


async def kubectl(cluster: Cluster, *words: str) -> str:
    """In the namespace of the test, off the loop that serves the exporter."""
    return await asyncio.to_thread(cluster.kubectl, "-n", "demo", *words)


async def has_replicas(cluster: Cluster, count: int) -> bool:
    return await kubectl(cluster, "get", "deployment", "twin", "-o", "jsonpath={.spec.replicas}") == str(count)


async def says_it_cannot_scale(cluster: Cluster) -> bool:
    status = json.loads(await kubectl(cluster, "get", "hpa", "twin", "-o", "json"))["status"]
    return ("ScalingActive", "False") in {(each["type"], each["status"]) for each in status.get("conditions", [])}


async def eventually(holds: Callable[[], Awaitable[bool]], timeout_seconds: float = 30.0) -> bool:
    """Whether it comes to hold; asked twice a second."""
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if await holds():
            return True
        await asyncio.sleep(0.5)
    return False
