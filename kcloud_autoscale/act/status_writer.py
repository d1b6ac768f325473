"""Statuses go out in the background: the smallest patch, only when it says something new, what matters first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from kcloud_autoscale.act.events import ObjectRef
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import Json, RequestError, Rest
from kcloud_autoscale.act.status_repair import StatusRepair

logger = logging.getLogger(__name__)

# Numbers move every cycle. Written once a minute a thousand objects are 17 writes a second, mostly for nobody:
# what people wait for goes out at once, the rest every few minutes.
NUMBERS_SECONDS = 60.0
IDLE_SECONDS = 300.0

# Somebody else wrote to the object since the watch last spoke of it, or the API server is overloaded.
CONFLICT_TRIES = 5
# However many decisions are to be told, every so many writes one goes to numbers that are due.
NUMBERS_TURN = 5
CONFLICT_PAUSE_SECONDS = 0.1

PLURALS = {
    "WorkloadOptimizer": "workloadoptimizers",
    "CostPolicy": "costpolicies",
    "PowerPolicy": "powerpolicies",
}
_AT_ONCE = ("phase", "target", "desiredReplicas", "observedGeneration", "originalReplicas", "lastOptimizationTime")
# Reasons of soft rules that give less than is wanted. Those of the others take turns while a count stays: a load that
# trembles about a whole count is sized to it in one cycle (NoChange) and below it, but held, in the next
# (ScaleDownStabilized, MinReplicas): some 40 changes in 100 quiet cycles. Compared, they would be 400 writes a minute
# for a thousand idle objects, to tell nothing.
_SOFT_LIMITS = ("MaxReplicas", "ScaleUpLimit")
_HARD_STAGES = ("caps", "stage")
# What changes with the clock alone.
_CLOCKWORK = ("lastDecision", "savings", "budget", "forecast", "misses", "lastUpdated", "currentSpend", "monthlySpend")


class Urgency(IntEnum):
    """How soon a change of status is worth a write."""

    NONE = 0  # nothing differs
    IDLE = 1  # only what changes with the clock
    NUMBERS = 2  # replicas, money, watts
    NOW = 3  # what was decided, or a condition


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """The smallest merge-patch from ``old`` to ``new``: absent keys become None, lists are whole."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := merge_patch(before, value):
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def urgency(old: Mapping[str, Any], new: Mapping[str, Any]) -> Urgency:
    """How soon the difference should be written."""
    if any(old.get(key) != new.get(key) for key in _AT_ONCE) or _told(old) != _told(new):
        return Urgency.NOW
    changed = {key for key in (*old, *new) if old.get(key) != new.get(key)}
    if changed - {*_CLOCKWORK, "conditions"}:
        return Urgency.NUMBERS
    return Urgency.IDLE if changed else Urgency.NONE


def _told(status: Mapping[str, Any]) -> tuple[Any, ...]:
    """What people wait for among what moves.

    Conditions without their sentences, whether an asked model speaks, what limits the count and what it would be else.
    """
    conditions = [(one.get("type"), one.get("status"), one.get("reason")) for one in status.get("conditions", [])]
    asked = status.get("forecast", {}).get("asked", {})
    decision = status.get("lastDecision", {})
    binding = [cap.get("name") for cap in decision.get("caps", ()) if cap.get("binding")]
    limited = (_limits(decision), binding, decision.get("uncappedReplicas"))
    return conditions, asked.get("model"), asked.get("fitted"), asked.get("message"), *limited


def _limits(decision: Mapping[str, Any]) -> list[str | None]:
    """Reasons of the rules that gave less than was wanted."""
    cut = [step for step in decision.get("steps", ()) if step.get("before", 0) > step.get("after", 0)]
    return [
        step.get("reason") for step in cut if step.get("stage") in _HARD_STAGES or step.get("reason") in _SOFT_LIMITS
    ]


@dataclass(frozen=True, slots=True)
class _Wanted:
    ref: ObjectRef
    status: Json
    tries: int = 0


class StatusWriter:
    """Writes the newest status of each object; one that is overtaken while it waits is never written.

    Args:
        rest: Requests.
        bucket: Write budget; a status is never urgent.
        known: The object as last seen in the watch, None when it is gone.
        written: Told of each object as the API server answered it.
        may_write: Whether we still lead; what a former leader has not written yet is void.
        clock: Monotonic seconds.
        refused: Told of each status the API server did not take as it was, and why.
    """

    def __init__(
        self,
        rest: Rest,
        bucket: TokenBucket,
        known: Callable[[ObjectRef], Mapping[str, Any] | None],
        written: Callable[[ObjectRef, Json], None],
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        refused: Callable[[ObjectRef, str], None] = lambda ref, why: None,
    ) -> None:
        self.repair = StatusRepair(clock)
        self._refused = refused
        self._rest = rest
        self._bucket = bucket
        self._known = known
        self._written = written
        self._may_write = may_write
        self._clock = clock
        self._at_once: dict[str, _Wanted] = {}
        self._when_due: dict[str, _Wanted] = {}
        self._not_due: dict[str, _Wanted] = {}
        self._written_at_seconds: dict[str, float] = {}
        self._turn = 0
        self._news = asyncio.Event()
        self._idle = asyncio.Event()

    def want(self, ref: ObjectRef, status: Json) -> None:
        """Ask for a status; the newest wish counts."""
        found = self._known(ref)
        if found is None:
            return
        status = self.repair.writable(ref.uid, found.get("status", {}), status)
        soon = urgency(found.get("status", {}), status)
        age = self._clock() - self._written_at_seconds.get(ref.uid, -IDLE_SECONDS)
        due = (soon is Urgency.NUMBERS and age >= NUMBERS_SECONDS) or (soon is Urgency.IDLE and age >= IDLE_SECONDS)
        # A newer wish keeps the place of the older one: wanted anew every cycle, none would ever come to its turn.
        later = soon is not Urgency.NONE and soon is not Urgency.NOW and not due
        places = ((self._at_once, soon is Urgency.NOW), (self._when_due, due), (self._not_due, later))
        for waiting, belongs in places:
            if belongs:
                waiting[ref.uid] = _Wanted(ref, status)
            else:
                waiting.pop(ref.uid, None)
        self._news.set()

    def hurry(self) -> None:
        """What differs is due, however lately it was written: this process will not come to it again."""
        self._when_due |= self._not_due
        self._not_due.clear()

    def forget(self, uids: set[str]) -> None:
        """Objects that are gone."""
        self.repair.forget(uids)
        for uid in uids:
            for kept in (self._at_once, self._when_due, self._not_due, self._written_at_seconds):
                kept.pop(uid, None)

    async def run(self) -> None:
        """Write what is wanted, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._at_once or self._when_due:
                self._idle.clear()
                await self._bucket.take()
                await self._write_next()
            self._idle.set()

    async def flush(self) -> None:
        """Wait until nothing is waiting."""
        if self._at_once or self._when_due:
            self._idle.clear()
            self._news.set()
            await self._idle.wait()

    async def write(self, ref: ObjectRef, status: Json) -> None:
        """Write it now, without what the API server does not take.

        Raises:
            RequestError: Nothing of it was written.
        """
        while True:
            found = self._known(ref) or {}
            try:
                return await self._patch(ref, self.repair.writable(ref.uid, found.get("status", {}), status))
            except RequestError as error:
                left_out = self.repair.refused(ref.uid, error, status)
                if left_out or error.status == 422:
                    self._refused(ref, str(error))
                if not left_out:
                    raise
                await self._bucket.take()

    async def _patch(self, ref: ObjectRef, status: Json) -> None:
        found = self._known(ref)
        patch = merge_patch(found.get("status", {}), status) if found is not None else {}
        if found is None or not patch:
            return
        # The version keeps the status of an object out of its successor's: a uid in a status patch is not checked.
        body = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "status": patch}
        answer = await self._rest.patch(f"{object_path(ref)}/status", body)
        self._bucket.went_well()
        self._written_at_seconds[ref.uid] = self._clock()
        self._written(ref, answer)

    async def _write_next(self) -> None:
        if not self._may_write():
            self._at_once.clear()
            self._when_due.clear()
            self._not_due.clear()
        self._turn += 1
        first, second = self._at_once, self._when_due
        if self._turn % NUMBERS_TURN == 0:
            first, second = second, first
        waiting = first or second
        if not waiting:
            return  # it was taken back while we waited for a token
        uid = next(iter(waiting))
        wanted = waiting.pop(uid)
        try:
            await self.write(wanted.ref, wanted.status)
        except RequestError as error:
            if error.overloaded:
                self._bucket.slow_down(error.retry_after_seconds)
            if (error.status == 409 or error.overloaded) and wanted.tries < CONFLICT_TRIES:
                # The watch is about to bring what changed; a newer wish may have come meanwhile and counts more.
                waiting.setdefault(uid, replace(wanted, tries=wanted.tries + 1))
            elif error.status != 404:
                logger.warning("The status of %s %s was not written: %s", wanted.ref.kind, wanted.ref.name, error)
            await asyncio.sleep(CONFLICT_PAUSE_SECONDS if error.status == 409 else 0.0)


def object_path(ref: ObjectRef) -> str:
    """Path of one of our objects."""
    scope = f"/namespaces/{ref.namespace}" if ref.namespace else ""
    return f"/apis/{ref.api_version}{scope}/{PLURALS[ref.kind]}/{ref.name}"
