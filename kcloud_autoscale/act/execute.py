"""A batch of actions in three waves, each failure isolated, all of it bounded in time.

1. Growth that waits for nothing: scale-ups that share no cap with a shrink of this batch.
2. Shrinks.
3. Growth that needs the room the shrinks made. If one of them did not happen, the growth that shares a cap with it is
   put off to the next cycle: writing it would carry the sum over the cap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kcloud_autoscale.act.scale import ScaleOutcome, ScaleResult, ScaleWriter
from kcloud_autoscale.domain.decision import ScaleAction
from kcloud_autoscale.domain.policy import SharedCap
from kcloud_autoscale.domain.workload import WorkloadKey

# One target that does not answer must not hold up the others: this many are written side by side.
CONCURRENT_WRITES = 8


async def execute(
    actions: Sequence[ScaleAction], shared_caps: Sequence[SharedCap], writer: ScaleWriter, limit_seconds: float
) -> tuple[ScaleResult, ...]:
    """Carry out the actions of one tick.

    Args:
        actions: In the order of the stage rule.
        shared_caps: Limits that couple workloads.
        writer: The one writer.
        limit_seconds: For the whole batch; what is not written by then is deferred.

    Returns:
        One result per action, in the order given.
    """
    results: dict[WorkloadKey, ScaleResult] = {}
    shrinks = [action for action in actions if action.to_replicas < action.from_replicas]
    growth = [action for action in actions if action.to_replicas >= action.from_replicas]
    shrinking = frozenset(action.key for action in shrinks)
    coupled = {action.key for action in growth if _shares_cap(action.key, shrinking, shared_caps)}
    try:
        async with asyncio.timeout(limit_seconds):
            await _wave([action for action in growth if action.key not in coupled], writer, results)
            await _wave(shrinks, writer, results)
            failed = frozenset(key for key in shrinking if not _made_room(results[key]))
            waiting = [action for action in growth if action.key in coupled]
            blocked = [action for action in waiting if _shares_cap(action.key, failed, shared_caps)]
            results.update({action.key: _deferred(action, "a shrink it needs did not happen") for action in blocked})
            await _wave([action for action in waiting if action not in blocked], writer, results)
    except TimeoutError:
        late = [action for action in actions if action.key not in results]
        results.update({action.key: _deferred(action, f"not done within {limit_seconds:g} s") for action in late})
    return tuple(results[action.key] for action in actions)


async def _wave(actions: Sequence[ScaleAction], writer: ScaleWriter, results: dict[WorkloadKey, ScaleResult]) -> None:
    slots = asyncio.Semaphore(CONCURRENT_WRITES)

    async def write(action: ScaleAction) -> None:
        async with slots:
            results[action.key] = await writer.write(action)

    async with asyncio.TaskGroup() as group:
        for action in actions:
            group.create_task(write(action))


def _shares_cap(key: WorkloadKey, others: frozenset[WorkloadKey], shared_caps: Sequence[SharedCap]) -> bool:
    return any(key in cap.members and others & cap.members for cap in shared_caps)


def _made_room(result: ScaleResult) -> bool:
    """A target that is gone needs no room either; in a dry run the plan is followed to its end."""
    return result.outcome in (ScaleOutcome.WRITTEN, ScaleOutcome.DRY_RUN, ScaleOutcome.GONE)


def _deferred(action: ScaleAction, message: str) -> ScaleResult:
    return ScaleResult(action, ScaleOutcome.DEFERRED, message)
