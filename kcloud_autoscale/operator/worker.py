"""The operator's side of the forecast worker: a process that may be killed at any moment, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import kcloud_autoscale
from kcloud_autoscale.domain.errors import KcloudError
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.fitting import Fit, Wanted
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.parcel import (
    RefusalError,
    receive_fit,
    receive_ready,
    receive_rows,
    send_lesson,
    send_wanted,
)
from kcloud_autoscale.forecast.rows import Rows
from kcloud_autoscale.forecast.settings import DAY_SECONDS, steps_in
from kcloud_autoscale.forecast.teach import Lesson
from kcloud_autoscale.operator import worker_main

Answer = TypeVar("Answer")

# All it gets of our environment: where programs and libraries are. No token, no address, no proxy.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "TZ")

# A process that has nothing to do keeps 60 MB of its own when it teaches and 130 MB when it fits; starting another one
# costs half a second of a core, or three.
IDLE_SECONDS = 300.0
STARTING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What teaching may take, per cycle.

    Attributes:
        soft_seconds: No lesson is begun later than this; the rest of the fleet is taught in the next cycles.
        hard_seconds: The worker is killed then, whatever it does.
        memory_bytes: Of the worker's private memory: 140 MB before the first lesson, 200 MB more for 128 workloads of
            two weeks of minutes.
    """

    soft_seconds: float = 2.0
    hard_seconds: float = 5.0
    memory_bytes: int = 512 * 2**20


class WorkerDeathError(KcloudError):
    """The worker is no more, and the lesson is not learned.

    ``reason`` is a CamelCase token; the message goes on after "the forecast worker".
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Worker:
    """One process, started at once; one lesson at a time."""

    def __init__(self, limits: Limits, program: str = worker_main.__name__) -> None:
        """Start it; on a core of its own one that teaches is ready in half a second, one that fits in two.

        Raises:
            WorkerDeathError: There is no process to be had.
        """
        self._ready = False
        command = [sys.executable, "-P", "-m", program]
        try:
            self._process = subprocess.Popen(
                [*command, str(limits.memory_bytes), str(max(1, round(limits.hard_seconds)))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the operator, which then ends its worker itself
            )
        except OSError as error:
            raise WorkerDeathError("NotStarted", f"could not be started: {error}") from error

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ready(self, within_seconds: float) -> bool:
        """Whether it takes lessons, after waiting for it that long at most.

        Raises:
            WorkerDeathError: It ended instead, or since the last lesson: no lesson is to blame.
        """
        answers = cast(BinaryIO, self._process.stdout)
        spoke = not self._ready and _readable(answers, within_seconds)
        if spoke:
            self._ready = receive_ready(answers)
        if (spoke and not self._ready) or self._process.poll() is not None:
            self.close()
            raise WorkerDeathError("Killed", _ending(self._process.returncode))
        return self._ready

    def teach(self, layouts: Layouts, lesson: Lesson, within_seconds: float) -> Rows:
        """Have a lesson learned.

        Raises:
            WorkerDeathError: It ended before, or was killed because the time was up.
        """

        return self._within(
            within_seconds, lambda to: send_lesson(to, lesson), lambda back: receive_rows(back, layouts, lesson)
        )

    def fit(self, wanted: Wanted, history: DemandHistory, within_seconds: float) -> Fit:
        """Have a model fitted.

        Raises:
            WorkerDeathError: It ended before, or was killed because the time was up.
        """

        day = steps_in(DAY_SECONDS, history.step_seconds)
        return self._within(
            within_seconds, lambda to: send_wanted(to, wanted, history), lambda back: receive_fit(back, wanted, day)
        )

    def kill(self) -> None:
        """End it from another thread than the one that talks to it, which is told so."""
        self._process.kill()

    def close(self) -> None:
        """End it, in whatever state it is; nothing of it is left behind."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not sent any more
                cast(BinaryIO, stream).close()

    def _within(
        self, within_seconds: float, send: Callable[[BinaryIO], None], receive: Callable[[BinaryIO], Answer]
    ) -> Answer:
        """Question and answer, in time or not at all."""
        late = threading.Event()
        killer = threading.Timer(max(0.0, within_seconds), self._kill, (late,))
        killer.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # then the answer says why, or that there is none
                send(cast(BinaryIO, self._process.stdin))
            return receive(cast(BinaryIO, self._process.stdout))
        except RefusalError as refused:
            self.close()
            reason = "OutOfMemory" if "MemoryError" in str(refused) else "Failed"
            raise WorkerDeathError(reason, f"failed with {refused}") from refused
        except (OSError, ValueError) as error:
            self.close()
            if late.is_set():
                raise WorkerDeathError("TimedOut", f"took longer than {within_seconds:.1f} s") from error
            raise WorkerDeathError("Killed", _ending(self._process.returncode)) from error
        finally:
            killer.cancel()

    def _kill(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()


def _environment() -> dict[str, str]:
    given = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    own = {"PYTHONPATH": str(Path(kcloud_autoscale.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    # pyarrow, where it is installed, sets a gigabyte aside at pandas' first string: more than the limit of memory.
    lean = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    return {**given, **own, **lean}


def _readable(stream: BinaryIO, within_seconds: float) -> bool:
    """Not by ``select.select``, which knows no descriptor above 1,023: watches of many namespaces hold more."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(1_000.0 * max(0.0, within_seconds)))


def _ending(code: int) -> str:
    """-9 is ``was killed by SIGKILL``."""
    if code >= 0:
        return f"ended with exit code {code}"
    known = {each.value: each.name for each in signal.Signals}
    return f"was killed by {known.get(-code, f'signal {-code}')}"
