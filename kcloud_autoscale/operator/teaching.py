"""Teaches the fleet's histories in a worker process, a few at a time and not longer than a cycle can wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence

from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.rows import Rows
from kcloud_autoscale.forecast.teach import Lesson
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.pace import Pace
from kcloud_autoscale.operator.strikes import Strikes
from kcloud_autoscale.operator.worker import IDLE_SECONDS, STARTING_SECONDS, Limits, Worker, WorkerDeathError

logger = logging.getLogger(__name__)


class WorkerTeacher:
    """The operator's `Teacher`. A cycle costs it `Limits.hard_seconds` at most; a worker that dies, the cycle's rest.

    The next cycle starts a new worker and goes on with those who were not taught. They are not forecast until then:
    the rule of the HPA serves them, like any workload with too little history.
    """

    def __init__(self, metrics: Metrics, limits: Limits | None = None) -> None:
        """No worker yet."""
        self._metrics = metrics
        self._limits = limits or Limits()
        self._strikes, self._pace = Strikes(), Pace()
        self._worker: Worker | None = None
        self._started_seconds = self._used_seconds = 0.0

    def start(self) -> None:
        """Start a worker unless there is one: it is to be ready when the first histories have been read."""
        if self._worker is not None:
            return
        self._started_seconds = self._used_seconds = time.monotonic()
        try:
            self._worker = Worker(self._limits)
        except WorkerDeathError as death:
            self._bury(death)

    def __call__(self, layouts: Layouts, lessons: Sequence[Lesson]) -> Iterator[tuple[Lesson, Rows]]:
        """Teach as much as there is time for; see `Teacher`."""
        begun = time.monotonic()
        left = sum(len(lesson.names) for lesson in lessons)
        if left and self._takes_lessons():
            for chunk in self._chunks(lessons, begun):
                rows = self._teach(layouts, chunk, begun + self._limits.hard_seconds)
                if rows is None:
                    break
                left -= len(chunk.names)
                yield chunk, rows
                if time.monotonic() - begun > self._limits.soft_seconds:
                    break
        self._metrics.untaught.set(left)
        self._metrics.set_aside.set(len(self.set_aside()))
        self._rest()

    def ready(self, within_seconds: float) -> bool:
        """Whether a worker takes lessons; one is started if there is none."""
        self.start()
        if self._worker is None:
            return False
        try:
            if self._worker.ready(within_seconds):
                return True
            if time.monotonic() - self._started_seconds > STARTING_SECONDS:
                self._worker.close()
                raise WorkerDeathError("TimedOut", f"took longer than {STARTING_SECONDS:g} s")
        except WorkerDeathError as death:
            self._bury(death)
        return False

    @property
    def pid(self) -> int | None:
        """Of the worker, while there is one."""
        return None if self._worker is None else self._worker.pid

    def set_aside(self) -> Mapping[str, str]:
        """Workloads that are not taught for a while, because the worker died of them again and again; and how."""
        return self._strikes.set_aside()

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _takes_lessons(self) -> bool:
        """A worker that starts is waited for as long as the soft limit, once; after that it is only looked at."""
        self.start()
        patience_seconds = self._started_seconds + self._limits.soft_seconds - time.monotonic()
        return self._worker is not None and self.ready(max(0.0, patience_seconds))

    def _chunks(self, lessons: Sequence[Lesson], now_seconds: float) -> Iterator[Lesson]:
        """The lessons in the order and in the sizes in which they are to be taught; each is decided when it begins."""
        for together, lesson in self._strikes.plan(lessons, now_seconds):
            rest = lesson
            while rest.names:
                size = min(together, self._pace.size(rest))
                yield rest.only(range(size)[: len(rest.names)])
                rest = rest.only(range(size, len(rest.names)))

    def _teach(self, layouts: Layouts, lesson: Lesson, until_seconds: float) -> Rows | None:
        """One chunk; None when the worker died of it."""
        assert self._worker is not None
        begun = self._used_seconds = time.monotonic()
        try:
            rows = self._worker.teach(layouts, lesson, until_seconds - begun)
        except WorkerDeathError as death:
            self._bury(death, f" while it was teaching {_named(lesson.names)}")
            for name in self._strikes.died(lesson, str(death), time.monotonic()):
                logger.error("%s is not forecast for a while: each time it is taught, the worker %s.", name, death)
            return None
        seconds = time.monotonic() - begun
        self._metrics.lesson_seconds.observe(seconds)
        self._pace.took(lesson, seconds)
        self._strikes.forgive(lesson)
        return rows

    def _bury(self, death: WorkerDeathError, when: str = "") -> None:
        self._worker = None
        self._metrics.worker_deaths.labels(death.reason).inc()
        logger.warning("The forecast worker %s%s; the next cycle starts another one.", death, when)

    def _rest(self) -> None:
        """Give an idle worker's memory back."""
        if self._worker is not None and time.monotonic() - self._used_seconds > IDLE_SECONDS:
            self.close()


def _named(names: Sequence[str]) -> str:
    """The first few of them."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
