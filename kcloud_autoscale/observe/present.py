"""What each workload does right now: demand, and the metrics its policy names."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kcloud_autoscale.domain.bounds import POD_CPU_CORES, POD_MEMORY_BYTES, Bound
from kcloud_autoscale.domain.observation import MetricObservation
from kcloud_autoscale.domain.policy import MetricKind, MetricTarget
from kcloud_autoscale.domain.reading import (
    AtLeast,
    BoundedReading,
    Missing,
    MissingReason,
    Reading,
    Sample,
    as_lower_bound,
)
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.coverage import covered_now, instants
from kcloud_autoscale.observe.fetch import Build
from kcloud_autoscale.observe.freshness import Freshness, freshness
from kcloud_autoscale.observe.history import Span, rate_window_seconds
from kcloud_autoscale.observe.objects import Pod
from kcloud_autoscale.observe.presets import Preset
from kcloud_autoscale.observe.prometheus_response import Point, shown
from kcloud_autoscale.observe.query_session import QuerySession, reading
from kcloud_autoscale.observe.sampled_pods import SampledPods, own_pods, preset_pods
from kcloud_autoscale.observe.signals import FleetSignals, PodReadings
from kcloud_autoscale.observe.tenant_queries import TenantQuery
from kcloud_autoscale.observe.watched import Watched, by_scrape, metric_field, subjects

DEFAULT_LATENCY_QUANTILE = 0.95

# Users write milliseconds and percent (the units of the thresholds they set), the core has seconds and ratios.
_USER_UNITS = {"latency": 1000.0, "cpu": 100.0, "memory": 100.0, "gpu": 100.0, "npu": 100.0}


def user_unit(metric: str) -> float:
    """What a user's own query of a metric type is divided by to get base units."""
    return _USER_UNITS.get(metric, 1.0)


@dataclass(slots=True)
class Present:
    """Answers about now, by what they were asked for.

    Attributes:
        demand: Load per second.
        newest: Unix time of the newest sample of a workload's preset.
        latency: By quantile, in seconds.
        waiting: Requests in the queue.
        own: Users' own queries.
        freshness: What those were answered from.
        cpu_cores: Per pod, mean over `cpu_window_seconds`.
        memory_bytes: Per pod.
        pods: Of workloads with a preset, the Ready pods by whether it has samples of them.
        own_pods: The same of users' own queries, by workload and query.
        away: Why nothing could be asked at all; None when it could.
    """

    demand: dict[WorkloadKey, BoundedReading] = field(default_factory=dict)
    newest: dict[WorkloadKey, float] = field(default_factory=dict)
    latency: dict[tuple[WorkloadKey, float], Point | Missing] = field(default_factory=dict)
    waiting: dict[WorkloadKey, Point | Missing] = field(default_factory=dict)
    own: dict[TenantQuery, Point | Missing] = field(default_factory=dict)
    freshness: dict[TenantQuery, Freshness] = field(default_factory=dict)
    cpu_cores: PodReadings = field(default_factory=PodReadings)
    cpu_window_seconds: float = 0.0
    memory_bytes: PodReadings = field(default_factory=PodReadings)
    pods: dict[WorkloadKey, SampledPods] = field(default_factory=dict)
    own_pods: dict[tuple[WorkloadKey, TenantQuery], SampledPods] = field(default_factory=dict)
    away: Missing | None = None

    @property
    def unfilled(self) -> frozenset[TenantQuery]:
        """Users' own queries whose ranges samples do not fill at present."""
        return frozenset(query for query, fresh in self.freshness.items() if fresh.unfilled)

    def demand_of_pods(self, each: Watched) -> bool:
        """Whether the samples of a workload's own demand query are its pods'."""
        return each.query is not None and self.own_pods.get((each.key, each.query), SampledPods()).told

    @property
    def partial(self) -> frozenset[WorkloadKey]:
        """Workloads whose demand is no more than a lower bound at present."""
        return frozenset(key for key, demand in self.demand.items() if isinstance(demand, AtLeast))


async def present(
    asker: QuerySession,
    watched: Sequence[Watched],
    scrapes: Mapping[WorkloadKey, float],
    step_seconds: float,
    window_seconds: float,
    max_age_seconds: float,
) -> Present:
    """Ask for everything at once; what fails is Missing in its place.

    Args:
        asker: With the instant and the budget.
        watched: Workloads, with or without a target.
        scrapes: Seconds between scrapes of each workload of a preset.
        step_seconds: What demand is a mean over.
        window_seconds: Rate window of what is of no preset.
        max_age_seconds: Older readings are stale.
    """
    found = Present(cpu_window_seconds=window_seconds)
    async with asyncio.TaskGroup() as group:
        for preset, interval, members in by_scrape([each for each in watched if each.key in scrapes], scrapes):
            window = rate_window_seconds(step_seconds, interval)
            group.create_task(_demand(asker, found, preset, members, window, interval, max_age_seconds))
            group.create_task(_latency(asker, found, preset, members, window))
            group.create_task(_waiting(asker, found, preset, members))
            group.create_task(_pods(asker, found, preset, members, interval))
        group.create_task(_own(asker, found, watched))
        group.create_task(_cpu_memory(asker, found, watched, window_seconds))
    for each in watched:
        if each.unknown is not None:
            found.demand[each.key] = each.unknown
        elif each.query is not None:
            found.demand[each.key] = _own_reading(each, found, each.query, "demand", max_age_seconds, asker.now_seconds)
    for key, pods in found.pods.items():
        found.demand[key] = pods.bound(found.demand[key])
    return found


def metrics_of(
    each: Watched, found: Present, signals: FleetSignals, max_age_seconds: float, now_seconds: float
) -> tuple[MetricObservation, ...]:
    """One observation per target of the policy, in its order."""
    return tuple(_metric(each, target, found, signals, max_age_seconds, now_seconds) for target in each.policy.targets)


def _metric(
    each: Watched, target: MetricTarget, found: Present, signals: FleetSignals, max_age_seconds: float, now: float
) -> MetricObservation:
    if isinstance(each.target.seen, Missing):
        return MetricObservation(target.name, each.target.seen)
    if found.away is not None:
        return MetricObservation(target.name, found.away)
    if target.query is not None:
        query = each.filled(target.query)
        if query.refused:
            why = f"{metric_field(target.name)}: {query.refused}"
            return MetricObservation(target.name, Missing(MissingReason.REFUSED, why))
        scale, what = user_unit(target.name), shown(query.text)
        return MetricObservation(target.name, _own_reading(each, found, query, what, max_age_seconds, now, scale))
    match target.name:
        case "requests":
            return MetricObservation("requests", found.demand[each.key])
        case "latency":
            asked = found.latency.get((each.key, target.quantile or DEFAULT_LATENCY_QUANTILE))
            return MetricObservation("latency", _dated(each, asked, "latency", found, max_age_seconds, now))
        case "queue":
            asked = found.waiting.get(each.key)
            return MetricObservation("queue", _dated(each, asked, "queue", found, max_age_seconds, now))
        case "cpu":
            of_requests = _of_requests(each, found.cpu_cores, "cpu", now)
            return replace(of_requests, window_seconds=found.cpu_window_seconds)
        case "memory":
            return _of_requests(each, found.memory_bytes, "memory", now)
        case _:
            readings = signals.gpu if target.name == "gpu" else signals.npu
            total = readings.mean(each.key.namespace, each.target.pods, f"{target.name} utilization", now)
            return MetricObservation(target.name, total, readings.of(each.key.namespace, each.target.pods))


def _dated(
    each: Watched, asked: Point | Missing | None, what: str, found: Present, max_age_seconds: float, now: float
) -> BoundedReading:
    """A reading of the preset with the age of its newest sample."""
    if asked is None and each.unknown is not None:
        return each.unknown
    if asked is None:
        name = f"the {each.preset.name} preset" if each.preset else "a demand query of one's own"
        return Missing(MissingReason.NOT_CONFIGURED, f"{name} tells no {what}; give the metric its own query")
    read = _fresh(asked, what, found.newest.get(each.key), max_age_seconds, now)
    return found.pods.get(each.key, SampledPods()).bound(read)


def _own_reading(
    each: Watched, found: Present, query: TenantQuery, what: str, max_age_seconds: float, now: float, scale: float = 1.0
) -> BoundedReading:
    """A user's own query with the age of its samples; nothing where they do not fill what it looks back over."""
    fresh = found.freshness.get(query, Freshness())
    read = _fresh(found.own[query], what, fresh.newest_seconds, max_age_seconds, now, scale)
    if fresh.unfilled and isinstance(read, Sample):
        why = f"{what}: {fresh.unfilled}"
        if read.value > 0.0 and _at_zero(each):
            return as_lower_bound(read, MissingReason.NO_DATA, why)  # something is asked, and nothing runs
        return Missing(MissingReason.NO_DATA, why)
    return found.own_pods.get((each.key, query), SampledPods()).bound(read)


def _at_zero(each: Watched) -> bool:
    target = each.target.seen
    return not isinstance(target, Missing) and target.desired_replicas == 0


def _fresh(
    asked: Point | Missing, what: str, newest: float | None, max_age_seconds: float, now: float, scale: float = 1.0
) -> Reading:
    if newest is not None and now - newest > max_age_seconds:
        return Missing(MissingReason.STALE, f"{what}: the newest sample is {now - newest:.0f} s old")
    return reading(asked, what, at_seconds=newest, scale=scale)


def _of_requests(each: Watched, used: PodReadings, resource: str, now: float) -> MetricObservation:
    """Use over request: HPA's utilization, 1.0 where a pod uses all it asked for."""
    namespace = each.key.namespace
    values = used.of(namespace, each.target.pods)
    per_pod: dict[str, float] = {}
    for pod in each.target.pods:
        if (value := values.get(pod.seen.name)) is None:
            continue
        asked = _request(pod, resource)
        if not asked:
            why = f"pod {pod.seen.name} requests no {resource}, so it has no utilization"
            return MetricObservation(resource, Missing(MissingReason.NOT_CONFIGURED, why))
        per_pod[pod.seen.name] = value / asked
    if not per_pod:
        return MetricObservation(resource, used.why_missing(namespace, each.target.pods, f"{resource} use"))
    return MetricObservation(
        resource, Sample(sum(per_pod.values()) / len(per_pod), now, f"{resource} utilization"), per_pod
    )


def _request(pod: Pod, resource: str) -> float | None:
    return pod.requests.cpu_cores if resource == "cpu" else pod.requests.memory_bytes


async def _demand(
    asker: QuerySession,
    found: Present,
    preset: Preset,
    members: Sequence[Watched],
    window_seconds: float,
    interval_seconds: float,
    max_age_seconds: float,
) -> None:
    asked, now = subjects(members), asker.now_seconds
    what = f"demand ({preset.name})"
    count, apart = instants(window_seconds, interval_seconds)
    ends = Span(now - (count + 1) * apart, count + 1, apart)
    loads, newest = await asyncio.gather(
        asker.grouped(lambda part: queries.demand(preset, window_seconds, part), asked, what),
        asker.grouped_steps(lambda part: queries.newest_sample(preset, part), asked, ends, what),
    )
    at = ends.ends
    for key, load in loads.items():
        seen = newest[key]
        if isinstance(seen, Missing):
            found.demand[key] = seen
            continue
        if np.isfinite(seen[-1]):
            found.newest[key] = min(float(seen[-1]), now)
        read = _fresh(load, what, found.newest.get(key), max_age_seconds, now)
        # A stack that lacks the metric its samples are dated by is taken at its word.
        uncovered = np.isfinite(seen).any() and not covered_now(seen, at, interval_seconds)
        found.demand[key] = _unfilled(what, window_seconds, read, preset.told_by_gateway) if uncovered else read


async def _pods(
    asker: QuerySession, found: Present, preset: Preset, members: Sequence[Watched], interval_seconds: float
) -> None:
    found.pods |= await preset_pods(asker, preset, members, interval_seconds)


def _unfilled(what: str, window_seconds: float, read: Reading, counts: bool) -> BoundedReading:
    """A rate over a window that samples do not fill: too low by an unknown part.

    Of requests that are merely counted, that is a lower bound: the first ever to a target at 0 replicas has no window.
    """
    why = f"{what}: samples do not fill the last {window_seconds:g} s yet, so a rate over them would be too low"
    if counts and isinstance(read, Sample) and read.value > 0.0:
        return as_lower_bound(read, MissingReason.NO_DATA, why)
    return Missing(MissingReason.NO_DATA, why) if isinstance(read, Sample) else read


async def _latency(
    asker: QuerySession, found: Present, preset: Preset, members: Sequence[Watched], window_seconds: float
) -> None:
    if not preset.latencies and not preset.summary:
        return
    wanted: defaultdict[float, list[Watched]] = defaultdict(list)
    for each in members:
        for quantile in {t.quantile or DEFAULT_LATENCY_QUANTILE for t in _built_in(each, "latency")}:
            wanted[quantile].append(each)

    async def at(quantile: float, part: Sequence[Watched]) -> None:
        build: Build = lambda selection: queries.latency(preset, quantile, window_seconds, selection)  # noqa: E731
        answers = await asker.grouped(build, subjects(part), f"latency ({preset.name})")
        found.latency.update({(key, quantile): answer for key, answer in answers.items()})

    await asyncio.gather(*(at(quantile, part) for quantile, part in wanted.items()))


async def _waiting(asker: QuerySession, found: Present, preset: Preset, members: Sequence[Watched]) -> None:
    wanted = [each for each in members if _built_in(each, "queue")]
    if preset.waiting and wanted:
        found.waiting |= await asker.grouped(
            lambda part: queries.waiting(preset, part), subjects(wanted), f"queue ({preset.name})"
        )


async def _own(asker: QuerySession, found: Present, watched: Sequence[Watched]) -> None:
    asked = [(each, query) for each in watched for query in _own_queries(each) if not query.refused]
    queries = {query for _, query in asked}
    answers, fresh, sampled = await asyncio.gather(
        asker.own(queries, "query"), freshness(asker, queries), own_pods(asker, asked)
    )
    found.own |= answers
    found.own_pods |= sampled
    found.freshness |= fresh


async def _cpu_memory(asker: QuerySession, found: Present, watched: Sequence[Watched], window_seconds: float) -> None:
    async def ask(resource: str, build: Build, bound: Bound) -> PodReadings:
        wanted = [w.pods_subject for w in watched if w.pods_subject is not None and _built_in(w, resource)]
        readings = PodReadings()
        if wanted:
            readings.take(await asker.grouped_lists(build, wanted, "cAdvisor"), bound)
        return readings

    found.cpu_cores, found.memory_bytes = await asyncio.gather(
        ask("cpu", lambda part: queries.cpu_cores(window_seconds, part), POD_CPU_CORES),
        ask("memory", queries.memory_bytes, POD_MEMORY_BYTES),
    )


def _built_in(each: Watched, name: str) -> list[MetricTarget]:
    return [target for target in each.policy.targets if target.name == name and target.query is None]


def _own_queries(each: Watched) -> set[TenantQuery]:
    """What a workload asks in words of its own: its demand, and metrics of its target."""
    queries = {each.filled(t.query) for t in each.policy.targets if t.query is not None} if each.pods_subject else set()
    return queries | ({each.query} if each.query else set())


def average_kinds(target: MetricTarget) -> bool:
    """Whether the threshold is per replica while the query tells the total."""
    return target.kind is MetricKind.AVERAGE_VALUE
