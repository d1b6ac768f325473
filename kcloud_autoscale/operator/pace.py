"""How many histories make a lesson that is short enough, from how long the last one took."""

from __future__ import annotations

from dataclasses import dataclass, field

from kcloud_autoscale.forecast.teach import Lesson

FIRST = 8
MOST = 128
LESSON_SECONDS = 0.5
"""A quarter of the soft limit. On a core of its own that is 32 histories of two weeks of minutes; an operator that
gets a tenth of a core on a busy node hands out 3 at a time, instead of having its worker killed over 32."""


@dataclass(slots=True)
class Pace:
    """Seconds per step of a history, and how many were taught together; short lessons and long ones by themselves."""

    _known: dict[bool, tuple[float, int]] = field(default_factory=dict)

    def size(self, lesson: Lesson) -> int:
        """How many of its histories to teach at once; at most four times as many as the last time."""
        if lesson.short not in self._known:
            return FIRST
        seconds, count = self._known[lesson.short]
        fitting = int(LESSON_SECONDS / (seconds * _longest(lesson)))
        return max(1, min(fitting, max(FIRST, 4 * count), MOST))

    def took(self, lesson: Lesson, seconds: float) -> None:
        """A lesson has been taught in so many seconds."""
        count = len(lesson.names)
        self._known[lesson.short] = (max(seconds, 1e-6) / (count * _longest(lesson)), count)


def _longest(lesson: Lesson) -> int:
    """All are laid out as long as the longest."""
    return max(1, *(len(each.values) for each in lesson.histories))
