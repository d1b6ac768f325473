"""What is measured of a service, by which exporter, under which name: one catalogue for the past and for the present.

Functions take a Flow of scalars (now) or of arrays (two weeks) and return one value or one array per series. Names
and labels are those of vLLM, the DCGM exporter, Istio and OpenCost, as a Prometheus that honours labels stores them.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from hack.load.chance import Floats
from hack.load.queueing import Flow, Replica, latency

# vLLM's own bounds, up to where the patience of our clients lets a latency go.
LATENCY_BOUNDS_SECONDS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
FIRST_TOKEN_BOUNDS_SECONDS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
)

_LATENCY, _FIRST_TOKEN = "vllm:e2e_request_latency_seconds", "vllm:time_to_first_token_seconds"
HISTOGRAMS = frozenset({_LATENCY, _FIRST_TOKEN})
COUNTERS = frozenset(
    {"istio_requests_total", "vllm:request_success_total", "vllm:prompt_tokens_total", "vllm:generation_tokens_total"}
)

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """The identity of one series: metric name and labels, sorted by name."""

    metric: str
    labels: Labels

    def with_labels(self, **more: str) -> "Series":
        return series(self.metric, **(dict(self.labels) | more))

    def __str__(self) -> str:
        pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.labels)
        return f"{self.metric}{{{pairs}}}"


@dataclass(frozen=True, slots=True)
class Device:
    """The accelerators of one replica."""

    model: str = "NVIDIA A100-SXM4-80GB"
    per_replica: int = 1
    idle_watts: float = 60.0
    peak_watts: float = 400.0
    usd_per_hour: float = 3.43  # whole instance divided by accelerators: host CPU and RAM are inside

    def watts(self, utilization_fraction: Floats) -> Floats:
        """Of one device: idle + utilization × (peak − idle)."""
        return self.idle_watts + utilization_fraction * (self.peak_watts - self.idle_watts)


@dataclass(frozen=True, slots=True)
class Service:
    """A simulated service: the Deployment it lives in, and what its replicas can do."""

    namespace: str
    name: str
    replica: Replica = field(default_factory=Replica)
    device: Device = field(default_factory=Device)
    model_name: str = "meta-llama/Llama-3.1-8B-Instruct"
    prompt_tokens: float = 600.0  # per request, on average
    generated_tokens: float = 200.0

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Node:
    """What a bill says about a node. Prices are per unit: accelerator, core, GiB."""

    name: str
    instance_type: str = "p4de.24xlarge"
    region: str = "us-east-1"
    gpus: int = 8
    cpus: float = 96.0
    memory_gibibytes: float = 1152.0
    gpu_usd_per_hour: float = 3.43
    cpu_usd_per_hour: float = 0.0  # inside the accelerator's price, see Device
    memory_usd_per_hour: float = 0.0
    is_spot: bool = False

    @property
    def usd_per_hour(self) -> float:
        return (
            self.gpus * self.gpu_usd_per_hour
            + self.cpus * self.cpu_usd_per_hour
            + self.memory_gibibytes * self.memory_usd_per_hour
        )


def told(value: float | Floats) -> Floats:
    """A value as every writer here puts it on record: in thousandths.

    One rounding for all, since two would break counters: 9309.8968 written as 9309.897 by one and in full by the next
    has gone *down*, which to Prometheus is a restart that counted 9309 requests at once.
    """
    return np.asarray(value, dtype=np.float64).round(3)


def series(metric: str, **labels: str) -> Series:
    return Series(metric, tuple(sorted(labels.items())))


def front_door_increases(service: Service, flow: Flow, step_seconds: float) -> dict[Series, Floats]:
    """Growth of the gateway's counters: every arrival, by whether it was let in (200) or turned away (503).

    A request counts when it arrives. (Istio counts when the response ends, so the real one lags by the time in system;
    demand is what arrives, and a count of completions could never exceed what the present replicas manage.)
    """
    labels = {
        "reporter": "destination",
        "destination_workload": service.name,
        "destination_workload_namespace": service.namespace,
        "job": "istio",
        "instance": f"{service.name}.{service.namespace}:15020",
    }
    admitted = flow.arrived_per_second - flow.dropped_per_second
    return {
        series("istio_requests_total", response_code="200", **labels): admitted * step_seconds,
        series("istio_requests_total", response_code="503", **labels): flow.dropped_per_second * step_seconds,
    }


def finished_increases(flow: Flow, step_seconds: float) -> dict[Series, Floats]:
    """Growth of the one counter of a ready pod that tells completions; replicas share the load equally."""
    return {series("vllm:request_success_total", finished_reason="stop"): _each(flow) * step_seconds}


def detail_increases(service: Service, flow: Flow, step_seconds: float) -> dict[Series, Floats]:
    """Growth of the other counters of a ready pod: tokens and the two latency histograms."""
    finished = _each(flow) * step_seconds
    times = latency(service.replica, flow)
    grown = {
        series("vllm:prompt_tokens_total"): finished * service.prompt_tokens,
        series("vllm:generation_tokens_total"): finished * service.generated_tokens,
    }
    for name, bounds, within, mean_seconds in (
        (_LATENCY, LATENCY_BOUNDS_SECONDS, times.within, times.mean_seconds()),
        (_FIRST_TOKEN, FIRST_TOKEN_BOUNDS_SECONDS, times.first_token_within, times.first_token_mean_seconds()),
    ):
        for bound in bounds:
            grown[series(f"{name}_bucket", le=str(bound))] = finished * within(bound)
        grown[series(f"{name}_bucket", le="+Inf")] = finished
        grown[series(f"{name}_sum")] = finished * mean_seconds
        grown[series(f"{name}_count")] = finished
    return grown


def queue_levels(service: Service, flow: Flow) -> dict[Series, Floats]:
    """Requests in and before a ready pod, by Little's law; whole requests, as vLLM counts them."""
    times = latency(service.replica, flow)
    waiting_by_chance = _each(flow) * times.wait_probability / times.wait_rate_per_second
    return {
        series("vllm:num_requests_running"): (_each(flow) * times.service_seconds).round(),
        series("vllm:num_requests_waiting"): (flow.backlog / flow.ready.clip(min=1) + waiting_by_chance).round(),
    }


def pressure_levels(flow: Flow) -> dict[Series, Floats]:
    """How full the KV cache of a ready pod is: nine tenths with all slots taken."""
    return {series("vllm:kv_cache_usage_perc"): 0.9 * flow.utilization_fraction}


def device_levels(service: Service, flow: Flow) -> dict[Series, Floats]:
    """Power and utilization of the devices a pod holds, ready or not."""
    levels = {}
    for index in range(service.device.per_replica):
        labels = {"gpu": str(index), "device": f"nvidia{index}", "modelName": service.device.model}
        levels[series("DCGM_FI_DEV_POWER_USAGE", **labels)] = service.device.watts(flow.utilization_fraction)
        levels[series("DCGM_FI_DEV_GPU_UTIL", **labels)] = 100 * flow.utilization_fraction
    return levels


@lru_cache(maxsize=65_536)
def of_pod(key: Series, service: Service, pod: str, node: str) -> Series:
    """The series of one pod: what the catalogue names, with the labels that scraping through Kubernetes gives it."""
    labels = {"namespace": service.namespace, "pod": pod, "container": "server"}
    if key.metric.startswith("DCGM"):
        device = f"{pod}/{dict(key.labels)['gpu']}"
        labels |= {"UUID": f"GPU-{hashlib.sha256(device.encode()).hexdigest()[:12]}", "Hostname": node}
        labels |= {"job": "dcgm-exporter", "instance": f"{node}:9400"}
    else:
        labels |= {"model_name": service.model_name, "engine": "0", "job": "vllm", "instance": f"{pod}:8000"}
    return key.with_labels(**labels)


def node_levels(node: Node) -> dict[Series, float]:
    """A node's prices as OpenCost exports them."""
    labels = {
        "node": node.name,
        "instance_type": node.instance_type,
        "region": node.region,
        "provider_id": f"sim://{node.name}",
        "arch": "amd64",
        "job": "opencost",
        "instance": node.name,
    }
    values = {
        "node_total_hourly_cost": node.usd_per_hour,
        "node_gpu_hourly_cost": node.gpu_usd_per_hour,
        "node_cpu_hourly_cost": node.cpu_usd_per_hour,
        "node_ram_hourly_cost": node.memory_usd_per_hour,
        "node_gpu_count": float(node.gpus),
        "kubecost_node_is_spot": float(node.is_spot),
    }
    return {series(metric, **labels): value for metric, value in values.items()}


def _each(flow: Flow) -> Floats:
    """Requests per second that one ready replica finishes."""
    return np.asarray(flow.served_per_second / np.maximum(flow.ready, 1))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
