"""How far a count may move per period: HPA's scaling policies, and the changes they count.

Percentages are taken in binary as HPA takes them, hair by hair: 1 - 0.8 is a little less than 0.2, so that 80 % of 10
leave 1 and not 2; 10 % more than 100 are 111.
"""

from __future__ import annotations

import math

from kcloud_autoscale.decide.counting import MOST_REPLICAS
from kcloud_autoscale.domain.policy import PolicySelect, RatePolicy, ScalingRules, WorkloadPolicy
from kcloud_autoscale.domain.state import ScaleEvent

Events = tuple[ScaleEvent, ...]


def up_limit(rules: ScalingRules, current: int, events: Events, cycle_seconds: float, now_seconds: float) -> int:
    """The largest count that growth may reach now.

    HPA looks every 15 s and may double each time; who looks once a minute would be four doublings behind it. A policy
    whose period is shorter than the cycle is therefore stretched to it: 100 % per 15 s is 1,500 % per 60 s, 4 pods per
    15 s are 16 per 60 s. With a cycle no longer than the period this is HPA's rule to the letter.
    """
    if rules.select is PolicySelect.DISABLED:
        return current
    limits = [_up(policy, current, events, cycle_seconds, now_seconds) for policy in rules.policies]
    return min(limits) if rules.select is PolicySelect.MIN else max(limits)


def down_limit(rules: ScalingRules, current: int, events: Events, now_seconds: float) -> int:
    """The smallest count that shrinking may reach now. Nothing is stretched: to shrink later harms nobody."""
    if rules.select is PolicySelect.DISABLED:
        return current
    limits = [_down(policy, current, events, now_seconds) for policy in rules.policies]
    return max(limits) if rules.select is PolicySelect.MIN else min(limits)


def _up(policy: RatePolicy, current: int, events: Events, cycle_seconds: float, now_seconds: float) -> int:
    looks = max(1, int(cycle_seconds // policy.period_seconds))
    limit = _at_start(current, events, looks * policy.period_seconds, now_seconds)
    if policy.pods is not None:
        return limit + looks * policy.pods
    for _ in range(looks):
        # Rounded up, or a tenth of 5 would never let it grow.
        limit = min(math.ceil(limit * (1.0 + (policy.percent or 0) / 100)), MOST_REPLICAS)
    return limit


def _down(policy: RatePolicy, current: int, events: Events, now_seconds: float) -> int:
    start = _at_start(current, events, policy.period_seconds, now_seconds)
    if policy.pods is not None:
        return start - policy.pods
    return int(start * (1.0 - (policy.percent or 0) / 100))


def _at_start(current: int, events: Events, period_seconds: float, now_seconds: float) -> int:
    """The count at the start of the period: ours of the period undone, whatever others did kept."""
    oldest = now_seconds - period_seconds
    return current - sum(event.change for event in events if event.at_seconds > oldest)


def events_that_happened(events: Events, current: int, last_desired: int | None) -> Events:
    """The changes we made, without one that was refused.

    A change is noted when it is asked for. If the count is still what it was before, it did not happen, and holds
    nothing back: asked for 5 to 8, and there are 5. Every tick finds this out from the count alone.
    """
    if events and last_desired is not None and current != last_desired == current + events[-1].change:
        return events[:-1]
    return events


def remembered(events: Events, policy: WorkloadPolicy, cycle_seconds: float, now_seconds: float) -> Events:
    """The changes that a rate limit can still count."""
    if not events:
        return events
    rules = (*policy.scale_up.policies, *policy.scale_down.policies)
    oldest = now_seconds - max(cycle_seconds, *(rate.period_seconds for rate in rules))
    return tuple(event for event in events if event.at_seconds > oldest)
