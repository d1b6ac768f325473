"""Every query of `observe.queries` on a real Prometheus: with its data (the number worked out here) and without."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from hack.cluster import Prometheus as Server
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.presets import PRESETS
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.observe.promql import PodNaming, Selection
from tests.integration.series import Series, counting, histogram, steady, write_blocks

pytestmark = pytest.mark.integration

# Blocks must end three hours before now, or the head overlaps them.
START = int(time.time()) // 3600 * 3600 - 6 * 3600
LENGTH = 1800
NOW = START + LENGTH
WINDOW = 75.0

A, B = "llm-6d9f7c5b8-x2k4z", "llm-6d9f7c5b8-bbbbb"
LLM = Selection(("ai",), ("llm",))
STATEFUL = Selection(("ai",), ("llm",), PodNaming.STATEFUL_SET)
BUCKETS: dict[float | str, float] = {0.1: 5.0, 0.5: 9.0, 1.0: 10.0, "+Inf": 10.0}
# 95 % of 10/s are 9.5: halfway between 9 at 0.5 s and 10 at 1 s, so 0.75 s.
P95_SECONDS = 0.75


def pod(name: str, namespace: str = "ai", **labels: str) -> dict[str, str]:
    return {"namespace": namespace, "pod": name, **labels}


def exported(name: str, namespace: str = "ai", **labels: str) -> dict[str, str]:
    """As an exporter's own pod labels are stored without honorLabels."""
    return {
        "namespace": "monitoring",
        "pod": "exporter-0",
        "exported_namespace": namespace,
        "exported_pod": name,
        **labels,
    }


def server_of(prefix: str, success: str, running: str, waiting: str) -> list[Series]:
    """Two pods: each finishes 3/s; in one, requests in flight grow by 0.5/s running and 0.25/s waiting."""
    return [
        Series(f"{prefix}{success}", pod(A, finished_reason="stop"), counting(3.0)),
        Series(f"{prefix}{success}", pod(B, finished_reason="stop"), counting(3.0)),
        Series(f"{prefix}{running}", pod(A), steady(4.0)),
        Series(f"{prefix}{running}", pod(B), counting(0.5)),
        Series(f"{prefix}{waiting}", pod(A), steady(2.0)),
        Series(f"{prefix}{waiting}", pod(B), counting(0.25)),
    ]


def all_series() -> list[Series]:
    """Data of every stack for Deployment ``llm``, and of neighbours that must not be counted."""
    found = [
        *server_of("vllm:", "request_success_total", "num_requests_running", "num_requests_waiting"),
        # Scraped under a second name as KServe does: the same load, never its double.
        *server_of("kserve_vllm:", "request_success_total", "num_requests_running", "num_requests_waiting"),
        *server_of("sglang:", "num_requests_total", "num_running_reqs", "num_queue_reqs"),
        *server_of("tgi_", "request_success", "batch_current_size", "queue_size"),
        Series("vllm:num_requests_waiting_by_reason", pod(A, reason="capacity"), steady(99.0)),
        Series("vllm:request_success_total", pod("llm-batch-6d9f7c5b8-x2k4z", finished_reason="stop"), counting(50.0)),
        Series("vllm:request_success_total", pod(A, namespace="other", finished_reason="stop"), counting(70.0)),
        Series("nv_inference_request_success", pod(A, model="m", version="1"), counting(3.0)),
        Series("nv_inference_pending_request_count", pod(A, model="m"), counting(0.5)),
        *(Series("nv_inference_request_summary_us", pod(p, quantile="0.95"), steady(us))
          for p, us in ((A, 2e5), (B, 3e5))),
        Series("kn_serving_invocation_duration_seconds_count", exported(A, response_code="200"), counting(10.0)),
        Series("kn_serving_queue_depth", exported(A), steady(7.0)),
        Series("ray_serve_deployment_request_counter_total", pod(A, deployment="d1"), counting(4.0)),
        Series("ray_serve_deployment_request_counter_total", pod(A, deployment="d2"), counting(40.0)),
        Series("ray_serve_deployment_queued_queries", pod(A, deployment="d1"), steady(3.0)),
        Series("http_server_request_duration_seconds_count", pod(A, http_response_status_code="200"), counting(5.0)),
        Series("http_server_active_requests", pod(A), counting(1.0)),
        Series("istio_requests_total", mesh("destination", "200"), counting(6.0)),
        Series("istio_requests_total", mesh("destination", "503"), counting(1.0)),
        Series("istio_requests_total", mesh("source", "200"), counting(6.0)),
        Series("nginx_ingress_controller_requests", ingress(status="200"), counting(8.0)),
        *(Series(f"kube_{kind}_status_replicas_ready", {"namespace": "ai", kind: "llm"}, steady(n))
          for kind, n in (("deployment", 2.0), ("statefulset", 5.0))),
        *usage(), *devices(),
        *(Series("node_total_hourly_cost", {"node": "n1", "uid": u}, steady(55.04)) for u in ("old", "new")),
        Series("node_gpu_hourly_cost", {"node": "n1"}, steady(6.88)),
        Series("grid_intensity_carbon_average", {"location": "KR", "node": "n1"}, steady(410.0)),
    ]  # fmt: skip
    return found + latencies()


def mesh(reporter: str, code: str) -> dict[str, str]:
    workload = {"destination_workload_namespace": "ai", "destination_workload": "llm"}
    return {**workload, "reporter": reporter, "response_code": code, "namespace": "ai", "pod": "client-0"}


def ingress(**labels: str) -> dict[str, str]:
    return {
        "namespace": "ingress",
        "pod": "nginx-0",
        "exported_namespace": "ai",
        "exported_service": "llm-svc",
        **labels,
    }


def latencies() -> list[Series]:
    in_ms: dict[float | str, float] = {100.0: 5.0, 500.0: 9.0, 1000.0: 10.0, "+Inf": 10.0}
    seconds = ("vllm:e2e_request_latency_seconds", "kserve_vllm:e2e_request_latency_seconds",
               "sglang:e2e_request_latency_seconds", "tgi_request_duration",
               "kn_serving_invocation_duration_seconds", "http_server_request_duration_seconds")  # fmt: skip
    return [
        *(each for metric in seconds for each in histogram(metric, pod(A), BUCKETS)),
        *histogram("ray_serve_deployment_processing_latency_ms", pod(A, deployment="d1"), in_ms),
        *histogram("istio_request_duration_milliseconds", mesh("destination", "200"), in_ms),
        *histogram("nginx_ingress_controller_request_duration_seconds", ingress(), BUCKETS),
    ]


def usage() -> list[Series]:
    return [
        Series("container_cpu_usage_seconds_total", pod(A, container="server"), counting(1.5)),
        Series("container_cpu_usage_seconds_total", pod(A, container="sidecar"), counting(0.25)),
        Series("container_cpu_usage_seconds_total", pod(A, container=""), counting(1.75)),
        Series("container_memory_working_set_bytes", pod(A, container="server"), steady(3e9)),
        Series("kepler_pod_cpu_watts", {**kepler(A), "state": "running", "zone": "package"}, steady(30.0)),
        Series("kepler_pod_cpu_watts", {**kepler(A), "state": "running", "zone": "dram"}, steady(5.0)),
        Series("kepler_pod_cpu_watts", {**kepler(A), "state": "running", "zone": "core"}, steady(20.0)),
    ]


def kepler(name: str) -> dict[str, str]:
    return {"pod_namespace": "ai", "pod_name": name, "namespace": "kepler", "pod": "kepler-0"}


def devices() -> list[Series]:
    def gpu(name: str, uuid: str) -> dict[str, str]:
        return exported(name, UUID=uuid, modelName="NVIDIA H100 80GB HBM3")

    neighbour = {**gpu("train-0", "3"), "exported_namespace": "batch"}
    return [
        Series("DCGM_FI_DEV_POWER_USAGE", gpu(A, "1"), steady(400.0)),
        Series("DCGM_FI_DEV_POWER_USAGE", gpu(A, "2"), steady(300.0)),
        # One card shared by two pods is listed for each, with the whole card's 500 W.
        Series("DCGM_FI_DEV_POWER_USAGE", gpu(B, "3"), steady(500.0)),
        Series("DCGM_FI_DEV_POWER_USAGE", neighbour, steady(500.0)),
        Series("DCGM_FI_DEV_GPU_UTIL", gpu(A, "1"), steady(80.0)),
        Series("DCGM_FI_DEV_GPU_UTIL", gpu(A, "2"), steady(60.0)),
        # A MIG slice: always 0, and nothing that was measured.
        Series("DCGM_FI_DEV_GPU_UTIL", {**gpu(A, "2"), "GPU_I_PROFILE": "1g.10gb"}, steady(0.0)),
        Series("DCGM_FI_PROF_GR_ENGINE_ACTIVE", gpu(A, "1"), steady(0.5)),
        Series("RBLN_DEVICE_STATUS:CARD_POWER", pod(A, uuid="r1"), steady(120.0)),
        Series("RBLN_DEVICE_STATUS:UTILIZATION", pod(A, uuid="r1"), steady(70.0)),
        Series("furiosa_npu_hw_power", pod(A, uuid="f1", label="rms"), steady(150.0)),
        Series("furiosa_npu_hw_power", pod(A, uuid="f1", label="peak"), steady(180.0)),
        Series("furiosa_npu_core_utilization", pod(A, uuid="f1", core="0"), steady(20.0)),
        Series("furiosa_npu_core_utilization", pod(A, uuid="f1", core="1"), steady(40.0)),
        Series("amd_gpu_package_power", pod(A, hostname="h", gpu_id="0"), steady(600.0)),
        Series("habanalabs_power_mW", {"pod_namespace": "ai", "pod_name": A, "UUID": "g1"}, steady(450_000.0)),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = write_blocks(all_series(), START, LENGTH, tmp_path_factory.mktemp("blocks"))
    with Server() as running:
        running.start(data_dir=data)
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Prometheus]:
    client = Prometheus(PrometheusSettings(server.url))
    yield client
    client.close()


@dataclass(frozen=True)
class Case:
    """A query and what it must say: values by the labels that matter."""

    name: str
    query: str
    expected: dict[tuple[str, ...], float]

    def __str__(self) -> str:
        return self.name


AI_LLM = ("ai", "llm")
# finished 3 + 3, and what is in flight grows by 0.5 + 0.25 per second.
ARRIVING = 6.75


def per_workload(name: str, query: str, value: float) -> Case:
    return Case(name, query, {AI_LLM: value})


def preset_cases() -> list[Case]:
    demand = {"vllm": ARRIVING, "kserve": ARRIVING, "sglang": ARRIVING, "tgi": ARRIVING, "triton": 3.5, "knative": 10.0,
              "istio": 7.0, "nginx": 8.0, "ray-serve": 4.0, "http": 6.0}  # fmt: skip
    # 2 steady + 0.25/s over the half hour.
    waiting = {
        "vllm": 452.0,
        "kserve": 452.0,
        "sglang": 452.0,
        "tgi": 452.0,
        "triton": 900.0,
        "knative": 7.0,
        "ray-serve": 3.0,
    }
    latency = dict.fromkeys(demand, P95_SECONDS) | {"triton": 0.3}  # of two summaries, the worse
    cases = []
    for name, preset in PRESETS.items():
        cases.append(
            Case(f"{name} demand", queries.demand(preset, WINDOW, chosen(name)), {identity(name): demand[name]})
        )
        cases.append(Case(f"{name} age", queries.newest_sample(preset, chosen(name)), {identity(name): NOW}))
        cases.append(
            Case(
                f"{name} latency", queries.latency(preset, 0.95, WINDOW, chosen(name)), {identity(name): latency[name]}
            )
        )
        if preset.waiting:
            cases.append(Case(f"{name} queue", queries.waiting(preset, chosen(name)), {identity(name): waiting[name]}))
    return cases


def chosen(name: str) -> Selection:
    if name == "nginx":
        return Selection(("ai",), ("llm-svc",))
    if name == "ray-serve":  # another deployment on the same pods
        return Selection(("ai",), ("llm",), labels=(("deployment", ("d1",)),))
    return LLM


def identity(name: str) -> tuple[str, ...]:
    return {"nginx": ("ai", "llm-svc"), "ray-serve": ("ai", "llm", "d1")}.get(name, AI_LLM)


def device_cases() -> list[Case]:
    power, utilization = {}, {}
    for metric in queries.POWER:
        power.setdefault(metric.source, queries.pod_watts(metric, ("ai",)))
    for metric in queries.UTILIZATION:
        utilization.setdefault(metric.selector, queries.pod_utilization(metric, ("ai",)))
    return [
        # 400 + 300; and half of the shared card's 500.
        Case("DCGM watts", power["DCGM"], {("ai", A): 700.0, ("ai", B): 250.0}),
        Case("Rebellions watts", power["Rebellions"], {("ai", A): 120.0}),
        Case("Furiosa watts", power["Furiosa"], {("ai", A): 150.0}),
        Case("AMD watts", power["AMD"], {("ai", A): 600.0}),
        Case("Gaudi watts", power["Gaudi"], {("ai", A): 450.0}),
        Case("DCGM utilization", utilization[queries.UTILIZATION[1].selector], {("ai", A): 0.7}),
        Case("DCGM engine", utilization["DCGM_FI_PROF_GR_ENGINE_ACTIVE{%s}"], {("ai", A): 0.5}),
        Case("Furiosa utilization", utilization["furiosa_npu_core_utilization{%s}"], {("ai", A): 0.3}),
        Case("Rebellions utilization", utilization[queries.UTILIZATION[2].selector], {("ai", A): 0.7}),
        Case("utilization history", queries.workload_utilization(300.0, LLM), {AI_LLM: 0.5}),
        Case("Kepler watts", queries.pod_cpu_watts(WINDOW, ("ai",)), {("ai", A): 35.0}),
    ]


CASES = [
    *preset_cases(),
    *device_cases(),
    per_workload("exporting pods", queries.exporting_pods(PRESETS["vllm"], LLM), 2.0),
    per_workload("ready Deployment", queries.ready_replicas(60.0, LLM), 2.0),
    per_workload("ready StatefulSet", queries.ready_replicas(60.0, STATEFUL), 5.0),
    Case("cpu", queries.cpu_cores(WINDOW, LLM), {("ai", "llm", A): 1.75}),
    Case("memory", queries.memory_bytes(LLM), {("ai", "llm", A): 3e9}),
    Case("node price", queries.node_price(queries.NODE_USD), {("n1",): 55.04}),
    Case("node GPU price", queries.node_price(queries.NODE_GPU_USD), {("n1",): 6.88}),
    Case("carbon", queries.carbon_grams_per_kwh(), {("KR",): 410.0}),
]  # fmt: skip

LABELS = ("namespace", "workload", "deployment", "pod", "node", "location")


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_query_gives_the_number_worked_out_by_hand(client: Prometheus, case: Case) -> None:
    found = await client.query(case.query, NOW)

    said = {
        tuple(p.labels[n] for n in LABELS if n in p.labels): p.value
        for p in found
        if p.labels.get("pod") != "exporter-0"
    }
    assert said == pytest.approx(case.expected, rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_without_its_data_the_query_gives_nothing(client: Prometheus, case: Case) -> None:
    assert await client.query(case.query, NOW - 86_400) == []
