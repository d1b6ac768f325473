"""PromQL, one function per signal. Grouped: each query serves all selected workloads, in base units.

What a query returns when its exporter is missing is nothing: never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kcloud_autoscale.api.promql import quoted
from kcloud_autoscale.observe.presets import Preset, seconds
from kcloud_autoscale.observe.promql import (
    GROUP,
    POD,
    Expression,
    Identity,
    Selection,
    by_workload,
    literal,
    pod_names,
    pods_in,
    with_matcher,
)


def demand(preset: Preset, window_seconds: float, selection: Selection) -> str:
    """Load per second per workload, mean over the window that ends at the time of evaluation.

    A counter's rate over a step alone drops what happened between the last scrape before it and the first in it. So
    the window is one scrape longer than the step (`history.rate_window_seconds`): with scrapes every 15 s and steps of
    60 s, 75 s always hold five scrapes that span exactly 60 s.
    """
    parts = [
        by_workload("sum", lambda m, load=load: load(m, window_seconds), selection, preset.identities)  # type: ignore[misc]
        for load in preset.loads
    ]
    parts += [
        by_workload(
            "sum",
            lambda m, load=load: load(m, window_seconds),  # type: ignore[misc]
            selection,
            preset.gateway_identities,
        )
        for load in preset.gateway_loads
    ]
    # Requests that died with their pod make the flow negative for a moment.
    return f"clamp_min({' or '.join(parts)}, 0)"


def newest_sample(preset: Preset, selection: Selection) -> str:
    """Unix time of the newest sample per workload: how old the readings of this preset are."""
    return _proven("max", "timestamp({}{{%s}})", preset, selection)


def samples_counted(preset: Preset, window_seconds: float, selection: Selection) -> str:
    """Stored samples in the window per workload, of its most scraped series: their spacing is the scrape interval."""
    return _proven("max", f"count_over_time({{}}{{{{%s}}}}[{seconds(window_seconds)}])", preset, selection)


def exporting_pods(preset: Preset, selection: Selection) -> str:
    """How many pods per workload export the preset's metrics: the replicas that serve, where nothing else says."""
    inner = [by_workload("count", _gauge(metric), selection, POD, also=("pod",)) for metric in preset.proof]
    return " or ".join(f"count by ({', '.join(selection.group)}) ({each})" for each in inner)


def sampled_pods(preset: Preset, within_seconds: float, selection: Selection) -> str:
    """Pods of the selected workloads with a sample of the preset's within the last seconds."""
    texts = [f"present_over_time({metric}{{%s}}[{seconds(within_seconds)}])" for metric in preset.proof]
    return " or ".join(by_workload("max", _filled(text), selection, preset.identities, also=("pod",)) for text in texts)


def scraped_pods(within_seconds: float, selection: Selection) -> str:
    """Pods of the selected workloads all of whose targets were scraped within the last seconds."""
    up = f"max_over_time(up{{%s}}[{seconds(within_seconds)}])"
    return f"{by_workload('min', _filled(up), replace(selection, labels=()), POD, also=('pod',))} == 1"


def unsampled_steps(preset: Preset, step_seconds: float, within_seconds: float, selection: Selection) -> str:
    """Ready replicas of kube-state-metrics, in the steps in which more were Ready all through than have samples.

    The answer is empty but for those steps. ``within_seconds`` without a sample make a pod silent.
    """
    sampled = sampled_pods(preset, within_seconds, selection)
    if preset.silent_when_idle:
        sampled = f"{sampled} or {scraped_pods(within_seconds, selection)}"
    count = f"count by ({', '.join(selection.group)}) (count by ({', '.join((*selection.group, 'pod'))}) ({sampled}))"
    ready = ready_replicas(step_seconds + within_seconds, replace(selection, labels=()), "min_over_time")
    return f"{ready} > on ({', '.join(GROUP)}) group_right () {count}"


def own_pods_counted(selector: str, namespace: str, pods: Sequence[str], back_seconds: float) -> str:
    """How many of some pods a user's own selector has as many samples of as of its best scraped one; none if of none.

    Two fewer are a scrape that was missed and one that is due. A pod all of whose targets answered all the time is
    counted too: it exports nothing because nobody asks it anything.
    """
    named, window = f"pod=~{quoted(pod_names(pods))}", seconds(back_seconds)
    counted = f"count_over_time({with_matcher(selector, named)}[{window}])"
    enough = f"max by (pod) ({counted}) >= on () group_left () (max({counted}) - 2)"
    up = f"min by (pod) (min_over_time(up{{namespace={quoted(namespace)}, {named}}}[{window}])) == 1"
    return f"count(({enough}) or ({up})) and on () count({counted})"


def latency(preset: Preset, quantile: float, window_seconds: float, selection: Selection) -> str:
    """Latency quantile in seconds per workload; NaN where there was no traffic, which is missing and not 0 s."""
    if preset.summary:
        # Summaries cannot be merged: the worst pod speaks for the workload.
        chosen = f'{preset.summary}{{%s, quantile="{quantile:g}"}} / 1e6'
        return _first_of("max", [chosen], selection, preset.identities)
    parts = []
    for histogram in preset.latencies:
        buckets = f"rate({histogram.metric}_bucket{{%s}}[{seconds(window_seconds)}])"
        grouped = by_workload("sum", _filled(buckets), selection, preset.identities, also=("le",))
        parts.append(f"histogram_quantile({quantile:g}, {grouped}) / {histogram.units_per_second:g}")
    return " or ".join(parts)


def waiting(preset: Preset, selection: Selection) -> str:
    """Requests in the queue per workload."""
    return _first_of("sum", [f"{metric}{{%s}}" for metric in preset.waiting], selection, preset.identities)


def ready_replicas(window_seconds: float, selection: Selection, over_time: str = "avg_over_time") -> str:
    """Ready replicas per Deployment or StatefulSet from kube-state-metrics, mean over the window."""
    return _told_replicas("status_replicas_ready", window_seconds, selection, over_time)


def existing_replicas(window_seconds: float, selection: Selection) -> str:
    """Replicas per Deployment or StatefulSet, ready or not, from kube-state-metrics, mean over the window."""
    return _told_replicas("status_replicas", window_seconds, selection, "avg_over_time")


def _told_replicas(metric: str, window_seconds: float, selection: Selection, over_time: str) -> str:
    kind = "statefulset" if selection.naming.name == "STATEFUL_SET" else "deployment"
    identities = (
        Identity("namespace", kind, is_pod=False, unless=f"exported_{kind}"),
        Identity("exported_namespace", f"exported_{kind}", is_pod=False),
        # The object's name is seldom renamed by the scrape, its namespace often is.
        Identity("exported_namespace", kind, is_pod=False, unless=f"exported_{kind}"),
    )
    return by_workload(
        "max",
        lambda m: f"{over_time}(kube_{kind}_{metric}{{{m}}}[{seconds(window_seconds)}])",
        selection,
        identities,
    )


def cpu_cores(window_seconds: float, selection: Selection) -> str:
    """CPU cores in use per pod, from cAdvisor; the pod's own cgroup and the pause container are left out."""
    rate = f'rate(container_cpu_usage_seconds_total{{%s, container!="", container!="POD"}}[{seconds(window_seconds)}])'
    return by_workload("sum", _filled(rate), selection, POD, also=("pod",))


def memory_bytes(selection: Selection) -> str:
    """Working set per pod, from cAdvisor."""
    usage = 'container_memory_working_set_bytes{%s, container!="", container!="POD"}'
    return by_workload("sum", _filled(usage), selection, POD, also=("pod",))


@dataclass(frozen=True, slots=True)
class DeviceMetric:
    """A gauge per accelerator.

    Attributes:
        source: Who measures, for people.
        selector: Metric with ``%s`` for matchers.
        device: Labels that tell devices apart: shared and partitioned ones are listed once per pod.
        per_unit: How many of the metric's units make a watt, or the ratio 1.
        model: Label with the product, if there is one.
        identities: Where the pod is named.
    """

    source: str
    selector: str
    device: tuple[str, ...]
    per_unit: float = 1.0
    model: str = ""
    identities: tuple[Identity, ...] = POD


_AMD = '{__name__=~"(amd_)?gpu_(package_power|power_usage|average_package_power)", %s}'
_GAUDI_POD = (Identity("pod_namespace", "pod_name"),)

POWER = (
    DeviceMetric("DCGM", "DCGM_FI_DEV_POWER_USAGE{%s}", ("UUID",), model="modelName"),
    DeviceMetric("Rebellions", '{__name__=~"rbln_npu_power|RBLN_DEVICE_STATUS:CARD_POWER", %s}', ("uuid",)),
    DeviceMetric("Furiosa", 'furiosa_npu_hw_power{label="rms", %s}', ("uuid",)),
    DeviceMetric("AMD", _AMD, ("hostname", "gpu_id")),
    DeviceMetric("Gaudi", "habanalabs_power_mW{%s}", ("UUID",), per_unit=1000.0, identities=_GAUDI_POD),
)

UTILIZATION = (
    # Engine activity first: GPU_UTIL says only that some kernel ran, and is near 100 % at partial load.
    DeviceMetric("DCGM", "DCGM_FI_PROF_GR_ENGINE_ACTIVE{%s}", ("UUID",), model="modelName"),
    # Of a MIG slice it always says 0: only engine activity is measured there.
    DeviceMetric("DCGM", 'DCGM_FI_DEV_GPU_UTIL{GPU_I_PROFILE="", %s}', ("UUID",), per_unit=100.0, model="modelName"),
    DeviceMetric(
        "Rebellions",
        '{__name__=~"rbln_npu_utilization|RBLN_DEVICE_STATUS:UTILIZATION", %s}',
        ("uuid",),
        per_unit=100.0,
    ),
    DeviceMetric("Furiosa", "furiosa_npu_core_utilization{%s}", ("uuid", "core"), per_unit=100.0),
)


def pod_watts(metric: DeviceMetric, namespaces: Sequence[str]) -> str:
    """Watts per pod of one vendor's devices; a device that several pods share counts in equal parts.

    Nothing is filtered here: an error code in place of a reading (DCGM's 9.2e18) must be seen and called missing.
    """
    device = ", ".join(metric.device)
    scope, all_pods = _devices(metric, namespaces), _devices(metric, ())
    sharers = f"count by ({device}) ({all_pods})"
    group = ", ".join(("namespace", "pod", *([metric.model] if metric.model else [])))
    return f"sum by ({group}) ({scope} / on ({device}) group_left () {sharers}) / {metric.per_unit:g}"


def pod_utilization(metric: DeviceMetric, namespaces: Sequence[str]) -> str:
    """Utilization 0-1 per pod, mean over its devices (and their cores)."""
    group = ", ".join(("namespace", "pod", *([metric.model] if metric.model else [])))
    return f"avg by ({group}) ({_devices(metric, namespaces)}) / {metric.per_unit:g}"


def workload_utilization(window_seconds: float, selection: Selection) -> str:
    """Mean utilization 0-1 of all devices of a workload over the window, for history."""
    parts = []
    for metric in UTILIZATION:
        mean = f"avg_over_time({metric.selector}[{seconds(window_seconds)}])"
        text = by_workload("avg", _filled(mean), selection, metric.identities)
        parts.append(f"{text} / {metric.per_unit:g}")
    return " or ".join(parts)


def pod_cpu_watts(window_seconds: float, namespaces: Sequence[str]) -> str:
    """Watts of CPU and DRAM per pod from Kepler, new names first."""
    new = pods_in(
        _filled('kepler_pod_cpu_watts{%s, state="running", zone=~"package|dram"}'),
        namespaces,
        (Identity("pod_namespace", "pod_name"),),
    )
    old = pods_in(
        lambda m: " or ".join(
            f"rate(kepler_container_{part}_joules_total{{{m}}}[{seconds(window_seconds)}])"
            for part in ("package", "dram")
        ),
        namespaces,
        (Identity("container_namespace", "pod_name"),),
    )
    return f"sum by (namespace, pod) ({new}) or sum by (namespace, pod) ({old})"


# OpenCost's prices of a node: of the whole, of one GPU, of one core, of one GiB of memory.
NODE_USD = "node_total_hourly_cost"
NODE_GPU_USD = "node_gpu_hourly_cost"
NODE_CORE_USD = "node_cpu_hourly_cost"
NODE_GIB_USD = "node_ram_hourly_cost"
USUAL_PRICE_SECONDS = 3600.0


def node_price(metric: str) -> str:
    """One of OpenCost's prices of each node, in $/h."""
    return f"max by (node) ({metric})"


def usual_node_price(metric: str) -> str:
    """What it was for most of the last hour."""
    return f"max by (node) (quantile_over_time(0.5, {metric}[{seconds(USUAL_PRICE_SECONDS)}]))"


def carbon_grams_per_kwh() -> str:
    """Carbon intensity of the grid per location."""
    by_location = 'label_replace(grid_intensity_carbon_average, "location", "$1", "region", "(.+)")'
    return f"avg by (location) ({by_location}) or avg by (location) (carbon_intensity)"


def most_scraped(metric: str, window_seconds: float) -> str:
    """The series of a metric with most samples in the window: its spacing is the scrape interval."""
    return f"topk(1, count_over_time({metric}[{seconds(window_seconds)}]))"


def stored_samples(metric: str, labels: Mapping[str, str], window_seconds: float) -> str:
    """Range selector of one series."""
    exact = ", ".join(f"{name}={quoted(value)}" for name, value in labels.items() if name != "__name__")
    return f"{metric}{{{exact}}}[{seconds(window_seconds)}]"


def user_query(template: str, namespace: str, name: str) -> str:
    """A user's own PromQL with ``{{namespace}}`` and ``{{name}}`` filled in.

    Both are escaped for a place inside quotes, and as they may stand in a regular expression, for that too: a dot in
    a name must not match any letter. In an exact match (``app="{{name}}"``) a dot stays a dot.
    """
    text = template
    for placeholder, value in (("{{namespace}}", namespace), ("{{name}}", name)):
        text = _substituted(text, placeholder, value)
    return text


def _substituted(text: str, placeholder: str, value: str) -> str:
    before, *rest = text.split(placeholder)
    for piece in rest:
        pattern = _in_literal_after(before, "=~") or _in_literal_after(before, "!~")
        before += quoted(literal(value) if pattern else value)[1:-1] + piece
    return before


def _in_literal_after(before: str, operator: str) -> bool:
    """Whether the text breaks off inside the string that follows the last such operator."""
    _, found, after = before.rpartition(operator)
    return bool(found) and after.count('"') == 1


def _devices(metric: DeviceMetric, namespaces: Sequence[str]) -> str:
    labels = ("namespace", "pod", *metric.device, *([metric.model] if metric.model else []))
    return f"max by ({', '.join(labels)}) ({pods_in(_filled(metric.selector), namespaces, metric.identities)})"


def _gauge(metric: str) -> Expression:
    return lambda m: f"{metric}{{{m}}}"


def _filled(text: str) -> Expression:
    return lambda m: text.replace("%s", m)


def _proven(aggregate: str, template: str, preset: Preset, selection: Selection) -> str:
    """What the samples that date a preset's readings tell, of its pods' series first."""
    texts = [template.format(metric) for metric in preset.proof]
    found = _first_of(aggregate, texts, selection, preset.identities)
    if not preset.gateway_loads:
        return found
    return f"{found} or {_first_of(aggregate, texts, selection, preset.gateway_identities)}"


def _first_of(aggregate: str, texts: Sequence[str], selection: Selection, identities: Sequence[Identity]) -> str:
    return " or ".join(by_workload(aggregate, _filled(text), selection, identities) for text in texts)
