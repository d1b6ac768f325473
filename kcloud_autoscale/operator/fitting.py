"""Has the models that workloads ask for fitted by a process of its own, between the cycles."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.fitting import Fit, Wanted
from kcloud_autoscale.operator import fitter_main
from kcloud_autoscale.operator.banishment import Banishment
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.worker import IDLE_SECONDS, STARTING_SECONDS, Limits, Worker, WorkerDeathError

logger = logging.getLogger(__name__)

# A fit of SARIMAX takes 2 s on a core of its own and ten times that on a busy node. Nobody waits for it.
LIMITS = Limits(soft_seconds=0.0, hard_seconds=60.0)
MOST_WAITING = 128
"""Histories handed over and not yet fitted: 10 MB of two weeks of minutes."""

_Job = tuple[Wanted, DemandHistory]


class WorkerFitter:
    """The operator's `Fitter`. A cycle costs it nothing but the handing over: a thread waits for the process.

    What is wanted twice is fitted once, and what has been fitted is handed back in the next cycle. A fit that the
    process died of is tried once more; then its workload is left out for an hour, and twice as long each time.
    """

    def __init__(self, metrics: Metrics, limits: Limits = LIMITS) -> None:
        """No process and no thread before something is wanted."""
        self._metrics, self._limits = metrics, limits
        self._banished = Banishment()
        self._handed_over: set[Wanted] = set()
        self._shift: Shift | None = None

    def __call__(self, wanted: Sequence[Wanted], history_of: Callable[[Wanted], DemandHistory]) -> Iterator[Fit]:
        """Hand back what has been fitted, hand over what is to be; see `Fitter`."""
        done: set[Wanted] = set()
        shift = self._shift
        over = shift is not None and not shift.is_alive()  # asked first: then what it has made is complete
        for each, fit in shift.made() if shift is not None else ():
            self._handed_over.discard(each)
            if fit is not None:
                done.add(each)
                yield fit
        if over:
            self.close()
        now = time.monotonic()
        todo = [each for each in wanted if each not in done and each not in self._handed_over]
        for each in todo:
            if reason := self._banished.reason(each, now):
                done.add(each)
                yield Fit(each, None, reason)
            elif len(self._handed_over) < MOST_WAITING:
                self._on_shift().hand_over((each, history_of(each)))
                self._handed_over.add(each)
        self._metrics.fits_waiting.set(sum(each not in done for each in wanted))

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._shift is None else self._shift.pid

    def close(self) -> None:
        """End the process; what is being fitted is lost. What is wanted later starts another one."""
        if self._shift is not None:
            self._shift.close()
            self._shift = None
            self._handed_over.clear()

    def _on_shift(self) -> Shift:
        """Whoever fits now."""
        if self._shift is None:
            self._shift = Shift(self._metrics, self._limits, self._banished)
        return self._shift


class Shift:
    """A thread and the process it talks to, from the first fit until there has been nothing to do for a while."""

    def __init__(self, metrics: Metrics, limits: Limits, banished: Banishment) -> None:
        """The thread starts at once, the process with the first fit."""
        self._metrics, self._limits, self._banished = metrics, limits, banished
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[tuple[Wanted, Fit | None]] = queue.SimpleQueue()
        self._worker: Worker | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fitting", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether what is handed over may still be fitted."""
        return self._thread.is_alive()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        worker = self._worker
        return None if worker is None else worker.pid

    def hand_over(self, job: _Job) -> None:
        """Have it fitted, after what has been handed over before."""
        self._jobs.put(job)

    def made(self) -> Iterator[tuple[Wanted, Fit | None]]:
        """What has been done with since the last time; None is to be wanted again."""
        while True:
            try:
                yield self._made.get_nowait()
            except queue.Empty:
                return

    def close(self) -> None:
        """End it now; the thread cleans up after the process, and nobody waits for that."""
        self._over.set()
        self._jobs.put(None)
        worker = self._worker
        if worker is not None:
            worker.kill()

    def _work(self) -> None:
        """The thread."""
        try:
            while not self._over.is_set():
                job = self._jobs.get(timeout=IDLE_SECONDS)
                if job is not None:
                    self._made.put((job[0], self._fit(*job)))
        except queue.Empty:
            pass  # what is handed over in this very moment is wanted again in the next cycle, and finds another shift
        finally:
            self._end()

    def _fit(self, wanted: Wanted, history: DemandHistory) -> Fit | None:
        """One fit; None where it is to be wanted again."""
        if reason := self._banished.reason(wanted, time.monotonic()):
            return Fit(wanted, None, reason)  # banished while it waited
        try:
            worker = self._ready()
        except WorkerDeathError as death:
            self._bury(death, "")
            self._put_off()
            return None
        if worker is None:
            return None
        begun = time.monotonic()
        try:
            fit = worker.fit(wanted, history, self._limits.hard_seconds)
        except WorkerDeathError as death:
            if self._over.is_set():
                return None
            self._bury(death, f" while it was fitting {wanted.model} to {wanted.name}")
            message = f"the process that fits it {death}"
            return Fit(wanted, None, message) if self._banished.died(wanted, message, time.monotonic()) else None
        self._metrics.fit_seconds.labels(wanted.model).observe(time.monotonic() - begun)
        self._banished.forgive(wanted)
        return fit

    def _ready(self) -> Worker | None:
        """The process, started where there is none; None when the shift is over.

        Raises:
            WorkerDeathError: It cannot be had. Nothing that waits is to blame.
        """
        if self._worker is None:
            self._worker = Worker(self._limits, fitter_main.__name__)
        until = time.monotonic() + STARTING_SECONDS
        while not self._worker.ready(1.0):
            if self._over.is_set():
                return None
            if time.monotonic() > until:
                raise WorkerDeathError("TimedOut", f"took longer than {STARTING_SECONDS:g} s to start")
        return self._worker

    def _put_off(self) -> None:
        """Let the next cycle try again, instead of starting a process for each fit that waits."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                self._made.put((job[0], None))

    def _bury(self, death: WorkerDeathError, when: str) -> None:
        self._end()
        if not self._over.is_set():
            self._metrics.fitter_deaths.labels(death.reason).inc()
            logger.warning("The fitting worker %s%s; another one is started when it is needed.", death, when)

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()
