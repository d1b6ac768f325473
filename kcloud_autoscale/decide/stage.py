"""Last rule: the order of the writes, so that no instant between two states breaks a limit.

A replica that is told to go still draws power and costs money until its pod is gone; one that is told to come may do
so at once. So growth waits until the room it needs is seen to be free, and shrinking that others wait for is written
with the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kcloud_autoscale.decide.counting import excess, replicas_within, unchanged
from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.decide.turns import in_turn
from kcloud_autoscale.domain.decision import ScaleAction, Stage, Step
from kcloud_autoscale.domain.policy import SharedCap
from kcloud_autoscale.domain.reading import Missing, Reading, Sample
from kcloud_autoscale.domain.state import WriteRefusal
from kcloud_autoscale.domain.workload import WorkloadKey

WRITE_REFUSED = "WriteRefused"
_REFUSED_TEXT = "the API server refused {} -> {} replicas, and is not asked again yet: {}"
_WAIT_TEXT = "{} more wait: replicas that leave still hold their share of {}"


def stage(plans: Sequence[Plan], caps: Sequence[SharedCap], now_seconds: float) -> tuple[ScaleAction, ...]:
    """Choose what to write now.

    Growth is planned into what is free while every shrink of this tick is still to come, so that none of them can
    hold it up. Two may go beyond that, and name the shrinks they need: growth into what replicas without a node give
    back, and a floor in a limit that the floors alone break.

    Args:
        plans: After the caps; what is asked for now and the step of this rule are filled in.
        caps: Limits that several workloads share.
        now_seconds: Unix time of this tick.

    Returns:
        The writes in the order they must be made.
    """
    shrinks: list[Plan] = []
    growth: list[Plan] = []
    for plan in plans:
        if plan.refusal is not None:
            plan.steps.append(_refused(plan, plan.refusal))
        elif not plan.acting or plan.replicas == plan.current:
            plan.steps.append(unchanged(Stage.STAGE, plan.replicas, "NoChange" if plan.acting else "NotActing"))
        elif plan.replicas < plan.current:
            shrinks.append(plan)
        else:
            growth.append(plan)
    for plan in shrinks:
        plan.asked = plan.replicas
        plan.steps.append(unchanged(Stage.STAGE, plan.replicas, "ShrinkNow"))
    awaited = _grow(growth, shrinks, plans, caps) if growth else frozenset()
    writes = [plan for plan in (*shrinks, *growth) if plan.asked != plan.current]
    for plan in writes:
        waiting = plan.case.state.decided.waiting_since_seconds
        plan.waiting_since_seconds = now_seconds if waiting is None else waiting
    return tuple(_action(plan) for plan in in_turn(writes, awaited))


def _refused(plan: Plan, refusal: WriteRefusal) -> Step:
    values = (refusal.from_replicas, refusal.to_replicas, refusal.message)
    return Step(Stage.STAGE, plan.replicas, plan.current, WRITE_REFUSED, _REFUSED_TEXT, values)


def _grow(
    growth: list[Plan], shrinks: Sequence[Plan], plans: Sequence[Plan], caps: Sequence[SharedCap]
) -> frozenset[WorkloadKey]:
    """Hand out what is free, by priority; returns the workloads whose shrinking others wait for."""
    rooms = _rooms(growth, plans, caps)
    waits: set[str] = set()
    growth.sort(key=lambda plan: (-plan.case.policy.priority, plan.case.policy.key))
    for plan in growth:
        plan.asked, waits_for = _take(plan, rooms, shrinks)
        if plan.asked == plan.replicas:
            plan.steps.append(unchanged(Stage.STAGE, plan.asked, "GrowNow"))
        else:
            values = (plan.replicas - plan.asked, waits_for)
            plan.steps.append(Step(Stage.STAGE, plan.replicas, plan.asked, "WaitsForRoom", _WAIT_TEXT, values))
            waits.add(waits_for)
    crowded = [room.cap.members for room in rooms if room.cap.name in waits]
    needed = {need for plan in growth for need in plan.needs}
    return frozenset(
        plan.case.policy.key
        for plan in shrinks
        if plan.decision_id in needed or any(plan.case.policy.key in members for members in crowded)
    )


@dataclass(slots=True)
class _Room:
    """What is free of a shared limit at this instant, whatever may yet leave; and what this tick's shrinks give back.

    Attributes:
        cap: The limit.
        free: While all of them are still to come.
        given_back: By replicas that wait for a node and are ordered no more.
    """

    cap: SharedCap
    free: float
    given_back: float = 0.0


def _rooms(growth: Sequence[Plan], plans: Sequence[Plan], caps: Sequence[SharedCap]) -> list[_Room]:
    growing = {plan.case.policy.key for plan in growth}
    rooms = [_Room(cap, cap.limit) for cap in caps if not growing.isdisjoint(cap.members)]
    for room in rooms:
        for plan in plans:
            each = plan.most(room.cap.unit)
            if plan.case.policy.key in room.cap.members and not isinstance(each, Missing):
                room.free -= plan.held * each.value
                room.given_back += plan.given_back * each.value
    return rooms


def _take(plan: Plan, rooms: Sequence[_Room], shrinks: Sequence[Plan]) -> tuple[int, str]:
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
        fits = max(below_floor if room.cap.name in broken else 0, replicas_within(room.free + room.given_back, each))
        if fits < more:
            more, waits_for = fits, room.cap.name
    needs: list[str] = []
    for room, each in mine:
        needs += _needed(room, more * each, shrinks)
        room.free -= more * each
    plan.needs = tuple(dict.fromkeys(needs))
    return plan.current + more, waits_for


def _needed(room: _Room, amount: float, shrinks: Sequence[Plan]) -> Iterator[str]:
    """Ids of the shrinks under a limit that make up for what is not free of it; of all, if all are not enough.

    100 W are full and the floors of two workloads are 60 W each: the one that starts at 0 W takes its floor all the
    same, once the other has been told to go from 100 to 60.
    """
    for shrink in sorted(shrinks, key=lambda shrink: not shrink.given_back):
        if excess(amount, max(room.free, 0.0)) <= 0.0:
            return
        each = shrink.each(room.cap.unit)
        if shrink.case.policy.key in room.cap.members and isinstance(each, Sample):
            amount -= (shrink.given_back or shrink.current - shrink.asked) * each.value
            yield shrink.decision_id


def _of(plan: Plan, rooms: Sequence[_Room]) -> list[tuple[_Room, Reading]]:
    return [(room, plan.most(room.cap.unit)) for room in rooms if plan.case.policy.key in room.cap.members]


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
        needs=plan.needs,
        waiting_since_seconds=plan.waiting_since_seconds or 0.0,
    )
