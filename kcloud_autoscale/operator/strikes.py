"""Who was being taught when the worker died: a chunk is split until the one that kills it stands alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kcloud_autoscale.forecast.teach import Lesson

# Then it is tried again, alone: what made it deadly may have passed.
SET_ASIDE_SECONDS = 600.0
FORGOTTEN_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Strike:
    """Deaths of the worker while a workload was being taught.

    Attributes:
        deaths: How many.
        together: How many may be taught together that include it.
        at_seconds: When it died the last time.
        message: How.
    """

    deaths: int
    together: int
    at_seconds: float
    message: str


@dataclass(slots=True)
class Strikes:
    """Remembers the suspects by name; times are those of one monotonic clock.

    A chunk of 32 is tried twice, for the first death may be bad luck, then in pieces of 8, of 2 and of 1: five
    deaths, and the poisonous one is set aside. Its neighbours are free as soon as one of them is taught without it.
    """

    _of: dict[str, Strike] = field(default_factory=dict)
    _aside: dict[str, float] = field(default_factory=dict)

    def plan(self, lessons: Sequence[Lesson], now_seconds: float) -> list[tuple[int, Lesson]]:
        """What to teach, in lessons of how many at most: those above suspicion first, without those set aside."""
        self._forget(now_seconds)
        parts = [part for lesson in lessons for part in self._parts(lesson)]
        return [(together, lesson) for _, together, lesson in sorted(parts, key=lambda part: part[:2])]

    def died(self, lesson: Lesson, message: str, now_seconds: float) -> tuple[str, ...]:
        """Count a death; the names that are set aside for it."""
        count = len(lesson.names)
        for name in lesson.names:
            deaths = self._of[name].deaths + 1 if name in self._of else 1
            together = count if deaths == 1 else max(1, count // 4)
            self._of[name] = Strike(deaths, together, now_seconds, message)
        found = tuple(name for name in lesson.names if count == 1 and self._of[name].deaths >= 2)
        self._aside |= dict.fromkeys(found, now_seconds + SET_ASIDE_SECONDS)
        return found

    def forgive(self, lesson: Lesson) -> None:
        """They have been taught, so it was somebody else."""
        for name in lesson.names:
            self._of.pop(name, None)

    def set_aside(self) -> Mapping[str, str]:
        """Who is not taught for a while, and what the worker died of the last time."""
        return {name: self._of[name].message for name in self._aside}

    def _parts(self, lesson: Lesson) -> Iterator[tuple[int, int, Lesson]]:
        """The lesson by deaths and by how many may be together, without those who are set aside."""
        rows: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for row, name in enumerate(lesson.names):
            if name not in self._aside:
                strike = self._of.get(name)
                rows[(strike.deaths, strike.together) if strike else (0, len(lesson.names))].append(row)
        for (deaths, together), chosen in rows.items():
            yield deaths, together, lesson.only(chosen)

    def _forget(self, now_seconds: float) -> None:
        for name in [name for name, until in self._aside.items() if now_seconds >= until]:
            del self._aside[name]
        for name, strike in list(self._of.items()):
            if name not in self._aside and now_seconds >= strike.at_seconds + FORGOTTEN_SECONDS:
                del self._of[name]
