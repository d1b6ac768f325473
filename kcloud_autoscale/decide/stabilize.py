"""Third rule: HPA's behavior. Windows against flapping, limits on the rate of change, then the bounds of the spec.

Source: kubernetes/pkg/controller/podautoscaler/horizontal.go, v1.36 (`stabilizeRecommendationWithBehaviors`,
`convertDesiredReplicasWithBehaviorRate`).
"""

from __future__ import annotations

from kcloud_autoscale.decide.counting import unchanged
from kcloud_autoscale.decide.rate import down_limit, up_limit
from kcloud_autoscale.domain.decision import Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.state import Recommendation, ScaleEvent

AS_WANTED = "AsWanted"
_DOWN_TEXT = "{} wanted; the largest of the last {:g} s is {}"
_UP_TEXT = "{} wanted; the smallest of the last {:g} s is {}"
_HELD_TEXT = "{} wanted; no scale-down now"
_RATE_TEXT = "{} wanted; the rate limit allows {}"


@frozen
class Stabilized:
    """The count after the soft rules.

    Attributes:
        replicas: Within the bounds of the spec.
        recommendations: For the state: what was wanted within the longest window.
        steps: One for the windows, one more for each of rate and bounds that limited.
    """

    replicas: int
    recommendations: tuple[Recommendation, ...]
    steps: tuple[Step, ...]


def stabilize(
    wanted: int,
    current: int,
    policy: WorkloadPolicy,
    recommendations: tuple[Recommendation, ...],
    events: tuple[ScaleEvent, ...],
    may_shrink: bool,
    cycle_seconds: float,
    now_seconds: float,
) -> Stabilized:
    """Apply the behavior of a policy.

    Args:
        wanted: What `size` asks for.
        current: `spec.replicas`.
        policy: Its rules for either direction, and its bounds.
        recommendations: Of earlier ticks.
        events: Changes we made.
        may_shrink: Whether the guard allows a smaller count.
        cycle_seconds: Between ticks.
        now_seconds: Unix time of this tick.
    """
    # HPA, too, begins with what it finds, as if it had just been recommended.
    known = recommendations or (Recommendation(now_seconds, current),)
    remembered = _within_windows(known, policy, now_seconds)
    window = _windows(wanted, current, policy, remembered, may_shrink, now_seconds)
    steps = [window]
    limited = _rate(window.after, current, policy, events, cycle_seconds, now_seconds)
    if limited is not None:
        steps.append(limited)
    bounds = bounded(steps[-1].after, policy)
    if bounds is not None:
        steps.append(bounds)
    return Stabilized(steps[-1].after, (*remembered, Recommendation(now_seconds, wanted)), tuple(steps))


def bounded(replicas: int, policy: WorkloadPolicy) -> Step | None:
    """The step into minReplicas..maxReplicas; None when the count is there. No window or rate delays it."""
    if replicas < policy.min_replicas:
        least = policy.min_replicas
        return Step(Stage.STABILIZE, replicas, least, "MinReplicas", "minReplicas is {}", (least,))
    if replicas > policy.max_replicas:
        most = policy.max_replicas
        return Step(Stage.STABILIZE, replicas, most, "MaxReplicas", "maxReplicas is {}", (most,))
    return None


def _within_windows(
    recommendations: tuple[Recommendation, ...], policy: WorkloadPolicy, now_seconds: float
) -> tuple[Recommendation, ...]:
    """Those a window still looks at; one exactly as old as the window is forgotten, as in HPA."""
    longest = max(policy.scale_up.stabilization_window_seconds, policy.scale_down.stabilization_window_seconds)
    oldest = now_seconds - longest
    forgotten = 0
    while forgotten < len(recommendations) and recommendations[forgotten].at_seconds <= oldest:
        forgotten += 1
    return recommendations[forgotten:]


def _windows(
    wanted: int,
    current: int,
    policy: WorkloadPolicy,
    remembered: tuple[Recommendation, ...],
    may_shrink: bool,
    now_seconds: float,
) -> Step:
    """Grow to what was wanted all through the up window, shrink to what sufficed all through the down window."""
    if wanted == current:
        return unchanged(Stage.STABILIZE, wanted, AS_WANTED)
    if wanted > current:
        window = policy.scale_up.stabilization_window_seconds
        recent = [each.replicas for each in remembered if each.at_seconds > now_seconds - window] if window else []
        least = min(recent, default=wanted)
        if least >= wanted:
            return unchanged(Stage.STABILIZE, wanted, AS_WANTED)
        values = (wanted, window, least)
        return Step(Stage.STABILIZE, wanted, max(current, least), "ScaleUpStabilized", _UP_TEXT, values)
    if not may_shrink:
        return Step(Stage.STABILIZE, wanted, current, "ScaleDownHeld", _HELD_TEXT, (wanted,))
    window = policy.scale_down.stabilization_window_seconds
    most = max([each.replicas for each in remembered if each.at_seconds > now_seconds - window], default=wanted)
    if most <= wanted:
        return unchanged(Stage.STABILIZE, wanted, AS_WANTED)
    values = (wanted, window, most)
    return Step(Stage.STABILIZE, wanted, min(current, most), "ScaleDownStabilized", _DOWN_TEXT, values)


def _rate(
    replicas: int,
    current: int,
    policy: WorkloadPolicy,
    events: tuple[ScaleEvent, ...],
    cycle_seconds: float,
    now_seconds: float,
) -> Step | None:
    if replicas > current:
        most = max(current, up_limit(policy.scale_up, current, events, cycle_seconds, now_seconds))
        if replicas > most:
            return Step(Stage.STABILIZE, replicas, most, "ScaleUpLimit", _RATE_TEXT, (replicas, most))
    elif replicas < current:
        least = min(current, down_limit(policy.scale_down, current, events, now_seconds))
        if replicas < least:
            return Step(Stage.STABILIZE, replicas, least, "ScaleDownLimit", _RATE_TEXT, (replicas, least))
    return None
