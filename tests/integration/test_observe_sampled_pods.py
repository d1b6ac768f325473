"""A part of the Ready pods without samples makes a reading a lower bound: a real Prometheus, targets that go down."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from hack.cluster import Prometheus as Server
from kcloud_autoscale.domain.observation import WorkloadObservation
from kcloud_autoscale.domain.policy import DemandSource, FleetPolicy, MetricKind, MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.reading import AtLeast, BoundedReading, MissingReason, Sample
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.observe.tenant_queries import ALLOW_ALL
from tests.fakes.informers import filled_informers
from tests.integration.live_exporter import LiveExporter, vllm_pod
from tests.integration.series import Series, counting, steady, write_blocks

pytestmark = pytest.mark.integration

PODS = [f"w00000-6d9f7c5b8-bbbb{letter}" for letter in "bcdfgh"]  # as `filled_informers` names them
TARGET = TargetRef("apps/v1", "Deployment", "w00000")
QUEUE = MetricTarget("queue", MetricKind.AVERAGE_VALUE, 5.0)
OWN = 'sum(rate(vllm:request_success_total{namespace="{{namespace}}"}[5s]))'
# Of a gateway: the pod label is the gateway's own.
GATEWAY = 'sum(rate(gateway_requests_total{service="w00000"}[5s]))'


def workload(name: str, demand: DemandSource, *targets: MetricTarget) -> WorkloadPolicy:
    return WorkloadPolicy(WorkloadKey("ai", name), target=TARGET, demand=demand, targets=targets, max_replicas=9)


FLEET = [
    workload("preset", DemandSource("vllm"), QUEUE),
    workload("own", DemandSource(query=OWN)),
    workload("gateway", DemandSource(query=GATEWAY)),
    workload("idle", DemandSource("http")),
]


class Looking:
    def __init__(self, url: str, step_seconds: float, days: float) -> None:
        self.policy = FleetPolicy({each.key: each for each in FLEET}, step_seconds=step_seconds)
        self.client = Prometheus(PrometheusSettings(url, timeout_seconds=5.0))
        settings = GatherSettings(days, settle_seconds=1.0, budget_seconds=4.0, tenant_queries=ALLOW_ALL)
        self._gatherer = Gatherer(self.client, filled_informers(1, len(PODS)), settings)

    async def look(self, now_seconds: float | None = None) -> dict[str, WorkloadObservation]:
        now = time.time() if now_seconds is None else now_seconds
        found = await self._gatherer.gather(self.policy, {}, now)
        return {key.name: each for key, each in found.workloads.items()}

    async def until(self, kinds: dict[str, type], timeout_seconds: float = 25.0) -> dict[str, WorkloadObservation]:
        """Look twice a second until the demands are of these kinds."""
        end = time.monotonic() + timeout_seconds
        while time.monotonic() < end:
            seen = await self.look()
            if all(isinstance(seen[name].demand, kind) for name, kind in kinds.items()):
                return seen
            await asyncio.sleep(0.5)
        raise AssertionError({name: each.demand for name, each in seen.items()})


def http_pod(pod: str) -> str:
    """Only what was asked something has a series of requests; `up` is the target's."""
    return f'http_server_request_duration_seconds_count{{namespace="ai",pod="{pod}"}} {10.0 * time.time()!r}\n'


async def test_a_down_target_of_a_ready_pod_makes_demand_a_lower_bound() -> None:
    """Six pods serve 10/s each, two of them go dark; a third never had an HTTP request and is idle, not dark."""
    vllm = {pod: vllm_pod(pod, 10.0) for pod in PODS}
    pages = {
        f"/{pod}": (lambda pod=pod: vllm[pod]() + (http_pod(pod) if pod != PODS[0] else ""))  # type: ignore[misc]
        for pod in PODS
    }
    pages["/gateway"] = lambda: (
        f'gateway_requests_total{{service="w00000",namespace="edge",pod="gateway-1"}} {60.0 * time.time()!r}\n'
    )
    exporter = LiveExporter(pages)
    with exporter.serving(), Server() as server:
        server.start(_labelled(exporter))
        looking = Looking(server.url, 4.0, 0.01)
        every = dict.fromkeys(("preset", "own", "gateway", "idle"), Sample)
        whole = await looking.until(every)
        dark = {path: exporter.pages.pop(path) for path in (f"/{PODS[4]}", f"/{PODS[5]}")}
        part = await looking.until({"preset": AtLeast, "own": AtLeast, "idle": AtLeast})
        await asyncio.sleep(6.0)
        part = await looking.until({"preset": AtLeast, "own": AtLeast, "idle": AtLeast, "gateway": Sample})
        exporter.pages |= dark
        await looking.until(every)
        looking.client.close()

    assert whole["preset"].demand.value == pytest.approx(60.0, rel=0.1)  # type: ignore[union-attr]
    for name in ("preset", "own"):
        bound = part[name].demand
        assert isinstance(bound, AtLeast)
        assert bound.reason is MissingReason.PARTIAL_SAMPLES
        assert bound.value == pytest.approx(40.0, rel=0.12)
        assert bound.message.startswith("4 of 6 Ready pods have samples")
    assert PODS[4] in part["preset"].demand.message  # type: ignore[union-attr]
    queue: BoundedReading = part["preset"].metrics[0].total
    assert isinstance(queue, AtLeast)
    # The newest steps, whose windows reach to the dark pods, are not learned.
    history = part["preset"].demand_history
    assert history is None or np.isnan(history.values[-1])


def _labelled(exporter: LiveExporter) -> str:
    """As Prometheus' Kubernetes discovery would: the pod is a label of the target, and so of `up`."""
    target = f"'127.0.0.1:{exporter.port}'"
    jobs = "".join(
        f"- {{job_name: {path[1:]}, metrics_path: {path}, honor_labels: true, static_configs: "
        f"[{{targets: [{target}], labels: {{namespace: ai, pod: {path[1:]}}}}}]}}\n"
        for path in exporter.pages
    )
    return f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}"


async def test_steps_in_which_pods_had_no_samples_are_not_history(tmp_path: Path) -> None:
    """Six Ready by kube-state-metrics all the time, two of them without samples for ten minutes."""
    start, length, dark = int(time.time()) // 3600 * 3600 - 6 * 3600, 3600, range(1200, 1800)
    half_dark = [at for at in range(0, length + 1, 15) if at not in dark]
    lit = [Series("kube_deployment_status_replicas_ready", {"namespace": "ai", "deployment": "w00000"}, steady(6.0))]
    for pod in PODS:
        labels = {"namespace": "ai", "pod": pod}
        made = [Series("vllm:request_success_total", {**labels, "finished_reason": "stop"}, counting(10.0)),
                Series("vllm:num_requests_running", labels, steady(2.0))]  # fmt: skip
        if pod in PODS[:4]:
            lit += made
        else:
            data = write_blocks(made, start, length, tmp_path, half_dark)
    data = write_blocks(lit, start, length, tmp_path)
    with Server() as server:
        server.start(data_dir=data)
        looking = Looking(server.url, 60.0, 1 / 24)
        seen = (await looking.look(float(start + length)))["preset"]
        looking.client.close()

    assert isinstance(seen.demand, Sample)
    history = seen.demand_history
    assert history is not None
    at = history.start_seconds - start + 60.0 * np.arange(1, len(history.values) + 1)
    known = np.isfinite(history.values)
    assert history.values[known] == pytest.approx(60.0, rel=1e-6)  # never a fraction of it
    assert not known[(at >= 1260) & (at <= 1800)].any()
    assert known[(at < 1140) | (at > 2000)].all()
