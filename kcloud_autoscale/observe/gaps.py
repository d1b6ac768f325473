"""What ran while no process of ours looked, as kube-state-metrics told Prometheus meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.fetch import Subject
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.promql import PodNaming
from kcloud_autoscale.observe.query_session import QuerySession

# Scrapes of kube-state-metrics are up to a minute apart: in less than two there may be none, or that of the change.
LEAST_GAP_SECONDS = 120.0
# An hour in minutes; a gap of a week in pieces of three hours, which are means of all that was scraped in them.
MOST_STEPS = 60
LEAST_STEP_SECONDS = 60.0
# Gaps that began in one minute are asked for together. After a stop that is one group; more are rare, and estimated.
MOST_GROUPS = 10


async def gap_replicas(
    session: QuerySession, subjects: Sequence[Subject], begins: Mapping[WorkloadKey, float], now_seconds: float
) -> dict[WorkloadKey, tuple[float, float]]:
    """Mean replicas of each gap, and the part of it that was recorded (0-1); those of which nothing was are absent."""
    groups: dict[float, list[Subject]] = defaultdict(list)
    for each in subjects:
        if now_seconds - begins[each.key] >= LEAST_GAP_SECONDS and each.naming in _TOLD:
            groups[begins[each.key] // LEAST_STEP_SECONDS].append(each)
    largest = sorted(groups.values(), key=len, reverse=True)[:MOST_GROUPS]
    found: dict[WorkloadKey, tuple[float, float]] = {}
    for members in largest:
        begin = min(begins[each.key] for each in members)
        for key, values in (await _steps(session, members, begin, now_seconds)).items():
            if not isinstance(values, Missing) and not np.all(np.isnan(values)):
                found[key] = (float(np.nanmean(values)), float(np.mean(~np.isnan(values))))
    return found


_TOLD = (PodNaming.DEPLOYMENT, PodNaming.STATEFUL_SET)


async def _steps(
    session: QuerySession, members: Sequence[Subject], begin_seconds: float, now_seconds: float
) -> dict[WorkloadKey, FloatArray | Missing]:
    length = now_seconds - begin_seconds
    steps = min(MOST_STEPS, int(length // LEAST_STEP_SECONDS))
    span = Span(begin_seconds, steps, length / steps)
    return await session.grouped_steps(
        lambda part: queries.existing_replicas(span.step_seconds, part), members, span, "replicas of a gap"
    )
