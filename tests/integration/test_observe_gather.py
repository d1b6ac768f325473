"""A whole look at a small fleet: real Prometheus, real API server, two weeks in small."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import numpy as np
import pytest
from kubernetes.aio import config

from hack.cluster import Cluster
from hack.cluster import Prometheus as Server
from kcloud_autoscale.domain.observation import Observation, WorkloadObservation
from kcloud_autoscale.domain.policy import DemandSource, FleetPolicy, MetricKind, MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from tests.integration.manifests import deployment
from tests.integration.series import Series, counting, histogram, steady, write_blocks
from tests.integration.waiting import eventually

pytestmark = pytest.mark.integration

START = int(time.time()) // 3600 * 3600 - 8 * 3600
LENGTH = 3600
NOW = float(START + LENGTH)
STEP = 60.0

LATENCY = MetricTarget("latency", MetricKind.VALUE, 0.5)
REQUESTS = MetricTarget("requests", MetricKind.AVERAGE_VALUE, 5.0)


@pytest.fixture(scope="module")
def pod_names(cluster: Cluster) -> Iterator[list[str]]:
    """Two real pods of Deployment ``llm`` in namespace ``look``."""
    cluster.kubectl("create", "namespace", "look")
    cluster.kubectl.apply([deployment("look", "llm", 2, "0s"), deployment("look", "quiet", 1, "0s")])

    def ready() -> list[str]:
        words = ("get", "pods", "-n", "look", "-l", "app=llm", "--field-selector=status.phase=Running")
        return cluster.kubectl(*words, "-o", "jsonpath={.items[*].metadata.name}").split()

    yield eventually(ready, lambda names: len(names) == 2, 30)
    cluster.kubectl("delete", "namespace", "look", "--wait=false")


@pytest.fixture(scope="module")
def server(pod_names: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An hour of load: a pod that is gone served 4/s for the first half, the two living ones 3/s each after it."""
    half = LENGTH // 2
    gone = {"namespace": "look", "pod": "llm-6d9f7c5b8-x2k4z"}
    series = [
        Series("vllm:request_success_total", {**gone, "finished_reason": "stop"}, lambda at: 4.0 * min(at, half)),
        *histogram("vllm:e2e_request_latency_seconds", gone, {0.1: 4.0, 1.0: 4.0, "+Inf": 4.0}),
    ]
    for name in pod_names:
        pod = {"namespace": "look", "pod": name}
        series += [
            Series("vllm:request_success_total", {**pod, "finished_reason": "stop"}, counting(3.0, half)),
            Series("vllm:num_requests_running", pod, steady(2.0)),
            Series("vllm:num_requests_waiting", pod, steady(1.0)),
            Series("DCGM_FI_DEV_POWER_USAGE", {**pod, "UUID": name, "modelName": "NVIDIA H100"}, steady(450.0)),
            Series("DCGM_FI_DEV_GPU_UTIL", {**pod, "UUID": name, "modelName": "NVIDIA H100"}, steady(60.0)),
        ]
    data = write_blocks(series, START, LENGTH, tmp_path_factory.mktemp("blocks"))
    with Server() as running:
        running.start(data_dir=data)
        yield running


@pytest.fixture
async def informers(cluster: Cluster, pod_names: list[str]) -> AsyncIterator[Informers]:
    async with await config.new_client_from_config(str(cluster.kubeconfig)) as client:
        watching = Informers(client, ("look",))
        watching.start()
        assert await watching.wait_synced(15.0)
        yield watching
        await watching.stop()


def fleet(*policies: WorkloadPolicy) -> FleetPolicy:
    return FleetPolicy({each.key: each for each in policies}, step_seconds=STEP)


def workload(name: str, demand: DemandSource, *targets: MetricTarget) -> WorkloadPolicy:
    return WorkloadPolicy(WorkloadKey("look", name), targets=targets, demand=demand, max_replicas=8)


VLLM = DemandSource("vllm")
LLM = workload("llm", VLLM, LATENCY, REQUESTS)


async def look(
    server_url: str, informers: Informers, policy: FleetPolicy, since: dict[WorkloadKey, float] | None = None
) -> Observation:
    client = Prometheus(PrometheusSettings(server_url, timeout_seconds=5.0))
    try:
        settings = GatherSettings(history_days=1 / 24, budget_seconds=4.0)
        return await Gatherer(client, informers, settings).gather(policy, since or {}, NOW)
    finally:
        client.close()


def only(observation: Observation) -> WorkloadObservation:
    (each,) = observation.workloads.values()
    return each


async def test_a_new_workload_comes_with_its_history_and_everything_about_now(
    server: Server, informers: Informers, pod_names: list[str]
) -> None:
    observation = await look(server.url, informers, fleet(LLM))
    seen = only(observation)

    assert observation.problems == ()
    assert isinstance(seen.demand, Sample)
    assert seen.demand.value == pytest.approx(6.0)
    assert seen.demand.at_seconds == NOW  # of the newest scrape
    assert [m.name for m in seen.metrics] == ["latency", "requests"]
    assert seen.metrics[1].total == seen.demand
    assert isinstance(seen.watts, Sample)
    assert seen.watts.value == pytest.approx(900.0)
    assert seen.watts_per_pod == pytest.approx(dict.fromkeys(pod_names, 450.0))
    assert isinstance(seen.utilization_fraction, Sample)
    assert seen.utilization_fraction.value == pytest.approx(0.6)
    assert seen.accelerator_model == "NVIDIA H100"
    assert seen.replica_accelerators == {"nvidia.com/gpu": 1}
    history = seen.demand_history
    assert history is not None
    # 3,600 s end 10 s too late to be settled: 59 steps of 60 s are complete. The first began with the first scrape,
    # 15 s after its window did: it would read as 3.2/s, and is not told.
    assert history.end_seconds == NOW - STEP
    assert history.start_seconds == START + STEP
    assert history.start_seconds % STEP == 0
    expected = np.where(np.arange(len(history.values)) * STEP + history.start_seconds < START + LENGTH / 2, 4.0, 6.0)
    joint = np.abs(history.start_seconds + np.arange(len(expected)) * STEP - (START + LENGTH / 2)) < STEP
    known = np.isfinite(history.values)
    assert known.all()
    assert history.values[~joint] == pytest.approx(expected[~joint], rel=1e-6)


async def test_a_known_workload_gets_the_steps_it_has_not_seen(server: Server, informers: Informers) -> None:
    seen = only(await look(server.url, informers, fleet(LLM), {LLM.key: NOW - 4 * STEP}))

    assert seen.demand_history is not None
    assert seen.demand_history.start_seconds == NOW - 4 * STEP
    assert seen.demand_history.values == pytest.approx([6.0, 6.0, 6.0])


async def test_pairs_for_capacity_come_from_load_ready_pods_and_latency(server: Server, informers: Informers) -> None:
    (piece,) = only(await look(server.url, informers, fleet(LLM))).capacity_history

    assert piece.metric_name == "latency"
    assert piece.step_seconds == 300.0
    # No kube-state-metrics: the pods that export the load are counted, two at any time.
    assert piece.ready_replicas[np.isfinite(piece.ready_replicas)] == pytest.approx(2.0)
    first_half = np.isfinite(piece.metric) & (piece.demand > 0)
    # All of the first half's requests are within 0.1 s: p95 at 95 % of that bucket.
    assert piece.metric[first_half][0] == pytest.approx(0.095)


async def test_capacity_pairs_come_once(server: Server, informers: Informers) -> None:
    client = Prometheus(PrometheusSettings(server.url))
    gatherer = Gatherer(client, informers, GatherSettings(history_days=1 / 24))
    first = only(await gatherer.gather(fleet(LLM), {}, NOW))
    second = only(await gatherer.gather(fleet(LLM), {LLM.key: NOW - STEP}, NOW + 5.0))
    client.close()

    assert len(first.capacity_history) == 1
    assert second.capacity_history == ()  # no further five minutes are complete yet


async def test_zero_nothing_stale_and_ambiguous_are_told_apart(server: Server, informers: Informers) -> None:
    def asking(name: str, query: str) -> WorkloadPolicy:
        return replace(workload(name, DemandSource(query=query)), target=TargetRef("apps/v1", "Deployment", "llm"))

    policies = [
        asking("zero", 'sum(rate(vllm:request_success_total{namespace="{{namespace}}", pod=~"{{name}}-.*"}[1m])) * 0'),
        asking("nothing", "no_such_metric"),
        asking("several", 'vllm:num_requests_running{namespace="{{namespace}}"}'),
        asking("negative", "-1 * sum(vllm:num_requests_running)"),
        asking("nan", "sum(vllm:num_requests_running) * 0 / 0"),
        asking("broken", "sum(rate(vllm:request_success_total"),
        asking("scalar", "scalar(sum(vllm:num_requests_running))"),
        replace(workload("quiet", VLLM)),
        workload("no-target", VLLM),
        replace(LLM, key=WorkloadKey("look", "unnamed"), target=TargetRef("apps/v1", "Deployment", "llm"),
                demand=DemandSource()),
    ]  # fmt: skip
    observation = await look(server.url, informers, fleet(*policies, LLM))
    demand = {key.name: each.demand for key, each in observation.workloads.items()}
    reasons = {name: each.reason for name, each in demand.items() if isinstance(each, Missing)}

    assert isinstance(demand["zero"], Sample)
    assert demand["zero"].value == 0.0
    assert isinstance(demand["unnamed"], Sample)  # its stack is found by what the target exports
    assert isinstance(demand["scalar"], Sample)
    assert demand["scalar"].value == 4.0  # two in each of two pods
    assert reasons == {
        "nothing": MissingReason.NO_DATA,
        "several": MissingReason.AMBIGUOUS,
        "negative": MissingReason.OUT_OF_RANGE,
        "nan": MissingReason.NOT_A_NUMBER,
        "broken": MissingReason.REFUSED,
        "quiet": MissingReason.NO_DATA,
        "no-target": MissingReason.NO_DATA,
    }
    several, broken = demand["several"], demand["broken"]
    assert isinstance(several, Missing)
    assert several.message.endswith("returns 2 series that differ in pod; it must return one")
    assert isinstance(broken, Missing)
    assert "unclosed left parenthesis" in broken.message
    assert "sum(rate(vllm:request_success_total" in broken.message
    # The one that works is none the worse for the others.
    assert isinstance(demand["llm"], Sample)


async def test_values_of_a_resource_cannot_leave_their_quotes(server: Server, informers: Informers) -> None:
    """A label value that would end its string and count a neighbour's load finds nothing instead."""
    hostile = 'x"} or vllm:num_requests_running{pod=~".*'
    attacked = replace(LLM, demand=DemandSource("vllm", labels=(("model_name", hostile),)))
    renamed = replace(
        LLM, key=WorkloadKey("look", "b"), target=TargetRef("apps/v1", "Deployment", "llm"),
        demand=DemandSource("vllm", labels=(('x="1"} or vector(1) #', "y"),)),
    )  # fmt: skip
    observation = await look(server.url, informers, fleet(attacked, renamed))

    demand = {key.name: each.demand for key, each in observation.workloads.items()}
    assert isinstance(demand["llm"], Missing)
    assert demand["llm"].reason is MissingReason.NO_DATA
    assert isinstance(demand["b"], Missing)
    assert demand["b"].reason is MissingReason.NOT_CONFIGURED


async def test_prometheus_away_leaves_the_cluster_and_says_why(informers: Informers) -> None:
    started = time.monotonic()
    observation = await look("http://127.0.0.1:9", informers, fleet(LLM))
    seen = only(observation)

    assert time.monotonic() - started < 5.0
    assert isinstance(seen.demand, Missing)
    assert seen.demand.reason is MissingReason.SOURCE_ERROR
    assert "127.0.0.1:9" in seen.demand.message
    assert seen.demand_history is None
    assert not isinstance(seen.target, Missing)
    assert seen.target.ready_replicas == 2
    assert all(isinstance(each.total, Missing) for each in seen.metrics)
    assert len(observation.problems) == 1
    assert observation.problems[0].startswith("Prometheus does not answer")


async def test_a_standstill_of_the_exporters_is_stale_and_not_zero(server: Server, informers: Informers) -> None:
    client = Prometheus(PrometheusSettings(server.url))
    gatherer = Gatherer(client, informers, GatherSettings(history_days=1 / 24))
    # 240 s after the last scrape a series is still found (Prometheus looks back 300 s), but 180 s is the limit.
    seen = only(await gatherer.gather(fleet(LLM), {LLM.key: NOW}, NOW + 240.0))
    client.close()

    assert isinstance(seen.demand, Missing)
    assert seen.demand.reason is MissingReason.STALE
    assert seen.demand.message == "demand (vllm): the newest sample is 240 s old"
