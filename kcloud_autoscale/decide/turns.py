"""Whose write comes first when there is not time for all of them.

1,000 workloads that want another count at once take 50 s at 20 writes/s: three cycles of 15 s. What does not fit one
cycle is decided anew in the next and keeps its place in the line.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.domain.workload import WorkloadKey

# A replica that nobody needs costs a cent in a minute, one that is missing costs requests: a shrink gives way to growth
# that was decided up to a minute after it.
SHRINK_YIELDS_SECONDS = 60.0

Turn = tuple[bool, bool, float, bool, int, float, WorkloadKey]


def in_turn(plans: Sequence[Plan], making_room: frozenset[WorkloadKey]) -> list[Plan]:
    """The plans that write, in the order of their writes.

    What a deleted optimizer is to leave behind comes before all: its object waits for that, and not for long. Nobody
    has a second turn before everybody has had the first. Then who has waited longer comes first, then the
    higher priority, then who misses more of what should run: 2 of 8 before 90 of 100.

    Args:
        plans: Those that write.
        making_room: Workloads whose shrink others wait for.
    """
    waiting_longest = min((_since(plan) for plan in plans), default=0.0)

    def turn(plan: Plan) -> Turn:
        tried = plan.case.state.decided.tried_seconds
        shrinks = plan.asked < plan.current
        yields = shrinks and plan.case.policy.key not in making_room
        return (
            not plan.case.policy.restoring,
            tried is not None and tried >= waiting_longest,
            _since(plan) + (SHRINK_YIELDS_SECONDS if yields else 0.0),
            yields,
            -plan.case.policy.priority,
            -abs(plan.replicas - plan.current) / max(plan.replicas, plan.current),
            plan.case.policy.key,
        )

    ordered = sorted(plans, key=turn)
    return _with_needs_first(ordered)


def _since(plan: Plan) -> float:
    return plan.waiting_since_seconds or 0.0


def _with_needs_first(ordered: Sequence[Plan]) -> list[Plan]:
    """The same order, but a shrink comes right before the first growth that needs it."""
    by_id = {plan.decision_id: plan for plan in ordered}
    done: dict[str, Plan] = {}
    for plan in ordered:
        for one in (*(by_id[need] for need in plan.needs), plan):
            done.setdefault(one.decision_id, one)
    return list(done.values())
