"""Which serving stack tells the load of a workload that names none, and what has run so far.

`recommend` looks at the whole past of workloads without an optimizer; the operator at the present of those whose
optimizer leaves it open, once per workload, and seldom again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.workload import Mode, TargetRef, WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.fetch import Subject, subject
from kcloud_autoscale.observe.history import Span, rate_window_seconds
from kcloud_autoscale.observe.presets import PRESETS, Preset
from kcloud_autoscale.observe.prometheus_response import Point
from kcloud_autoscale.observe.promql import PodNaming, pod_naming
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.scrapes import scrape_seconds

# Whether there is a signal shows at a coarse look: two weeks of hours are 336 points a series.
LOOK_SECONDS = 3_600.0

_TOLD_BY_KUBE_STATE_METRICS = (PodNaming.DEPLOYMENT, PodNaming.STATEFUL_SET)

# A stack that was found may be replaced by another; one that was not may be scraped soon: pods take minutes to load.
FOUND_AGAIN_SECONDS = 3_600.0
FIRST_AGAIN_SECONDS = 15.0
LAST_AGAIN_SECONDS = 600.0

# Metrics that a serving stack tells.
_OF_THE_STACK = frozenset({"latency", "queue", "requests"})

Targets = Mapping[WorkloadKey, TargetRef]


def leaves_source_open(policy: WorkloadPolicy) -> bool:
    """Whether it is scaled on what a serving stack tells and does not say which: nothing else would be asked for."""
    if policy.mode is Mode.OFF or policy.demand.preset is not None or policy.demand.query is not None:
        return False
    asked = any(target.query is None and target.name in _OF_THE_STACK for target in policy.targets)
    return asked or policy.capacity_per_replica is not None


@dataclass(slots=True)
class _Look:
    """At one workload: the preset that was found, or why there is none, and when to look again."""

    target: TargetRef
    found: str | Missing
    again_at_seconds: float
    pause_seconds: float


@dataclass(slots=True)
class DemandSources:
    """The serving stack of each workload whose optimizer leaves it open."""

    _looks: dict[WorkloadKey, _Look] = field(default_factory=dict)

    async def of(self, asker: QuerySession, targets: Targets) -> dict[WorkloadKey, str | Missing]:
        """Name of the preset whose metrics name the workload at present, or why there is none.

        What was found stays until another is found: a stack that is silent for once, or a Prometheus that fails, does
        not replace it by nothing.
        """
        self._looks = {key: look for key, look in self._looks.items() if targets.get(key) == look.target}
        due = {key: ref for key, ref in targets.items() if self._due(key, asker.now_seconds)}
        if due:
            answers = await _exporting(asker, due)
            for key, ref in due.items():
                self._looks[key] = _next_look(self._looks.get(key), ref, answers[key], asker.now_seconds)
        return {key: self._looks[key].found for key in targets}

    def _due(self, key: WorkloadKey, now_seconds: float) -> bool:
        look = self._looks.get(key)
        # A clock that was set back must not put it off until it has caught up.
        return look is None or not 0.0 < look.again_at_seconds - now_seconds <= look.pause_seconds


def _next_look(before: _Look | None, ref: TargetRef, answer: str | Missing, now_seconds: float) -> _Look:
    """What to go by from now on: a stack is looked at hourly, none at growing pauses."""
    found, pause = answer, FOUND_AGAIN_SECONDS
    if isinstance(answer, Missing):
        pause = FIRST_AGAIN_SECONDS
        if before is not None and answer.reason is not MissingReason.SOURCE_ERROR:
            pause = min(2.0 * before.pause_seconds, LAST_AGAIN_SECONDS)
        if before is not None and isinstance(before.found, str):
            found = before.found
    return _Look(ref, found, now_seconds + pause, pause)


@dataclass(frozen=True, slots=True)
class Signal:
    """A serving stack that tells a workload's load.

    Attributes:
        preset: Its name.
        known_fraction: Share of the hours looked at in which it did.
    """

    preset: str
    known_fraction: float


async def demand_signals(asker: QuerySession, targets: Targets, days: float) -> dict[WorkloadKey, tuple[Signal, ...]]:
    """For each workload the presets that have a load for it, the longest known first; empty where none has.

    Raises:
        ObservationError: Prometheus failed: what it did not tell must not read as "there is no signal".
    """
    end = np.floor(asker.now_seconds / LOOK_SECONDS) * LOOK_SECONDS
    steps = max(1, round(days * 86_400.0 / LOOK_SECONDS))
    span = Span(float(end - steps * LOOK_SECONDS), steps, LOOK_SECONDS)
    answers = await asyncio.gather(*(_known_fractions(asker, preset, targets, span) for preset in PRESETS.values()))
    found: dict[WorkloadKey, list[Signal]] = {key: [] for key in targets}
    for preset, fractions in zip(PRESETS, answers, strict=True):
        for key, fraction in fractions.items():
            if fraction > 0.0:
                found[key].append(Signal(preset, fraction))
    # Two stacks may tell the same load (a mesh and the server behind it): what was known longer teaches more. Within
    # an hour of each other the order of the presets decides, servers before meshes.
    return {
        key: tuple(sorted(each, key=lambda signal: -round(signal.known_fraction, 2))) for key, each in found.items()
    }


async def _exporting(asker: QuerySession, targets: Targets) -> dict[WorkloadKey, str | Missing]:
    """The first preset, servers before meshes, that has a fresh sample of each workload, with or without traffic.

    A query that fails for one workload, as by odd series of its own, leaves the others theirs.
    """

    async def newest(preset: Preset) -> dict[WorkloadKey, Point | Missing]:
        what = f"demand source ({preset.name})"
        return await asker.grouped(lambda part: queries.newest_sample(preset, part), _subjects(preset, targets), what)

    answers = await asyncio.gather(*(newest(preset) for preset in PRESETS.values()))
    found: dict[WorkloadKey, str | Missing] = {}
    for key, ref in targets.items():
        told = {preset: answer[key] for preset, answer in zip(PRESETS, answers, strict=True)}
        names = (name for name, each in told.items() if not isinstance(each, Missing) and math.isfinite(each.value))
        failed = (
            each for each in told.values() if isinstance(each, Missing) and each.reason is MissingReason.SOURCE_ERROR
        )
        found[key] = next(names, None) or next(failed, None) or _not_found(ref)
    return found


def _not_found(ref: TargetRef) -> Missing:
    names = ", ".join(PRESETS)
    why = f"spec.autoScaling.demand is not set, and no serving stack's metrics name {ref.kind} {ref.name} ({names})"
    return Missing(MissingReason.NO_DATA, why)


async def _known_fractions(
    asker: QuerySession, preset: Preset, targets: Targets, span: Span
) -> dict[WorkloadKey, float]:
    values = await asker.grouped_steps(
        lambda part: queries.demand(preset, LOOK_SECONDS, part),
        _subjects(preset, targets),
        span,
        f"demand ({preset.name})",
    )
    found = {}
    for key, each in values.items():
        if isinstance(each, Missing):
            if each.reason is MissingReason.SOURCE_ERROR:
                raise ObservationError(each.message)
            continue  # several series of one workload: this stack cannot tell it
        found[key] = float(np.isfinite(each).mean())
    return found


def _subjects(preset: Preset, targets: Targets) -> list[Subject]:
    return [subject(key, ref.name, pod_naming(ref.kind), preset, ()) for key, ref in targets.items()]


async def ready_replicas(
    asker: QuerySession, targets: Targets, presets: Mapping[WorkloadKey, str], span: Span
) -> dict[WorkloadKey, FloatArray]:
    """Ready replicas per step; NaN where nobody told.

    From kube-state-metrics; where it is silent, the pods that exported the preset's metrics are counted.

    Args:
        asker: With the instant and the budget.
        targets: Workloads.
        presets: The serving stack of each.
        span: The grid.
    """
    nothing = np.full(span.steps, np.nan)
    asked = [Subject(key, ref.name, pod_naming(ref.kind)) for key, ref in targets.items()]
    told = await asker.grouped_steps(
        lambda part: queries.ready_replicas(span.step_seconds, part),
        [each for each in asked if each.naming in _TOLD_BY_KUBE_STATE_METRICS],
        span,
        "ready replicas",
    )
    known = {key: each for key, each in told.items() if not isinstance(each, Missing) and np.isfinite(each).any()}
    for name in dict.fromkeys(presets.values()):
        preset, rest = PRESETS[name], [each for each in asked if each.key not in known and presets[each.key] == name]
        if not rest or not preset.identities[0].is_pod:
            continue
        counted = await asker.grouped_steps(
            lambda part, preset=preset: queries.exporting_pods(preset, part),  # type: ignore[misc]
            rest,
            span,
            "exporting pods",
        )
        known |= {key: each for key, each in counted.items() if not isinstance(each, Missing)}
    return {key: known.get(key, nothing) for key in targets}


async def measured_latency(
    asker: QuerySession, targets: Targets, presets: Mapping[WorkloadKey, str], quantile: float, span: Span
) -> dict[WorkloadKey, FloatArray]:
    """Latency quantile per step, seconds; NaN where nothing was measured. Stacks that tell no latency are left out.

    Args:
        asker: With the instant and the budget.
        targets: Workloads.
        presets: The serving stack of each.
        quantile: 0-1.
        span: The grid.
    """
    found: dict[WorkloadKey, FloatArray] = {}
    for name in dict.fromkeys(presets[key] for key in targets):
        preset = PRESETS[name]
        if not (preset.latencies or preset.summary):
            continue
        asked = [
            subject(key, ref.name, pod_naming(ref.kind), preset, ())
            for key, ref in targets.items()
            if presets[key] == name
        ]
        scrapes = await scrape_seconds(asker, preset, asked)
        for interval in sorted(set(scrapes.values())):
            window = rate_window_seconds(span.step_seconds, interval)
            alike = [each for each in asked if scrapes[each.key] == interval]
            told = await asker.grouped_steps(
                lambda part, preset=preset, window=window: queries.latency(preset, quantile, window, part),  # type: ignore[misc]
                alike,
                span,
                "latency",
            )
            found |= {key: each for key, each in told.items() if not isinstance(each, Missing)}
    return found
