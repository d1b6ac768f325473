"""Demand step by step: read through a window that fits the scrapes of its time, and unknown where they do not fill it.

How often a workload was scraped two weeks ago need not be how often it is today. Where it was, one window serves;
else the past is read once per interval found in it, each step through the window of its own.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.coverage import (
    TILE_SECONDS,
    BoolArray,
    away_from_gaps,
    covered,
    filled_samples,
    filled_seconds,
    intervals,
    looked_back_steps,
    silent_seconds,
    widened,
)
from kcloud_autoscale.observe.history import Span, rate_window_seconds
from kcloud_autoscale.observe.presets import Preset
from kcloud_autoscale.observe.promql import TOLD_BY_KUBE_STATE_METRICS
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.tenant_queries import TenantQuery
from kcloud_autoscale.observe.watched import Watched, subjects

Steps = dict[WorkloadKey, FloatArray | Missing]

# The few steps since the last cycle were scraped as the present is.
_RECENT_TILES = 6


async def demand_steps(
    asker: QuerySession, members: Sequence[Watched], span: Span, scrapes: Mapping[WorkloadKey, float]
) -> Steps:
    """Load per second in each step of the span, NaN where it is not known.

    Args:
        asker: With the instant and the budget.
        members: Workloads of one preset, or all with queries of their own.
        span: The steps.
        scrapes: Seconds between scrapes of each workload of a preset, at present.
    """
    preset = members[0].preset
    if preset is None:
        return await _own(asker, members, span)
    scraped = await _scraped(asker, preset, members, span, scrapes)
    values: Steps = {each.key: np.full(span.steps, np.nan) for each in members}
    for interval in sorted({float(each) for row in scraped.values() for each in np.unique(row)}):
        wanted = {key: mask for key, row in scraped.items() if (mask := row == interval).any()}
        await _fill(asker, preset, [each for each in members if each.key in wanted], span, interval, wanted, values)
    return values


async def _own(asker: QuerySession, members: Sequence[Watched], span: Span) -> Steps:
    """Of queries of their own, those that look back equally far in one go."""
    alike: defaultdict[int, set[TenantQuery]] = defaultdict(set)
    for each in members:
        alike[looked_back_steps(_query(each).text, span.step_seconds)].add(_query(each))

    answers: dict[TenantQuery, FloatArray | Missing] = {}

    async def ask(back: int, queries: set[TenantQuery]) -> None:
        for query, found in (await asker.own_steps(queries, span.reaching_back(back), "demand")).items():
            answers[query] = found if isinstance(found, Missing) else away_from_gaps(found, back)[back:]

    await asyncio.gather(*(ask(*each) for each in alike.items()))
    return {each.key: answers[_query(each)] for each in members}


def forget_unfilled(
    values: Steps, members: Sequence[Watched], unfilled: Collection[TenantQuery], step_seconds: float
) -> None:
    """Make unknown what the newest steps were told through a range that samples do not fill at present.

    What lies beside a gap in the past is known by the gap; at the end of the past there is none yet.
    """
    for each in members:
        found = values.get(each.key)
        if each.query is None or each.query not in unfilled or found is None or isinstance(found, Missing):
            continue
        found[-(looked_back_steps(each.query.text, step_seconds) + 1) :] = np.nan


def forget_partial(
    values: Steps,
    members: Sequence[Watched],
    partial: Collection[WorkloadKey],
    span: Span,
    scrapes: Mapping[WorkloadKey, float],
) -> None:
    """Make unknown the newest steps of workloads whose load is a lower bound at present: back over what a rate reads.

    That a pod is silent is found out after two of its scrapes.
    """
    for each in members:
        found = values.get(each.key)
        if each.key not in partial or found is None or isinstance(found, Missing):
            continue
        if each.query is not None:
            back = looked_back_steps(each.query.text, span.step_seconds)
        else:
            back = math.ceil(
                (rate_window_seconds(span.step_seconds, interval := scrapes[each.key]) + silent_seconds(interval))
                / span.step_seconds
            )
        found[-(back + 1) :] = np.nan


def _query(each: Watched) -> TenantQuery:
    assert each.query is not None
    return each.query


async def _scraped(
    asker: QuerySession, preset: Preset, members: Sequence[Watched], span: Span, scrapes: Mapping[WorkloadKey, float]
) -> dict[WorkloadKey, FloatArray]:
    """Seconds between scrapes at each step of each workload, shape ``(steps,)``; as today where it is not known."""
    today = {each.key: np.full(span.steps, scrapes[each.key]) for each in members}
    if span.end_seconds - span.start_seconds <= _RECENT_TILES * TILE_SECONDS:
        return today
    count = math.ceil((span.end_seconds - span.start_seconds) / TILE_SECONDS)
    tiles = Span(span.end_seconds - count * TILE_SECONDS, count, TILE_SECONDS)
    counts = await asker.grouped_steps(
        lambda part: queries.samples_counted(preset, TILE_SECONDS, part), subjects(members), tiles, "samples"
    )
    of_step = np.minimum(np.ceil((span.ends - tiles.first_at) / TILE_SECONDS - 1e-6).astype(np.int64), count - 1)
    for key, each in counts.items():
        if not isinstance(each, Missing):
            told = intervals(each, scrapes[key])[of_step]
            today[key] = np.where(np.isfinite(told), told, scrapes[key])
    return today


async def _fill(
    asker: QuerySession,
    preset: Preset,
    members: Sequence[Watched],
    span: Span,
    interval: float,
    wanted: Mapping[WorkloadKey, BoolArray],
    values: Steps,
) -> None:
    """Read all steps that were scraped at one interval, and a tile around them, where nothing is known yet.

    Denser ones come first. Around the change from 60 s to 15 s a step is read through the window of 75 s where that is
    covered, and else through the one of 240 s.
    """
    around = math.ceil(TILE_SECONDS / span.step_seconds)
    masks = {key: _around(mask, around) for key, mask in wanted.items()}
    steps = np.flatnonzero(np.logical_or.reduce(list(masks.values())))
    first, last = int(steps[0]), int(steps[-1])
    found = await _covered_steps(asker, preset, members, span.part(first, last), interval)
    for key, each in found.items():
        known = values[key]
        if isinstance(each, Missing):
            values[key] = each
        elif not isinstance(known, Missing):
            part = known[first : last + 1]
            part[...] = np.where(np.isnan(part) & masks[key][first : last + 1], each, part)


def _around(mask: BoolArray, steps: int) -> BoolArray:
    if mask.all():
        return mask
    for _ in range(steps):
        mask = widened(mask)
    return mask


async def _covered_steps(
    asker: QuerySession, preset: Preset, members: Sequence[Watched], span: Span, interval: float
) -> Steps:
    """Demand through the window for one interval; NaN where samples do not fill it, or not of all pods."""
    window = rate_window_seconds(span.step_seconds, interval)
    reach, asked = filled_seconds(window, interval), subjects(members)
    what = f"demand ({preset.name})"
    loads, counts, partial = await asyncio.gather(
        asker.grouped_steps(lambda part: queries.demand(preset, window, part), asked, span, what),
        asker.grouped_steps(lambda part: queries.samples_counted(preset, reach, part), asked, span, what),
        _partial(asker, preset, members, span, interval),
    )
    for key, load in loads.items():
        seen = counts[key]
        if isinstance(load, Missing):
            continue
        if isinstance(seen, Missing):
            loads[key] = seen
        elif np.isfinite(seen).any():  # a stack that lacks the metric its samples are dated by is taken at its word
            loads[key] = np.where(covered(seen, filled_samples(window, interval)), load, np.nan)
    for key, lacking in partial.items():
        load = loads[key]
        if isinstance(lacking, Missing):
            loads[key] = lacking
        elif not isinstance(load, Missing) and lacking.any():
            loads[key] = np.where(lacking, np.nan, load)
    return loads


async def _partial(
    asker: QuerySession, preset: Preset, members: Sequence[Watched], span: Span, interval: float
) -> dict[WorkloadKey, BoolArray | Missing]:
    """Steps in which a part of the Ready pods had no samples: their load is a lower bound, and is not learned from.

    Only kube-state-metrics knows who was Ready in the past. Where it is silent, the steps are taken as they are. The
    steps beside one are given up with it: a rate looks back, and a pod is silent before it is found to be.
    """
    known = [each for each in members if each.subject is not None and each.subject.naming in TOLD_BY_KUBE_STATE_METRICS]
    if not known or not preset.exported_by_pods or not preset.identities[0].is_pod:
        return {}
    silent = silent_seconds(interval)
    ready = await asker.grouped_steps(
        lambda part: queries.unsampled_steps(preset, span.step_seconds, silent, part),
        subjects(known),
        span,
        "pods with samples",
    )
    return {key: each if isinstance(each, Missing) else widened(np.isfinite(each)) for key, each in ready.items()}
