"""Which replicas may take room from those of a lower priority that serve: those that have a node, or will find one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.decide.room import Amounts, Room
from kcloud_autoscale.domain.observation import PodNeeds
from kcloud_autoscale.domain.policy import SharedCap
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.workload import WorkloadKey


class Shared(Protocol):
    """A limit and who shares it."""

    @property
    def cap(self) -> SharedCap:
        """The limit."""

    @property
    def members(self) -> Sequence[tuple[Plan, float]]:
        """Plan, and what one of its replicas takes."""


def vouched(asking: Sequence[Plan], scopes: Sequence[Shared], room: Room) -> Mapping[WorkloadKey, int]:
    """Replicas of each, at most what it wants, that nobody need doubt.

    Those on nodes. More than that only while none of its own waits for a node, and as far as slots are free or would
    be where a lower priority gives way; where nobody knows the nodes, all of it. Another of the same
    or a higher priority that waits keeps its place: until it has a node or is given back, this one grows into what is
    left.
    """
    waits: dict[str, int] = {}
    for scope in scopes:
        for plan, _ in scope.members:
            if plan.slots.waiting and plan.slots.limit is None:
                name, priority = scope.cap.name, plan.case.policy.priority
                waits[name] = max(waits.get(name, priority), priority)
    return {plan.case.policy.key: _vouched(plan, asking, scopes, waits, room) for plan in asking}


def _vouched(plan: Plan, asking: Sequence[Plan], scopes: Sequence[Shared], waits: Mapping[str, int], room: Room) -> int:
    policy, placed = plan.case.policy, plan.slots.placed
    if plan.replicas <= placed:
        return plan.replicas
    mine = [scope for scope in scopes if policy.key in scope.cap.members]
    stranger = any(isinstance(plan.each(scope.cap.unit), Missing) for scope in mine)
    behind = any(waits.get(scope.cap.name, -1) >= policy.priority for scope in mine)
    if stranger or behind or plan.slots.waiting:
        return placed
    needs = plan.case.seen.pod_needs
    if plan.slots.free is None:
        return plan.replicas
    if placed + plan.slots.free >= plan.replicas:
        return plan.replicas
    slots = room.slots(needs, _released(plan, asking))
    return plan.replicas if slots is None else min(plan.replicas, placed + slots)


def _released(plan: Plan, asking: Sequence[Plan]) -> Mapping[str, Amounts]:
    """What would be free on each node if everybody of a lower priority that may give way had left."""
    released: dict[str, dict[str, float]] = {}
    for other in asking:
        needs: PodNeeds | None = other.case.seen.pod_needs
        if needs is None or other.case.policy.priority >= plan.case.policy.priority:
            continue
        for node, pods in other.target.pods.staying_by_node.items():
            amounts = released.setdefault(node, {})
            for name, amount in needs.resources:
                amounts[name] = amounts.get(name, 0.0) + pods * amount
    return released
