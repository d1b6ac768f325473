"""Everything the story needs, put up in order: cluster, two weeks of history, exporter, real HPA, operator."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from hack.chart import release
from hack.cluster import Cluster, Node, tool
from hack.cluster.ports import Ports
from hack.demo import manifests
from hack.demo.progress import Progress
from hack.demo.scenario import (
    CAPACITY_PER_REPLICA,
    CYCLE_SECONDS,
    DAY_SECONDS,
    HISTORY_DAYS,
    HPA_SYNC_SECONDS,
    MAX_REPLICAS,
    MIN_REPLICAS,
    NAMESPACE,
    OURS,
    SCRAPE_SECONDS,
    STARTUP_SECONDS,
    TIME_SCALE,
    TWIN,
    WINDOW_SECONDS,
    Timeline,
    arrivals,
)
from hack.load import external_metrics
from hack.load.demand import DemandShape, morning_ramp
from hack.load.exporter import scrape_config, serving
from hack.load.past import PastPlan
from hack.load.queueing import Replica
from hack.load.scenario import Scenario
from hack.load.service import Service
from hack.load.watch import ready_pods

REPOSITORY = Path(__file__).resolve().parents[2]
OUTPUT = REPOSITORY / "out"
# From the control plane's start to the ramp, where that start took 5 s: pods, history, operator, and its lead.
SETUP_SECONDS = 66


@dataclass(slots=True)
class Stage:
    """What is up."""

    cluster: Cluster
    timeline: Timeline
    prometheus_url: str
    operator: subprocess.Popen[bytes]
    operator_log: Path


@asynccontextmanager
async def stage(progress: Progress) -> AsyncIterator[Stage]:
    """Put everything up, and take everything down again whatever happens."""
    nodes = [
        Node(f"gpu-{i}", {"nvidia.com/gpu": 8}, {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}) for i in range(6)
    ]
    with progress.step("control plane (etcd, kube-apiserver, controller-manager, scheduler, kwok)"):
        began = time.monotonic()
        cluster = await asyncio.to_thread(Cluster.start, nodes=nodes, hpa_sync_seconds=HPA_SYNC_SECONDS)
        slowness = min(3.0, max(1.0, (time.monotonic() - began) / 5.0))
    with cluster:
        with progress.step("two Deployments, and the chart: CRDs, the operator's ServiceAccount and roles"):
            await asyncio.to_thread(_apply, cluster)
        # The daily wave is in the history, so its time is settled now, and a slow machine is given longer.
        timeline = Timeline(time.time() // CYCLE_SECONDS * CYCLE_SECONDS + round(SETUP_SECONDS * slowness))
        async with _load(cluster, timeline, progress) as operator_port:
            with progress.step("the real HPA on the twin, the WorkloadOptimizer on ours"):
                await asyncio.to_thread(cluster.kubectl.apply, [manifests.optimizer(), manifests.autoscaler()])
            log = OUTPUT / "operator.log"
            with progress.step("the operator, under its own ServiceAccount"):
                process = _operator(cluster, operator_port, log)
            try:
                yield Stage(cluster, timeline, cluster.prometheus.url, process, log)
            finally:
                _stop(process)


def _apply(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl.apply([manifests.deployment(name, 4) for name in (OURS, TWIN)])
    release.install(cluster)


@asynccontextmanager
async def _load(cluster: Cluster, timeline: Timeline, progress: Progress) -> AsyncIterator[int]:
    """History, Prometheus, the exporter and the External metrics API; the port left for the operator's metrics."""
    scenario = Scenario(_services(), _demand(timeline), _plan(time.time()))
    prometheus, kubeconfig = cluster.prometheus, str(cluster.kubeconfig)
    with progress.step(f"{HISTORY_DAYS} days of history, written while the pods start") as note:
        written, _ = await asyncio.gather(
            asyncio.to_thread(scenario.write_blocks, prometheus.data_directory, tool("promtool")),
            asyncio.to_thread(_wait_for_pods, cluster),
        )
        note(f"{written / 1e6:.1f} M samples")
    living = {f"{NAMESPACE}/{name}": await ready_pods(kubeconfig, NAMESPACE, name) for name in (OURS, TWIN)}
    operator_port = Ports().reserve()
    certificate = await asyncio.to_thread(cluster.server_certificate, "external-metrics")
    handover = scenario.hand_over(time.time(), living)
    signal = {manifests.EXTERNAL_METRIC: arrivals("$workload", namespace="$namespace")}
    metrics = external_metrics.ExternalMetrics(prometheus.url, signal)
    async with (
        serving(handover.exporter, kubeconfig) as port,
        external_metrics.serving(metrics, certificate.certificate, certificate.key) as api_port,
    ):
        with progress.step("Prometheus, and what happened in the last hours") as note:
            await asyncio.to_thread(prometheus.start, _prometheus_config(port, operator_port))
            note(f"{await handover.fill(prometheus.url) / 1e6:.1f} M samples")
        await asyncio.to_thread(cluster.register_external_metrics, api_port)
        yield operator_port


def _wait_for_pods(cluster: Cluster) -> None:
    for name in (OURS, TWIN):
        cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=60s")


def _services() -> list[Service]:
    replica = Replica(capacity_per_second=CAPACITY_PER_REPLICA)
    return [Service(NAMESPACE, name, replica) for name in (OURS, TWIN)]


def _demand(timeline: Timeline) -> DemandShape:
    return morning_ramp(
        timeline.ramp_seconds,
        day_seconds=DAY_SECONDS,
        rise_seconds=Timeline.RISE_SECONDS,
        hold_seconds=Timeline.HOLD_SECONDS,
        fall_seconds=Timeline.FALL_SECONDS,
        jitter_seconds=Timeline.JITTER_SECONDS,
    )


def _plan(now_seconds: float) -> PastPlan:
    return PastPlan.before(
        now_seconds,
        days=HISTORY_DAYS / TIME_SCALE,
        detail_days=0.05,
        step_seconds=float(SCRAPE_SECONDS),
        startup_seconds=STARTUP_SECONDS,
        stabilization_seconds=WINDOW_SECONDS,
        min_replicas=MIN_REPLICAS,
        max_replicas=MAX_REPLICAS,
    )


def _prometheus_config(load_port: int, operator_port: int) -> str:
    operator = scrape_config(operator_port, SCRAPE_SECONDS) | {"job_name": "kcloud-autoscale"}
    return yaml.safe_dump(
        {
            "storage": {"tsdb": {"out_of_order_time_window": "6h"}},
            "scrape_configs": [scrape_config(load_port, SCRAPE_SECONDS), operator],
        }
    )


def _operator(cluster: Cluster, port: int, log: Path) -> subprocess.Popen[bytes]:
    """As in a cluster: a process with a token and a Prometheus address, and nothing else to know the load by."""
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig_for(release.NAMESPACE, release.NAME)),
        "PROMETHEUS_URL": cluster.prometheus.url,
        "WATCH_NAMESPACE": NAMESPACE,
        "POD_NAMESPACE": release.NAMESPACE,
        "OPERATOR_NAME": release.NAME,
        "CYCLE_SECONDS": str(CYCLE_SECONDS),
        "STEP_SECONDS": str(CYCLE_SECONDS),
        "SETTLE_SECONDS": str(2 * SCRAPE_SECONDS),
        "MAX_METRIC_AGE_SECONDS": str(3 * CYCLE_SECONDS),
        "HISTORY_DAYS": str(HISTORY_DAYS / TIME_SCALE),
        "TIME_SCALE": str(TIME_SCALE),
        "METRICS_PORT": str(port),
        "PROBE_PORT": "0",
        "BIND_ADDRESS": "127.0.0.1",
    }
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "kcloud_autoscale", "run"]
        return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
