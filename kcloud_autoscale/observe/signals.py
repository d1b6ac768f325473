"""Fleet-wide signals, asked once for everybody: what devices draw and do, what nodes cost, how clean the power is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kcloud_autoscale.domain.bounds import CARBON_GRAMS_PER_KWH, POD_WATTS, UTILIZATION_FRACTION, Bound
from kcloud_autoscale.domain.observation import NodeObservation
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.node_prices import node_prices
from kcloud_autoscale.observe.objects import Pod
from kcloud_autoscale.observe.prometheus_response import Point
from kcloud_autoscale.observe.queries import DeviceMetric
from kcloud_autoscale.observe.query_session import QuerySession, reading

PodName = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True)
class PodReadings:
    """One quantity by pod.

    Attributes:
        values: In base units.
        impossible: Pods whose reading cannot be: the value, as it came.
        models: Product of the pod's device, where the metric tells.
        failed: Sources that did not answer, in words.
    """

    values: dict[PodName, float] = field(default_factory=dict)
    impossible: dict[PodName, float] = field(default_factory=dict)
    models: dict[PodName, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def take(self, answer: list[Point] | Missing, bound: Bound, model: str = "", add_up: bool = True) -> None:
        """Take one source's answer in. What an earlier, better one said of a pod stands.

        Args:
            answer: Series by ``namespace`` and ``pod``.
            bound: What can be.
            model: Label with the device's product.
            add_up: A pod on two models has two series: watts add up, utilizations are averaged.
        """
        if isinstance(answer, Missing):
            self.failed.append(answer.message)
            return
        parts: dict[PodName, list[float]] = {}
        for point in answer:
            pod = (point.labels.get("namespace", ""), point.labels.get("pod", ""))
            if pod in self.values:
                continue
            parts.setdefault(pod, []).append(point.value)
            if model and point.labels.get(model):
                self.models[pod] = point.labels[model]
        for pod, values in parts.items():
            odd = next((value for value in values if not bound.holds(value)), None)
            if odd is not None:
                self.impossible[pod] = odd
            else:
                self.values[pod] = sum(values) / (1 if add_up else len(values))

    def of(self, namespace: str, pods: Iterable[Pod]) -> dict[str, float]:
        """Values of some pods by name."""
        names = (pod.seen.name for pod in pods)
        return {name: self.values[namespace, name] for name in names if (namespace, name) in self.values}

    def mean(self, namespace: str, pods: Sequence[Pod], what: str, at_seconds: float) -> Reading:
        """Mean over the pods that have a value."""
        known = self.of(namespace, pods)
        if known:
            return Sample(sum(known.values()) / len(known), at_seconds, what)
        return self.why_missing(namespace, pods, what)

    def why_missing(self, namespace: str, pods: Sequence[Pod], what: str) -> Missing:
        for pod in pods:
            value = self.impossible.get((namespace, pod.seen.name))
            if value is not None:
                return Missing(MissingReason.OUT_OF_RANGE, f"{what} of pod {pod.seen.name} reads {value:g}")
        if self.failed:
            return Missing(MissingReason.SOURCE_ERROR, "; ".join(self.failed))
        return Missing(MissingReason.NO_DATA, f"no exporter has {what} of this workload's pods")


@dataclass(frozen=True, slots=True)
class FleetSignals:
    """What was asked once for all workloads."""

    device_watts: PodReadings = field(default_factory=PodReadings)
    host_watts: PodReadings = field(default_factory=PodReadings)
    gpu: PodReadings = field(default_factory=PodReadings)
    npu: PodReadings = field(default_factory=PodReadings)
    node_usd: Mapping[str, Reading] = field(default_factory=dict)
    node_gpu_usd: Mapping[str, Reading] = field(default_factory=dict)
    node_core_usd: Mapping[str, Reading] = field(default_factory=dict)
    node_gib_usd: Mapping[str, Reading] = field(default_factory=dict)
    carbon: Reading = field(default_factory=lambda: Missing(MissingReason.NOT_CONFIGURED))


async def fleet_signals(asker: QuerySession, namespaces: Sequence[str], window_seconds: float) -> FleetSignals:
    """Everything that is not about one workload."""
    gpu_metrics = [metric for metric in queries.UTILIZATION if metric.source == "DCGM"]
    npu_metrics = [metric for metric in queries.UTILIZATION if metric.source != "DCGM"]
    async with asyncio.TaskGroup() as group:
        device = group.create_task(_devices(asker, queries.POWER, namespaces, POD_WATTS, watts=True))
        host = group.create_task(_host_watts(asker, namespaces, window_seconds))
        gpu = group.create_task(_devices(asker, gpu_metrics, namespaces, UTILIZATION_FRACTION))
        npu = group.create_task(_devices(asker, npu_metrics, namespaces, UTILIZATION_FRACTION))
        node = group.create_task(node_prices(asker, queries.NODE_USD))
        node_gpu = group.create_task(node_prices(asker, queries.NODE_GPU_USD))
        core = group.create_task(node_prices(asker, queries.NODE_CORE_USD))
        gib = group.create_task(node_prices(asker, queries.NODE_GIB_USD))
        carbon = group.create_task(_carbon(asker))
    return FleetSignals(
        device_watts=device.result(),
        host_watts=host.result(),
        gpu=gpu.result(),
        npu=npu.result(),
        node_usd=node.result(),
        node_gpu_usd=node_gpu.result(),
        node_core_usd=core.result(),
        node_gib_usd=gib.result(),
        carbon=carbon.result(),
    )


def priced(nodes: Mapping[str, NodeObservation], signals: FleetSignals) -> dict[str, NodeObservation]:
    """The nodes with their OpenCost prices, where there are any."""
    none = Missing(MissingReason.NO_DATA, "OpenCost has no price of this node")
    return {
        name: replace(
            each,
            hourly_usd=signals.node_usd.get(name, none),
            gpu_hourly_usd=signals.node_gpu_usd.get(name, none),
            core_hourly_usd=signals.node_core_usd.get(name, none),
            gib_hourly_usd=signals.node_gib_usd.get(name, none),
        )
        for name, each in nodes.items()
    }


def watts_per_pod(namespace: str, pods: Sequence[Pod], signals: FleetSignals) -> dict[str, float]:
    """Devices plus, where it is measured, the host's share. A pod with accelerators needs its devices measured."""
    device = signals.device_watts.of(namespace, pods)
    host = signals.host_watts.of(namespace, pods)
    return {
        pod.seen.name: device.get(pod.seen.name, 0.0) + host.get(pod.seen.name, 0.0)
        for pod in pods
        if pod.seen.name in device or (pod.seen.name in host and not (pod.requests.accelerators or pod.claims))
    }


def total_watts(namespace: str, pods: Sequence[Pod], signals: FleetSignals, at_seconds: float) -> Reading:
    """Draw of all serving pods; missing when one of them is unmeasured: a part is not the whole."""
    measured = watts_per_pod(namespace, pods, signals)
    serving = [pod for pod in pods if pod.seen.ready]
    unmeasured = [pod for pod in serving if pod.seen.name not in measured]
    if not measured or (unmeasured and len(unmeasured) == len(serving)):
        return signals.device_watts.why_missing(namespace, pods, "power")
    if unmeasured:
        why = signals.device_watts.why_missing(namespace, unmeasured, "power")
        return Missing(why.reason, f"{len(unmeasured)} of {len(serving)} serving pods are unmeasured: {why.message}")
    return Sample(sum(measured.values()), at_seconds, "measured")


def device_model(namespace: str, pods: Sequence[Pod], signals: FleetSignals) -> str:
    """Product most pods run on, as the metrics say; empty when they do not."""
    told = (signals.device_watts.models, signals.gpu.models, signals.npu.models)
    names = Counter(
        model for pod in pods if (model := next((m[k] for m in told if (k := (namespace, pod.seen.name)) in m), ""))
    )
    return names.most_common(1)[0][0] if names else ""


def device_measured(namespace: str, pods: Sequence[Pod], signals: FleetSignals) -> bool:
    """Whether an exporter measures an accelerator of one of the pods."""
    measured = (signals.device_watts.values, signals.gpu.values, signals.npu.values)
    return any((namespace, pod.seen.name) in values for pod in pods for values in measured)


async def _devices(
    asker: QuerySession, metrics: Sequence[DeviceMetric], namespaces: Sequence[str], bound: Bound, watts: bool = False
) -> PodReadings:
    build = queries.pod_watts if watts else queries.pod_utilization
    answers = await asyncio.gather(*(asker.series(build(each, namespaces), each.source) for each in metrics))
    found = PodReadings()
    for metric, answer in zip(metrics, answers, strict=True):
        found.take(answer, bound, metric.model, add_up=watts)
    return found


async def _host_watts(asker: QuerySession, namespaces: Sequence[str], window_seconds: float) -> PodReadings:
    found = PodReadings()
    found.take(await asker.series(queries.pod_cpu_watts(window_seconds, namespaces), "Kepler"), POD_WATTS)
    return found


async def _carbon(asker: QuerySession) -> Reading:
    answer = await asker.series(queries.carbon_grams_per_kwh(), "carbon intensity", lasting=True)
    if isinstance(answer, Missing):
        return answer
    if len(answer) > 1:
        places = ", ".join(sorted(each.labels.get("location", "?") for each in answer))
        return Missing(MissingReason.AMBIGUOUS, f"carbon intensity of several locations: {places}")
    if not answer:
        return Missing(MissingReason.NOT_CONFIGURED, "no exporter of carbon intensity")
    return reading(answer[0], "grid carbon intensity", bound=CARBON_GRAMS_PER_KWH)
