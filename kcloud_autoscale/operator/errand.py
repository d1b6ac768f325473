"""What the worker processes have in common: questions in, answers out, and a life that may end at any moment.

A worker is meant to be killed: the kernel does so when an answer takes longer than the hard limit, even if nobody is
left to do it. It ends with its input, that is with the operator.

Before the first question it gives up what it does not need. With no file descriptor left beyond its three, it can open
neither a socket nor a file: no network, and no token, whatever a history may bring it to do.
"""

from __future__ import annotations

import contextlib
import io
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO, cast

from kcloud_autoscale.forecast.parcel import send_ready, send_refusal

STANDARD_STREAMS = 3


def serve(answer: Callable[[BinaryIO, BinaryIO], None], memory_bytes: int, hard_seconds: int) -> int:
    """Answer until the input ends; 1 after a question that failed: what it left behind is not to be trusted.

    Args:
        answer: Reads one question from its first stream and writes the answer to its second.
        memory_bytes: Of private memory, from now on.
        hard_seconds: For one question, from its first byte on.
    """
    restrict(memory_bytes)
    questions, answers = cast(io.BufferedReader, sys.stdin.buffer), sys.stdout.buffer
    send_ready(answers)
    while questions.peek(1):
        signal.alarm(hard_seconds)
        try:
            answer(questions, answers)
        except BrokenPipeError:
            return 1
        except Exception as error:  # noqa: BLE001 - whatever it was, the sentence goes to those who asked
            with contextlib.suppress(BrokenPipeError):
                send_refusal(answers, f"{type(error).__name__}: {error}")
            return 1
        signal.alarm(0)
    return 0


def restrict(memory_bytes: int) -> None:
    """No more files or sockets, so much memory and no core dump; not to be undone by this process."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (STANDARD_STREAMS, STANDARD_STREAMS))
