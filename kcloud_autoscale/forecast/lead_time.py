"""Lead time learned from pods: p95 of creation to first Ready, which is scheduling, image pull and model load.

A Ready condition only says when it *last* became true. A pod that lost readiness for a moment three hours after its
start would read as a three-hour start-up, so a pod counts only if its first readiness can be vouched for: it was seen
young and not ready before, or it was ready soon after its creation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from kcloud_autoscale.domain.observation import PodObservation
from kcloud_autoscale.domain.state import LeadTimeState, PodIdentity

# Two cycles: a pod first seen not ready at this age has hardly been ready and lost it again.
YOUNG_SECONDS = 120.0
# Kubernetes itself gives a rollout 600 s before it calls it stuck; model servers are allowed half as much again.
SOON_SECONDS = 900.0
# A start-up of more than an hour was broken (a missing image, a full cluster), not slow.
LONGEST_SECONDS = 3_600.0
KEPT = 64
# One warm start on a node that has the image says little about the next; three do.
ENOUGH = 3
_QUANTILE = 0.95


def learn(state: LeadTimeState, pods: tuple[PodObservation, ...], now_seconds: float) -> LeadTimeState:
    """Count the start-ups that have become known since the last look.

    Args:
        state: Of the last look.
        pods: The target's pods now, those starting and going away included.
        now_seconds: Unix time of this look.

    Returns:
        The next state; the same object when nothing is new.
    """
    if pods is state.looked_at or pods == state.looked_at:
        return state
    seen, awaited, new = set[PodIdentity](), set[PodIdentity](), list[float]()
    for pod in pods:
        identity = _identity(pod)
        duration = None if identity in state.seen else _duration_seconds(pod, identity in state.awaited)
        if duration is not None:
            new.append(duration)
        if pod.ready_seconds is not None or identity in state.seen:
            seen.add(identity)
        elif identity in state.awaited or now_seconds - pod.created_seconds <= YOUNG_SECONDS:
            awaited.add(identity)
        else:
            seen.add(identity)
    durations = (*state.durations_seconds, *new)[-KEPT:]
    p95 = _p95(durations) if new else state.p95_seconds
    return LeadTimeState(durations, p95, frozenset(seen), frozenset(awaited), pods)


def estimate(state: LeadTimeState, fixed_seconds: float | None, default_seconds: float) -> tuple[float, str]:
    """Seconds from a decision to a ready replica, and who says so: ``spec``, ``learned`` or ``default``."""
    if fixed_seconds is not None:
        return fixed_seconds, "spec"
    if state.p95_seconds is not None:
        return state.p95_seconds, "learned"
    return default_seconds, "default"


def _identity(pod: PodObservation) -> PodIdentity:
    # A StatefulSet gives its pods the same names again.
    return pod.name, pod.created_seconds


def _duration_seconds(pod: PodObservation, awaited: bool) -> float | None:
    """Creation to Ready of a pod whose first readiness is known; never negative, though clocks differ."""
    if pod.ready_seconds is None or pod.finished:
        return None
    duration = max(0.0, pod.ready_seconds - pod.created_seconds)
    return duration if duration <= (LONGEST_SECONDS if awaited else SOON_SECONDS) else None


def _p95(durations: Sequence[float]) -> float | None:
    """The smallest duration that 95 % of start-ups do not exceed: the largest of fewer than 20."""
    if len(durations) < ENOUGH:
        return None
    return sorted(durations)[math.ceil(_QUANTILE * len(durations)) - 1]
