"""Before there is an optimizer: which serving stack tells the load of each workload, and what has run so far."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.fetch import Subject, subject
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.presets import PRESETS, Preset
from kcloud_autoscale.observe.promql import PodNaming, pod_naming
from kcloud_autoscale.observe.query_session import QuerySession

# Whether there is a signal shows at a coarse look: two weeks of hours are 336 points a series.
LOOK_SECONDS = 3_600.0

_TOLD_BY_KUBE_STATE_METRICS = (PodNaming.DEPLOYMENT, PodNaming.STATEFUL_SET)

Targets = Mapping[WorkloadKey, TargetRef]


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


async def _known_fractions(
    asker: QuerySession, preset: Preset, targets: Targets, span: Span
) -> dict[WorkloadKey, float]:
    asked = [subject(key, ref.name, pod_naming(ref.kind), preset, ()) for key, ref in targets.items()]
    values = await asker.grouped_steps(
        lambda part: queries.demand(preset, LOOK_SECONDS, part), asked, span, f"demand ({preset.name})"
    )
    found = {}
    for key, each in values.items():
        if isinstance(each, Missing):
            if each.reason is MissingReason.SOURCE_ERROR:
                raise ObservationError(each.message)
            continue  # several series of one workload: this stack cannot tell it
        found[key] = float(np.isfinite(each).mean())
    return found


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
