"""What each workload has done: demand steps for the forecaster, and pairs that tell what a replica can serve."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.domain.observation import CapacityHistory
from kcloud_autoscale.domain.policy import MetricTarget
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.series import DemandHistory, FloatArray
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.demand import Steps, demand_steps, forget_partial, forget_unfilled
from kcloud_autoscale.observe.history import MAX_STEPS, Span, demand_history, pending, rate_window_seconds
from kcloud_autoscale.observe.present import DEFAULT_LATENCY_QUANTILE, average_kinds, user_unit
from kcloud_autoscale.observe.presets import Preset
from kcloud_autoscale.observe.promql import TOLD_BY_KUBE_STATE_METRICS
from kcloud_autoscale.observe.query_session import MAX_NAMES, MAX_SAMPLES, QuerySession
from kcloud_autoscale.observe.tenant_queries import TenantQuery
from kcloud_autoscale.observe.turns import Turns
from kcloud_autoscale.observe.watched import Watched, subjects

# Jobs at once. More would all be half done when the time is up, and begin anew in the next cycle.
CONCURRENT_JOBS = 4


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back to look.

    Attributes:
        step_seconds: Of the grid.
        settle_seconds: After its end a step is complete.
        history_seconds: For a new workload.
    """

    step_seconds: float
    settle_seconds: float
    history_seconds: float


@dataclass(frozen=True, slots=True)
class _Job:
    """Workloads of one source that are read together over one span."""

    span: Span
    members: tuple[Watched, ...]
    whole: bool


async def demand_histories(
    asker: QuerySession,
    watched: Sequence[Watched],
    since: Mapping[WorkloadKey, float],
    reach: Reach,
    scrapes: Mapping[WorkloadKey, float],
    turns: Turns,
    unfilled: Collection[TenantQuery] = (),
    partial: Collection[WorkloadKey] = (),
) -> dict[WorkloadKey, DemandHistory]:
    """The steps each workload has not been fed; workloads that are not ready when the time is up come next cycle.

    Args:
        asker: With the instant and the budget.
        watched: Workloads with a demand source.
        since: Up to when each known one has been fed.
        reach: The grid.
        scrapes: Seconds between scrapes of each workload of a preset, at present.
        turns: Whose whole histories have been asked for so far.
        unfilled: Users' own queries whose ranges samples do not fill at present.
        partial: Workloads whose load is a lower bound at present.
    """
    found: dict[WorkloadKey, DemandHistory] = {}

    async def run(job: _Job) -> None:
        values = await demand_steps(asker, job.members, job.span, scrapes)
        forget_unfilled(values, job.members, unfilled, reach.step_seconds)
        forget_partial(values, job.members, partial, job.span, scrapes)
        for key, each in values.items():
            if not isinstance(each, Missing) and (piece := demand_history(each, job.span, job.whole)) is not None:
                found[key] = piece

    # A whole history is a question of its own: four jobs of 40 that are given up half done would be none at all.
    jobs = _jobs(watched, since, reach, asker.now_seconds, turns, own_together=1)
    await _within(asker, [lambda job=job: run(job) for job in jobs])  # type: ignore[misc]
    return found


async def capacity_histories(
    asker: QuerySession,
    watched: Sequence[Watched],
    until: Mapping[WorkloadKey, float],
    reach: Reach,
    scrapes: Mapping[WorkloadKey, float],
    turns: Turns,
) -> dict[WorkloadKey, tuple[Span, tuple[CapacityHistory, ...]]]:
    """Pairs of load, ready replicas and target metric, with the span each workload's were read for."""
    found: dict[WorkloadKey, tuple[Span, tuple[CapacityHistory, ...]]] = {}

    async def run(job: _Job) -> None:
        pieces = await _pairs(asker, job, scrapes)
        found.update({key: (job.span, tuple(each)) for key, each in pieces.items()})

    learning = [each for each in watched if each.policy.capacity_per_replica is None and _learnable(each)]
    jobs = _jobs(learning, until, reach, asker.now_seconds, turns, series_each=3)
    await _within(asker, [lambda job=job: run(job) for job in jobs])  # type: ignore[misc]
    return found


def _jobs(
    watched: Sequence[Watched],
    since: Mapping[WorkloadKey, float],
    reach: Reach,
    now_seconds: float,
    turns: Turns,
    series_each: int = 1,
    own_together: int = MAX_NAMES,
) -> list[_Job]:
    """Known workloads first: their few steps cost little and are what decisions wait for.

    Whole histories of ``own_together`` workloads with queries of their own are one job at most.
    """
    alike: defaultdict[tuple[bool, Span, str], list[Watched]] = defaultdict(list)
    whole_steps = math.ceil(reach.history_seconds / reach.step_seconds)
    new = turns.take([each for each in watched if each.key not in since], whole_steps * series_each)
    for each in [*(each for each in watched if each.key in since), *new]:
        known = since.get(each.key)
        span = pending(known, now_seconds, reach.step_seconds, reach.settle_seconds, reach.history_seconds)
        if span is not None:
            alike[known is None, span, each.preset.name if each.preset else ""].append(each)
    jobs = []
    for (whole, span, preset), members in sorted(alike.items(), key=lambda item: (item[0][0], item[0][1].steps)):
        size = max(1, min(MAX_NAMES, MAX_SAMPLES // min(span.steps, MAX_STEPS)))
        if whole and not preset:
            size = min(size, own_together)
        jobs += [_Job(span, tuple(members[i : i + size]), whole) for i in range(0, len(members), size)]
    return jobs


async def _within(asker: QuerySession, jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run the jobs a few at a time; those that are not done when the budget is used up are given up."""
    slots = asyncio.Semaphore(CONCURRENT_JOBS)

    async def run(job: Callable[[], Awaitable[None]]) -> None:
        async with slots:
            await job()

    tasks = [asyncio.create_task(run(job)) for job in jobs]
    if not tasks:
        return
    try:
        done, late = await asyncio.wait(tasks, timeout=asker.left_seconds)
    finally:
        for task in tasks:
            task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()


async def _pairs(
    asker: QuerySession, job: _Job, scrapes: Mapping[WorkloadKey, float]
) -> dict[WorkloadKey, list[CapacityHistory]]:
    demand, ready = await asyncio.gather(
        demand_steps(asker, job.members, job.span, scrapes), _ready_steps(asker, job.members, job.span)
    )
    pieces: dict[WorkloadKey, list[CapacityHistory]] = {}
    for target, members in _by_target(job.members):
        metric = await _metric_steps(asker, members, target, job.span, scrapes)
        for each in members:
            load, serving, values = demand[each.key], ready[each.key], metric[each.key]
            if isinstance(load, Missing) or isinstance(serving, Missing) or isinstance(values, Missing):
                continue
            if average_kinds(target):
                values = _per_replica(values, serving)
            pieces.setdefault(each.key, []).append(
                CapacityHistory(job.span.start_seconds, job.span.step_seconds, load, serving, values, target.name)
            )
    return pieces


async def _ready_steps(asker: QuerySession, members: Sequence[Watched], span: Span) -> Steps:
    """Ready replicas: from kube-state-metrics, and where it says nothing from the pods that export the load."""
    told: Steps = {each.key: np.full(span.steps, np.nan) for each in members}
    own = [s for each in members if (s := each.pods_subject) is not None and s.naming in TOLD_BY_KUBE_STATE_METRICS]
    told |= await asker.grouped_steps(
        lambda part: queries.ready_replicas(span.step_seconds, part), own, span, "ready replicas"
    )
    untold = [each for each in members if _nothing(told[each.key])]
    preset = members[0].preset
    if untold and preset is not None and preset.identities[0].is_pod:
        told |= await asker.grouped_steps(
            lambda part: queries.exporting_pods(preset, part), subjects(untold), span, "exporting pods"
        )
    return told


async def _metric_steps(
    asker: QuerySession,
    members: Sequence[Watched],
    target: MetricTarget,
    span: Span,
    scrapes: Mapping[WorkloadKey, float],
) -> Steps:
    if target.query is not None:
        template, unit = target.query, user_unit(target.name)
        found = await asker.own_steps({each.filled(template) for each in members}, span, target.name)
        scaled = {query: each if isinstance(each, Missing) else each / unit for query, each in found.items()}
        return {each.key: scaled[each.filled(template)] for each in members}
    if target.name in ("gpu", "npu"):
        own = [each.pods_subject for each in members if each.pods_subject is not None]
        return await asker.grouped_steps(
            lambda part: queries.workload_utilization(span.step_seconds, part), own, span, target.name
        )
    preset = members[0].preset
    assert preset is not None
    asked = subjects(members)
    if target.name == "queue":
        return await asker.grouped_steps(lambda part: queries.waiting(preset, part), asked, span, "queue")
    quantile = target.quantile or DEFAULT_LATENCY_QUANTILE
    window = rate_window_seconds(span.step_seconds, max(scrapes[each.key] for each in members))
    return await asker.grouped_steps(
        lambda part: queries.latency(preset, quantile, window, part), asked, span, "latency"
    )


def _learnable(each: Watched) -> list[MetricTarget]:
    """Targets a capacity can be learned from.

    A built-in ``requests`` threshold is a capacity already; CPU and memory against requests of pods long gone are
    unknown, and the rule of the HPA serves them.
    """
    return [target for target in each.policy.targets if _has_history(each.preset, target)]


def _has_history(preset: Preset | None, target: MetricTarget) -> bool:
    if target.query is not None or target.name in ("gpu", "npu"):
        return True
    if preset is None:
        return False
    return (
        bool(preset.latencies or preset.summary)
        if target.name == "latency"
        else (target.name == "queue" and bool(preset.waiting))
    )


def _by_target(members: Sequence[Watched]) -> list[tuple[MetricTarget, list[Watched]]]:
    """Workloads that can be asked about a target together: same metric, same quantile, same query."""
    alike: dict[tuple[str, float | None, str | None], tuple[MetricTarget, list[Watched]]] = {}
    for each in members:
        for target in _learnable(each):
            alike.setdefault((target.name, target.quantile, target.query), (target, []))[1].append(each)
    return list(alike.values())


def _per_replica(values: FloatArray, serving: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        each: FloatArray = np.where(serving > 0.0, values / serving, np.nan)
    return each


def _nothing(steps: FloatArray | Missing) -> bool:
    return isinstance(steps, Missing) or not np.isfinite(steps).any()
