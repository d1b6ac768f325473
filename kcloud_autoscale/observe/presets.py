"""What each serving stack exports: load, latency, queue. One `Preset` per stack, all in base units.

Arrivals. Most stacks count requests when they *finish*: under growing load that lags, just when it matters. Where the
requests in flight are exported too, arrivals follow exactly from both, because what came in has either left or is
still inside:

    arrivals in a window = finished in the window + in flight at its end - in flight at its start

which is ``rate(finished) + delta(in flight) / window``. ``rate`` and ``delta`` read the same scrapes and extrapolate
alike, so the identity holds to the request, and what one window lends to the next is paid back there: summed over a
day nothing is lost or counted twice. (A regression slope through the requests in flight would smooth, and forget.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kcloud_autoscale.observe.promql import POD, Identity

Load = Callable[[str, float], str]
"""From matchers and a window in seconds to each series' load per second."""


def seconds(value: float) -> str:
    """A PromQL duration: 75.5 s is ``75500ms``."""
    return f"{round(value * 1000)}ms" if value % 1 else f"{int(value)}s"


def finished(metric: str) -> Load:
    """A counter of requests, as the rate over the window."""
    return lambda m, window: f"rate({metric}{{{m}}}[{seconds(window)}])"


def counted(metric: str) -> Load:
    """A gateway's counter of requests, as the rate over the window, its first request included.

    A series that is born with a request has no sample before it, and no rate tells of that one: a target at 0 replicas
    would sleep through it. So each series that was not there a window ago counts one request.
    """

    def load(m: str, window: float) -> str:
        born = f"({metric}{{{m}}} unless {metric}{{{m}}} offset {seconds(window)}) > bool 0"
        first = f'label_replace(({born}) / {window:g}, "kcloud_born", "1", "", "")'
        return f"(rate({metric}{{{m}}}[{seconds(window)}]) or {first})"

    return load


def arrived(finished_metric: str, *in_flight: str) -> Load:
    """Arrivals from a counter of finished requests and gauges of those in flight.

    The counter carries a label the gauges do not (``finished_reason``), so ``or`` keeps both sides; where it does not,
    finished requests alone are counted.
    """

    def load(m: str, window: float) -> str:
        inside = " + ".join(f"delta({gauge}{{{m}}}[{seconds(window)}])" for gauge in in_flight)
        return f"(rate({finished_metric}{{{m}}}[{seconds(window)}]) or ({inside}) / {window:g})"

    return load


@dataclass(frozen=True, slots=True)
class Histogram:
    """A latency histogram; ``units_per_second`` is 1000 where it counts milliseconds."""

    metric: str
    units_per_second: float = 1.0


@dataclass(frozen=True, slots=True)
class Preset:
    """One serving stack.

    Attributes:
        name: As in ``autoScaling.demand.preset``.
        loads: Load per second; the first that has data for a workload counts (newer metric names first).
        proof: Metrics that exist as soon as the stack runs, traffic or not; their newest sample dates the readings.
        latencies: Histograms, the first with data counts.
        summary: A latency summary in microseconds, for a stack that has no histogram.
        waiting: Gauges of requests in the queue.
        identities: Where its metrics name the workload.
        exported_by_pods: The series are the pods' own, so that a pod which is not scraped takes its load out of them.
        silent_when_idle: A pod has no series before its first request.
        gateway_loads: Load per second as a gateway tells it, pods or not; counts where `loads` have no data.
        gateway_identities: Where the gateway's series of the proof name the workload.
        name_label: Label of ``demand.labels`` that replaces the target's name, as an Ingress' service.
    """

    name: str
    loads: tuple[Load, ...]
    proof: tuple[str, ...]
    latencies: tuple[Histogram, ...] = ()
    summary: str = ""
    waiting: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = POD
    exported_by_pods: bool = True
    silent_when_idle: bool = False
    gateway_loads: tuple[Load, ...] = ()
    gateway_identities: tuple[Identity, ...] = ()
    name_label: str = ""

    @property
    def told_by_gateway(self) -> bool:
        """Whether the load of a target without pods can be read."""
        return bool(self.gateway_loads) or not self.exported_by_pods


def _vllm(prefix: str) -> Load:
    return arrived(
        f"{prefix}:request_success_total", f"{prefix}:num_requests_running", f"{prefix}:num_requests_waiting"
    )


def _istio_load(m: str, window: float) -> str:
    # Both proxies of a call report it; the server's side also sees clients outside the mesh.
    return f'rate(istio_requests_total{{reporter="destination", {m}}}[{seconds(window)}])'


def _istio_clients_load(m: str, window: float) -> str:
    # Without pods there is no server's side, and no workload that a request went to: the service is all that is known.
    return counted("istio_requests_total")(f'reporter="source", {m}', window)


_VLLM = Preset(
    name="vllm",
    loads=(_vllm("vllm"),),
    proof=("vllm:num_requests_running",),
    latencies=(Histogram("vllm:e2e_request_latency_seconds"),),
    waiting=("vllm:num_requests_waiting",),
)

_SGLANG = Preset(
    name="sglang",
    loads=(arrived("sglang:num_requests_total", "sglang:num_running_reqs", "sglang:num_queue_reqs"),),
    proof=("sglang:num_running_reqs",),
    latencies=(Histogram("sglang:e2e_request_latency_seconds"),),
    waiting=("sglang:num_queue_reqs",),
)

_TGI = Preset(
    name="tgi",
    loads=(arrived("tgi_request_success", "tgi_batch_current_size", "tgi_queue_size"),),
    proof=("tgi_queue_size",),
    latencies=(Histogram("tgi_request_duration"),),
    waiting=("tgi_queue_size",),
)

_TRITON = Preset(
    name="triton",
    loads=(arrived("nv_inference_request_success", "nv_inference_pending_request_count"),),
    proof=("nv_inference_request_success",),
    summary="nv_inference_request_summary_us",
    waiting=("nv_inference_pending_request_count",),
)

_KNATIVE = Preset(
    name="knative",
    loads=(finished("kn_serving_invocation_duration_seconds_count"), finished("revision_request_count")),
    proof=("kn_serving_invocation_duration_seconds_count", "revision_request_count"),
    silent_when_idle=True,
    latencies=(
        Histogram("kn_serving_invocation_duration_seconds"),
        Histogram("revision_request_latencies", 1000.0),
    ),
    waiting=("kn_serving_queue_depth",),
)

_KSERVE = Preset(
    # An LLMInferenceService renames vLLM's metrics, and may be scraped under both names: never their sum.
    name="kserve",
    loads=(_vllm("kserve_vllm"), _vllm("vllm"), *_KNATIVE.loads),
    proof=("kserve_vllm:num_requests_running", "vllm:num_requests_running", *_KNATIVE.proof),
    latencies=(Histogram("kserve_vllm:e2e_request_latency_seconds"), *_VLLM.latencies, *_KNATIVE.latencies),
    silent_when_idle=True,
    waiting=("kserve_vllm:num_requests_waiting", *_VLLM.waiting, *_KNATIVE.waiting),
)

_ISTIO = Preset(
    name="istio",
    loads=(_istio_load,),
    proof=("istio_requests_total",),
    latencies=(Histogram("istio_request_duration_milliseconds", 1000.0),),
    identities=(Identity("destination_workload_namespace", "destination_workload", is_pod=False),),
    gateway_loads=(_istio_clients_load,),
    gateway_identities=(Identity("destination_service_namespace", "destination_service_name", is_pod=False),),
    silent_when_idle=True,
)

_NGINX = Preset(
    name="nginx",
    loads=(counted("nginx_ingress_controller_requests"),),
    proof=("nginx_ingress_controller_requests",),
    latencies=(Histogram("nginx_ingress_controller_request_duration_seconds"),),
    identities=(
        Identity("exported_namespace", "exported_service", is_pod=False),
        Identity("namespace", "service", is_pod=False, unless="exported_service"),
    ),
    exported_by_pods=False,
    name_label="service",
)

_RAY_SERVE = Preset(
    name="ray-serve",
    loads=(
        finished("ray_serve_deployment_request_counter_total"),
        finished("ray_serve_deployment_request_counter"),
    ),
    proof=("ray_serve_deployment_request_counter_total", "ray_serve_deployment_request_counter"),
    silent_when_idle=True,
    latencies=(Histogram("ray_serve_deployment_processing_latency_ms", 1000.0),),
    waiting=("ray_serve_deployment_queued_queries",),
)

_HTTP = Preset(
    name="http",
    loads=(
        arrived("http_server_request_duration_seconds_count", "http_server_active_requests"),
        finished("http_server_duration_milliseconds_count"),
    ),
    proof=("http_server_request_duration_seconds_count", "http_server_duration_milliseconds_count"),
    silent_when_idle=True,
    latencies=(
        Histogram("http_server_request_duration_seconds"),
        Histogram("http_server_duration_milliseconds", 1000.0),
    ),
)

PRESETS = {
    preset.name: preset
    for preset in (_VLLM, _SGLANG, _TGI, _TRITON, _KSERVE, _KNATIVE, _ISTIO, _NGINX, _RAY_SERVE, _HTTP)
}
