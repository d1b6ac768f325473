"""The writes of a cycle, in the order that was decided, side by side, each failure isolated.

Nothing is decided here. `decide.stage` has planned every growth into what is free; an action that needs a shrink to be
written first says so, and is put off to the next cycle when that was not written. Nobody else is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from kcloud_autoscale.act.scale import OUT_OF_TIME
from kcloud_autoscale.domain.decision import ScaleAction, ScaleOutcome, ScaleResult

# One target that does not answer must not hold up the others: this many are written side by side.
CONCURRENT_WRITES = 8

# A target that is gone needs no room either; in a dry run the plan is followed to its end.
_MADE_ROOM = (ScaleOutcome.WRITTEN, ScaleOutcome.DRY_RUN, ScaleOutcome.GONE)

# Carries out one action; what has not been sent by the given time of the event loop's clock is deferred.
Write = Callable[[ScaleAction, float], Awaitable[ScaleResult]]


async def execute(actions: Sequence[ScaleAction], write: Write, limit_seconds: float) -> tuple[ScaleResult, ...]:
    """Carry out the actions of one tick.

    Args:
        actions: In the order of the stage rule.
        write: Carries out one.
        limit_seconds: For the whole batch; what has not been sent by then is deferred, what is under way is awaited.

    Returns:
        One result per action, in the order given.
    """
    batch = _Batch(actions, write, asyncio.get_running_loop().time() + limit_seconds)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(CONCURRENT_WRITES, len(actions))):
            group.create_task(batch.work())
    return tuple(batch.results[position] for position in range(len(actions)))


class _Batch:
    """The actions of one tick while several workers take them one by one."""

    def __init__(self, actions: Sequence[ScaleAction], write: Write, until_seconds: float) -> None:
        self.results: dict[int, ScaleResult] = {}
        self._waiting = iter(enumerate(actions))
        self._write = write
        self._until_seconds = until_seconds
        needed = {need for action in actions for need in action.needs}
        made = {action.decision_id: asyncio.Event() for action in actions if action.decision_id in needed}
        self._done: Mapping[str, asyncio.Event] = made
        self._made_room: set[str] = set()

    async def work(self) -> None:
        """Take action after action until none is left."""
        for position, action in self._waiting:
            result = self.results[position] = await self._carry_out(action)
            if result.outcome in _MADE_ROOM:
                self._made_room.add(action.decision_id)
            if action.decision_id in self._done:
                self._done[action.decision_id].set()

    async def _carry_out(self, action: ScaleAction) -> ScaleResult:
        for need in action.needs:
            if need in self._done:  # it came before, so that a worker has it already
                await self._done[need].wait()
            if need not in self._made_room:
                return ScaleResult(action, ScaleOutcome.DEFERRED, f"a shrink it needs was not made (decision {need})")
        if asyncio.get_running_loop().time() >= self._until_seconds:
            return ScaleResult(action, ScaleOutcome.DEFERRED, OUT_OF_TIME)
        return await self._write(action, self._until_seconds)
