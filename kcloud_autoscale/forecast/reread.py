"""Whose whole history is to be read again, because the horizon of its forecasts no longer fits its lead time."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Generic, TypeVar

REREAD_AT_ONCE = 64
"""Two weeks of minutes of 64 workloads are 10 MB; a fleet of 1,000 that has learned its lead times takes 16 cycles."""

Key = TypeVar("Key", bound=Hashable)


class Rereading(Generic[Key]):
    """Takes turns: a few are asked for at a time, and one that was asked for in vain goes to the end of the line.

    In the cycle in which it is asked for, a workload gets its whole history or nothing at all. So it is never asked for
    twice in a row: a history that cannot be read in time must not cut it off from its new steps.
    """

    def __init__(self) -> None:
        """Nobody waits."""
        self.asked: Collection[Key] = ()
        self._line: list[Key] = []

    def ask(self, misfits: Sequence[Key]) -> None:
        """Decide who is ``asked`` for now, of those who need it."""
        if not (misfits or self._line or self.asked):
            return  # as in nearly every cycle
        needing, before = set(misfits), self.asked
        known = set(self._line)
        line = [key for key in self._line if key in needing] + [key for key in misfits if key not in known]
        rested = [key for key in line if key not in before]
        self.asked = frozenset(rested[:REREAD_AT_ONCE])
        self._line = rested + [key for key in line if key in before]

    def forget(self, keys: Collection[Key]) -> None:
        """Workloads that are gone."""
        self.asked = frozenset(key for key in self.asked if key not in keys)
        self._line = [key for key in self._line if key not in keys]
