"""Whole histories in, learned rows out.

Nothing here knows who lives where, so a lesson can be taught in this process or in another one: a fleet hands its
lessons to a `Teacher` and moves the rows that come back onto its shelves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.recurrence import PastFit
from kcloud_autoscale.forecast.rows import Rows
from kcloud_autoscale.forecast.warmup import aligned, step_through, warm_up


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Histories on one grid that are taught together.

    Attributes:
        names: Whose they are; a name decides at which phase a workload refreshes.
        histories: One per name.
        horizon: Steps of the window to forecast, a rung of the ladder.
        short: Replayed step by step, as it would have been live, instead of in large blocks.
        model: That all of them asked for; None for none.
        fits: Of each history, those of the model at cutoffs of its last days; empty, or one for each name.
    """

    names: tuple[str, ...]
    histories: tuple[DemandHistory, ...]
    horizon: int
    short: bool
    model: str | None = None
    fits: tuple[tuple[PastFit, ...], ...] = ()

    def only(self, rows: Sequence[int]) -> Lesson:
        """The lesson of some of its histories."""
        names = tuple(self.names[row] for row in rows)
        histories = tuple(self.histories[row] for row in rows)
        fits = tuple(self.fits[row] for row in rows) if self.fits else ()
        return replace(self, names=names, histories=histories, fits=fits)

    def split(self, size: int) -> Iterator[Lesson]:
        """Lessons of at most ``size`` histories each."""
        for at in range(0, len(self.names), size):
            yield self.only(range(at, min(at + size, len(self.names))))


Teacher = Callable[[Layouts, Sequence[Lesson]], Iterator[tuple[Lesson, Rows]]]
"""Yields lessons, or parts of them, with one row per name as soon as they are learned; the rest is for another time."""


def teach(layouts: Layouts, lesson: Lesson) -> Rows:
    """Replay the histories in a fresh panel; a row without any demand is not born (``born`` is -1)."""
    refresh_seconds = None if lesson.short else layouts.settings.warm_up_refresh_seconds
    panel = layouts.panel(len(lesson.names), lesson.horizon, refresh_seconds, model=lesson.model)
    phases = [layouts.phase(name) for name in lesson.names]
    begin, demand = aligned(lesson.histories)
    if lesson.short:
        panel.state.phase[:] = phases
        step_through(panel, begin, demand)
    else:
        warm_up(panel, begin, demand, lesson.fits)
        panel.state.phase[:] = phases
    return panel.rows


def taught_here(layouts: Layouts, lessons: Sequence[Lesson]) -> Iterator[tuple[Lesson, Rows]]:
    """The `Teacher` of this very process."""
    for lesson in lessons:
        yield lesson, teach(layouts, lesson)
