"""Last rule: the order of the writes, so that no instant between two states breaks a limit.

A replica that is told to go still draws power and costs money until its pod is gone; one that is told to come may do
so at once. So shrinking is written first, and growth waits until the room it needs is seen to be free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kcloud_autoscale.decide.counting import replicas_within, unchanged
from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.domain.decision import ScaleAction, Stage, Step
from kcloud_autoscale.domain.policy import SharedCap
from kcloud_autoscale.domain.reading import Missing, Reading

_WAIT_TEXT = "{} more wait: replicas that leave still hold their share of {}"


def stage(plans: Sequence[Plan], caps: Sequence[SharedCap]) -> tuple[ScaleAction, ...]:
    """Choose what to write now.

    Args:
        plans: After the caps; what is asked for now and the step of this rule are filled in.
        caps: Limits that several workloads share.

    Returns:
        The writes in the order they must be made: shrinking first, then growth by priority.
    """
    shrinks: list[Plan] = []
    growth: list[Plan] = []
    for plan in plans:
        if not plan.acting or plan.replicas == plan.current:
            plan.steps.append(unchanged(Stage.STAGE, plan.replicas, "NoChange" if plan.acting else "NotActing"))
        elif plan.replicas < plan.current:
            shrinks.append(plan)
        else:
            growth.append(plan)
    for plan in shrinks:
        plan.asked = plan.replicas
        plan.steps.append(unchanged(Stage.STAGE, plan.replicas, "ShrinkNow"))
    if growth:
        growth.sort(key=lambda plan: (-plan.case.policy.priority, plan.case.policy.key))
        _grow(growth, plans, caps)
    return tuple(_action(plan) for plan in (*shrinks, *growth) if plan.asked != plan.current)


def _grow(growth: Sequence[Plan], plans: Sequence[Plan], caps: Sequence[SharedCap]) -> None:
    rooms = _rooms(growth, plans, caps)
    for plan in growth:
        plan.asked, waits_for = _take(plan, rooms)
        if plan.asked == plan.replicas:
            plan.steps.append(unchanged(Stage.STAGE, plan.asked, "GrowNow"))
        else:
            values = (plan.replicas - plan.asked, waits_for)
            plan.steps.append(Step(Stage.STAGE, plan.replicas, plan.asked, "WaitsForRoom", _WAIT_TEXT, values))


@dataclass(slots=True)
class _Room:
    """What is free of a shared limit at this instant, whatever may yet leave."""

    cap: SharedCap
    free: float


def _rooms(growth: Sequence[Plan], plans: Sequence[Plan], caps: Sequence[SharedCap]) -> list[_Room]:
    growing = {plan.case.policy.key for plan in growth}
    rooms = [_Room(cap, cap.limit) for cap in caps if not growing.isdisjoint(cap.members)]
    for room in rooms:
        for plan in plans:
            each = plan.each(room.cap.unit)
            if plan.case.policy.key in room.cap.members and not isinstance(each, Missing):
                room.free -= plan.held * each.value
    return rooms


def _take(plan: Plan, rooms: Sequence[_Room]) -> tuple[int, str]:
    """The count that may be asked for now, and the limit that holds the rest back.

    5 of 10 W each run under 100 W and 3 more are going: of 9 wanted, 7 may be asked for.
    """
    more, waits_for = plan.replicas - plan.current, ""
    # Where the floors alone break a limit, a floor that waits for its room would wait for ever.
    below_floor = max(0, plan.floor - plan.current)
    if plan.own_room is not None:
        least = below_floor if plan.own_room < plan.floor else 0
        fits = max(least, plan.own_room - plan.held)
        if fits < more:
            more, waits_for = fits, "its own limits"
    broken = {cap.name for cap in plan.caps if cap.floor_excess > 0.0}
    mine = [(room, each.value) for room, each in _of(plan, rooms) if not isinstance(each, Missing)]
    for room, each in mine:
        fits = max(below_floor if room.cap.name in broken else 0, replicas_within(room.free, each))
        if fits < more:
            more, waits_for = fits, room.cap.name
    for room, each in mine:
        room.free -= more * each
    return plan.current + more, waits_for


def _of(plan: Plan, rooms: Sequence[_Room]) -> list[tuple[_Room, Reading]]:
    return [(room, plan.each(room.cap.unit)) for room in rooms if plan.case.policy.key in room.cap.members]


def _action(plan: Plan) -> ScaleAction:
    policy, target = plan.case.policy, plan.target
    changed = [step for step in plan.steps if step.before != step.after]
    return ScaleAction(
        key=policy.key,
        decision_id=plan.decision_id,
        target=target.ref,
        target_uid=target.uid,
        resource_version=target.resource_version,
        from_replicas=target.desired_replicas,
        to_replicas=plan.asked,
        # Whoever writes clamps to these: a floor that waits for room must not be filled by the clamp.
        min_replicas=min(policy.min_replicas, plan.asked),
        max_replicas=policy.max_replicas,
        reason=(changed or plan.steps)[-1].reason,
    )
