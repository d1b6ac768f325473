"""Fourth rule, in the place of `place`: how many replicas find a node, and what is ordered of the rest.

A replica may serve, start (it has a node), wait for a node, wait to be made (a quota refuses its pod), or leave. What
waits is not paid for and serves nobody, but it may start at any second. What has waited for its deadline is given
back: the count falls to what has a node, never below minReplicas. More than that is ordered one replica at a time
after a growing pause, and at once where slots are seen to become free.
"""

from __future__ import annotations

from datetime import UTC, datetime

from kcloud_autoscale.decide.room import Room
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import PodObservation, TargetObservation
from kcloud_autoscale.domain.state import SlotState

# A start-up that takes twice as long as 19 of 20 took is not a slow one. At the default lead time of 300 s a replica
# may wait 10 minutes for a node, which is as long as cloud providers take to bring one.
PATIENCE = 2.0
# Nobody waits longer than that, however slow the model loads.
LONGEST_DEADLINE_SECONDS = 900.0
# The first pause is as long as the deadline, each further one twice as long as the one before: with a deadline of
# 10 minutes 10, 20, 40, then 60 minutes. In four hours one replica waits for four times 10 minutes, instead of 20
# replicas for all of them; room that nobody saw become free is found after an hour and a cycle at the latest.
LONGEST_PAUSE_SECONDS = 3_600.0
UNSCHEDULABLE, NOT_CREATED = "Unschedulable", "FailedCreate"

_TEXT = "{} wanted, {} ordered, the rest found no node: {}; one more is tried at {}"


@frozen
class Slots:
    """What is known of one workload's slots at this tick.

    Attributes:
        placed: Replicas the present count asks for that have a node.
        waiting: Those that have none.
        limit: Most that are ordered; None while nothing limits.
        free: Free now for one more of this kind; None where nobody knows.
        reason: ``Unschedulable`` or ``FailedCreate`` while some are known to be refused; empty when none is.
        words: Of the scheduler or the API server.
        state: For the next tick.
    """

    placed: int
    waiting: int
    limit: int | None
    free: int | None
    reason: str
    words: str
    state: SlotState


def deadline_seconds(lead_time_seconds: float, cycle_seconds: float) -> float:
    """How long a replica may wait: twice the lead time, two cycles at least, a quarter of an hour at most."""
    return min(max(PATIENCE * lead_time_seconds, 2.0 * cycle_seconds), LONGEST_DEADLINE_SECONDS)


def unbounded(target: TargetObservation) -> Slots:
    """Where nobody has ever been refused a node."""
    return Slots(target.desired_replicas, 0, None, None, "", "", SlotState(placed=target.pods.placed))


def look(case: Case, target: TargetObservation, room: Room, cycle_seconds: float, now_seconds: float) -> Slots:
    """Who waits, for how long, and what may be ordered.

    Args:
        case: The workload, its lead time and what it remembers.
        target: What it scales.
        room: The nodes.
        cycle_seconds: Between ticks.
        now_seconds: Unix time of this tick.
    """
    state = case.state.decided.slots
    waiting, pending = _waiting(target)
    if not waiting and state == SlotState(placed=target.pods.placed):
        return Slots(target.desired_replicas, 0, None, room.free(case.seen.pod_needs), "", "", state)
    placed, free = target.desired_replicas - waiting, room.free(case.seen.pod_needs)
    since = _waiting_since(state, target, pending, now_seconds) if waiting else None
    deadline = deadline_seconds(case.lead_time_seconds, cycle_seconds)
    overdue = since is not None and now_seconds - since >= deadline
    words = _words(target, pending)
    reason = ""
    if waiting and (words or overdue):
        reason = UNSCHEDULABLE if pending else NOT_CREATED
    bound = _bound(state, placed, free, waiting, overdue, deadline, now_seconds)
    fits = placed if reason else bound.schedulable
    refused = (words or bound.refused or "no pod of theirs was made") if reason or bound.schedulable is not None else ""
    after = SlotState(fits, bound.schedulable, refused, bound.pause_seconds, bound.retry_seconds, since,
                      target.pods.placed, free if bound.schedulable is not None else None)  # fmt: skip
    return Slots(placed, waiting, _limit(after, overdue, now_seconds), free, reason, refused, after)


def limited(slots: Slots, replicas: int, min_replicas: int) -> Step | None:
    """The step down to what finds a node; None when the count asks for no more. minReplicas stays ordered.

    Of 24 wanted 4 have a node: after the deadline 4 are ordered, with a minReplicas of 6 they are 6.
    """
    if slots.limit is None or replicas <= max(slots.limit, min_replicas):
        return None
    after = max(slots.limit, min_replicas)
    retry = datetime.fromtimestamp(int(slots.state.retry_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Step(Stage.PLACE, replicas, after, UNSCHEDULABLE, _TEXT, (replicas, slots.limit, slots.words, retry))


def _waiting(target: TargetObservation) -> tuple[int, list[PodObservation]]:
    """Replicas of the present count without a node, and the pods among them.

    More pods than the count asks for are a rollout, or on their way out: its new pods wait for the old ones' slots,
    and a smaller count would take those first.
    """
    pods = target.pods
    if pods.active > target.desired_replicas:
        return 0, []
    pending = [pod for pod in pods if pod.staying and pod.node is None] if pods.unscheduled else []
    missing = 0
    if target.existing_replicas is not None:
        missing = target.desired_replicas - max(target.existing_replicas, pods.active)
    # A StatefulSet makes its pods one after the other: while one starts, the next has not been refused.
    starting = pods.placed > pods.ready
    if missing > 0 and (target.creation_refused or pending or not starting):
        return len(pending) + missing, pending
    return len(pending), pending


def _waiting_since(
    state: SlotState, target: TargetObservation, pending: list[PodObservation], now_seconds: float
) -> float:
    """Since when none of those that wait has found a node; a process that has just started asks the oldest pod."""
    since = state.waiting_since_seconds
    if since is None:
        return min([now_seconds, *(pod.created_seconds for pod in pending)])
    return now_seconds if target.pods.placed > state.placed else since


def _words(target: TargetObservation, pending: list[PodObservation]) -> str:
    """The oldest pod's, then the API server's."""
    told = sorted((pod for pod in pending if pod.unscheduled), key=lambda pod: (pod.created_seconds, pod.name))
    return told[0].unscheduled if told else target.creation_refused


def _bound(
    state: SlotState, placed: int, free: int | None, waiting: int, overdue: bool, deadline: float, now_seconds: float
) -> SlotState:
    """How many may be ordered from now on, and the pause in which it stays so."""
    before = state.schedulable
    if before is not None and placed > before:
        before = None  # one more than was thought possible has a node: nothing is known of a limit any more
    if overdue:
        if before is not None and now_seconds < state.retry_seconds:
            return SlotState(schedulable=placed, refused=state.refused, pause_seconds=state.pause_seconds,
                             retry_seconds=state.retry_seconds)  # fmt: skip
        pause = deadline if before is None else min(2.0 * state.pause_seconds, LONGEST_PAUSE_SECONDS)
        return SlotState(schedulable=placed, pause_seconds=pause, retry_seconds=now_seconds + pause)
    if before is None:
        return SlotState()
    gained = 0 if free is None or state.free_slots is None else free - state.free_slots
    if gained > 0:
        # A node was added or a pod went: as many more at once, and the pauses begin anew.
        return SlotState(schedulable=before + gained, refused=state.refused, pause_seconds=deadline,
                         retry_seconds=now_seconds + deadline)  # fmt: skip
    if not waiting and now_seconds >= state.retry_seconds + state.pause_seconds:
        return SlotState()  # no more was wanted for a whole further pause: the world has moved on
    return SlotState(schedulable=before, refused=state.refused, pause_seconds=state.pause_seconds,
                     retry_seconds=state.retry_seconds)  # fmt: skip


def _limit(state: SlotState, overdue: bool, now_seconds: float) -> int | None:
    """What is ordered at most: after the pause one more than finds a node, to see whether it still does not."""
    if state.schedulable is None:
        return None
    return state.schedulable + (not overdue and now_seconds >= state.retry_seconds)
