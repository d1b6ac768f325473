"""The forecast worker: ``python -m kcloud_autoscale.operator.worker_main MEMORY_BYTES HARD_SECONDS``.

Reads lessons from standard input, writes learned rows to standard output, and ends with its input, that is with the
operator. It is meant to be killed: the kernel does so when a lesson takes longer than the hard limit, even if nobody
is left to do it.

Before the first lesson it gives up what it does not need. With no file descriptor left beyond its three, it can open
neither a socket nor a file: no network, and no token, whatever a history may bring it to do.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import BinaryIO

from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.parcel import receive_lesson, send_ready, send_refusal, send_rows
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.teach import Lesson, teach

STANDARD_STREAMS = 3


def main(memory_bytes: int, hard_seconds: int) -> int:
    """Teach until the input ends; 1 after a lesson that failed, because what it left behind is not to be trusted."""
    knowledge, _ = default_knowledge()
    restrict(memory_bytes)
    send_ready(sys.stdout.buffer)
    while (lesson := receive_lesson(sys.stdin.buffer)) is not None:
        signal.alarm(hard_seconds)
        try:
            _answer(sys.stdout.buffer, lesson, knowledge)
        except BrokenPipeError:
            return 1
        except Exception as error:  # noqa: BLE001 - whatever it was, the sentence goes to those who asked
            send_refusal(sys.stdout.buffer, f"{type(error).__name__}: {error}")
            return 1
        signal.alarm(0)
    return 0


def restrict(memory_bytes: int) -> None:
    """No more files or sockets, so much memory and no core dump; not to be undone by this process."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (STANDARD_STREAMS, STANDARD_STREAMS))


def _answer(stream: BinaryIO, lesson: Lesson, knowledge: Knowledge | None) -> None:
    layouts = Layouts(lesson.histories[0].step_seconds, knowledge=knowledge)
    send_rows(stream, layouts, lesson, teach(layouts, lesson))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
