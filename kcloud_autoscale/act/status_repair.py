"""A status that the API server refuses is written without the part it refuses, and says so in a condition.

Without that one number that cannot be written would freeze the whole status of its object: conditions, counts and
money would stay as they were for ever, and nothing would tell. What is refused keeps its last value on record; if that
is what the server objects to, it is removed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kcloud_autoscale.act.rest import Json, RequestError
from kcloud_autoscale.api.conditions import STATUS_WRITTEN, find_condition, merge_conditions
from kcloud_autoscale.domain.decision import ConditionFact

# The content is at fault, not the moment: the same write would be refused for ever.
_REFUSALS = (400, 413, 422)
# What a person needs to see, and what a new process needs to know, whatever else cannot be written.
_ESSENTIAL = ("phase", "target", "replicas", "readyReplicas", "desiredReplicas", "originalReplicas",
              "observedGeneration", "lastOptimizationTime", "conditions")  # fmt: skip
# Large and told anew in every cycle: the first to go when the server does not say what it objects to.
_DISPENSABLE = ("lastDecision", "forecast", "misses", "placement")
# The status changes with every cycle: what could not be written may be writable by then.
RETRY_SECONDS = 300.0
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**63 - 1


@dataclass(slots=True)
class _LeftOut:
    """What is not written of one object: parts that stay as they are on record, and parts that are taken off it."""

    words: str
    until_seconds: float
    kept: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)


class StatusRepair:
    """Which parts of which statuses cannot be written at present; one that is refused whole is tried again each cycle.

    Args:
        clock: Monotonic seconds.
        wall_clock: Unix seconds, for the condition.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._left_out: dict[str, _LeftOut] = {}

    @property
    def incomplete(self) -> int:
        """Objects whose status is written in part."""
        return len(self._left_out)

    def writable(self, uid: str, on_record: Mapping[str, Any], status: Json) -> Json:
        """The status as it can be written, with the condition that says what is missing of it."""
        sound, dropped = _representable(status)
        words = f"numbers that JSON or the API server cannot hold: {', '.join(dropped[:10])}" if dropped else ""
        left_out = self._left_out.get(uid)
        if left_out is not None and self._clock() >= left_out.until_seconds:
            del self._left_out[uid]
        elif left_out is not None:
            sound = _without(sound, on_record, left_out)
            words = left_out.words
        return self._with_condition(sound, words)

    def refused(self, uid: str, error: RequestError, status: Mapping[str, Any]) -> bool:
        """Note what the server objected to; False when it was not the content, or nothing is left to leave out."""
        if error.status not in _REFUSALS:
            return False
        left_out = self._left_out.setdefault(uid, _LeftOut("", 0.0))
        left_out.until_seconds = self._clock() + RETRY_SECONDS
        further = _advance(left_out, set(_parts(error)), set(status) - set(_ESSENTIAL))
        left_out.words = f"the API server does not take all of it. {_told(left_out)}: {error}"
        return further

    def forget(self, uids: set[str]) -> None:
        """Objects that are gone."""
        for uid in uids:
            self._left_out.pop(uid, None)

    def _with_condition(self, status: Json, words: str) -> Json:
        conditions = status.get("conditions", [])
        known = find_condition(conditions, STATUS_WRITTEN)
        if not words and (known is None or known.get("status") == "True"):
            return status
        fact = ConditionFact(STATUS_WRITTEN, True, "Whole", "all of the status is written")
        if words:
            fact = ConditionFact(STATUS_WRITTEN, False, "Refused", words)
        generation = int(status.get("observedGeneration", 0))
        return {**status, "conditions": merge_conditions(conditions, [fact], self._wall_clock(), generation)}


def _told(left_out: _LeftOut) -> str:
    kept = ", ".join(sorted(left_out.kept - left_out.removed))
    removed = ", ".join(sorted(left_out.removed))
    told = [f"As last written: {kept}"] if kept else []
    return "; ".join([*told, *([f"taken off: {removed}"] if removed else [])]) or "Nothing more can be left out"


def _advance(left_out: _LeftOut, blamed: set[str], spare: set[str]) -> bool:
    """Leave out more than before: what is blamed, else what can be spared most easily, else all that can."""
    before = (set(left_out.kept), set(left_out.removed))
    blamed &= spare
    if blamed:
        # Blamed though it was not written: what is on record is at fault.
        left_out.removed |= blamed & left_out.kept
        left_out.kept |= blamed
    else:
        for parts in (set(_DISPENSABLE) & spare, spare):
            if not parts <= left_out.kept:
                left_out.kept |= parts
                break
        else:
            left_out.removed |= spare
    return before != (left_out.kept, left_out.removed)


def _parts(error: RequestError) -> Iterator[str]:
    """Top-level parts of the status among the fields a refusal names: ``status.misses.steps`` is ``misses``."""
    for name in error.fields:
        head, _, rest = name.partition(".")
        if head == "status" and rest:
            yield rest.split(".", 1)[0].split("[", 1)[0]


def _without(status: Json, on_record: Mapping[str, Any], left_out: _LeftOut) -> Json:
    """The status with the parts that are left out as they are on record, or absent."""
    kept = {name: on_record[name] for name in left_out.kept - left_out.removed if name in on_record}
    return {name: value for name, value in status.items() if name not in left_out.kept} | kept


def _representable(status: Json) -> tuple[Json, list[str]]:
    """The status without numbers that JSON or the API server cannot hold, and where they were."""
    dropped: list[str] = []
    sound: Json = _sound(status, "", dropped)
    return sound, dropped


def _sound(value: Any, path: str, dropped: list[str]) -> Any:
    if isinstance(value, Mapping):
        found = {}
        for key, each in value.items():
            where = f"{path}.{key}" if path else str(key)
            if _is_sound(each):
                found[key] = _sound(each, where, dropped)
            else:
                dropped.append(where)
        return found
    if isinstance(value, list):
        dropped.extend(f"{path}[{index}]" for index, each in enumerate(value) if not _is_sound(each))
        return [_sound(each, f"{path}[{index}]", dropped) for index, each in enumerate(value) if _is_sound(each)]
    return value


def _is_sound(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or _LEAST_INTEGER <= value <= _MOST_INTEGER
