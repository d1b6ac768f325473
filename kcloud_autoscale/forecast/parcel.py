"""Lessons and learned rows on a byte stream, for a teacher in another process.

A line of JSON says what follows, then come the arrays as they lie in memory. Nothing is pickled: what a process that
may have gone wrong sends back is numbers for arrays of known shape, a sentence, or a ``ValueError``, and never code.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.rows import Learned, Rows, transplant
from kcloud_autoscale.forecast.teach import Lesson

_LONGEST_LINE = 1 << 20


class RefusalError(Exception):
    """The other side answered with a sentence instead of rows."""


def send_ready(stream: BinaryIO) -> None:
    """Say that lessons are welcome."""
    _send_line(stream, {})
    stream.flush()


def receive_ready(stream: BinaryIO) -> bool:
    """Whether the other side has said so; False when it has ended instead."""
    return bool(stream.readline(_LONGEST_LINE))


def send_lesson(stream: BinaryIO, lesson: Lesson) -> None:
    """Write a lesson.

    Raises:
        OSError: Nobody reads.
    """
    about = [(each.start_seconds, each.step_seconds, len(each.values)) for each in lesson.histories]
    _send_line(stream, {"names": lesson.names, "about": about, "horizon": lesson.horizon, "short": lesson.short})
    for each in lesson.histories:
        _send_array(stream, np.asarray(each.values, dtype=np.float64))
    stream.flush()


def receive_lesson(stream: BinaryIO) -> Lesson | None:
    """Read a lesson; None when there will be no more.

    Raises:
        ValueError: The stream ended within a lesson.
    """
    line = stream.readline()
    if not line:
        return None
    told = json.loads(line)
    histories = []
    for start_seconds, step_seconds, steps in told["about"]:
        values = np.empty(steps)
        _receive_array(stream, values)
        histories.append(DemandHistory(start_seconds, step_seconds, values))
    return Lesson(tuple(told["names"]), tuple(histories), told["horizon"], told["short"])


def send_rows(stream: BinaryIO, layouts: Layouts, lesson: Lesson, taught: Rows) -> None:
    """Write what was learned, as rows of a shelf: a warm-up's own panel keeps ten times as many origins."""
    every = np.arange(len(lesson.names))
    rows = _shelf_rows(layouts, lesson)
    transplant(rows, every, taught, every)
    _send_line(stream, {})
    for array in _arrays(rows):
        _send_array(stream, array)
    stream.flush()


def send_refusal(stream: BinaryIO, sentence: str) -> None:
    """Write why there are no rows."""
    _send_line(stream, sentence[:1000])
    stream.flush()


def receive_rows(stream: BinaryIO, layouts: Layouts, lesson: Lesson) -> Rows:
    """Read what was learned.

    Raises:
        RefusalError: There is a sentence instead.
        ValueError: The stream has ended, or holds something else.
    """
    line = stream.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise ValueError("the stream has ended")
    if told := json.loads(line.decode(errors="replace")):
        raise RefusalError(str(told))
    rows = _shelf_rows(layouts, lesson)
    for array in _arrays(rows):
        _receive_array(stream, array)
    return rows


def _shelf_rows(layouts: Layouts, lesson: Lesson) -> Rows:
    """Rows laid out as on a shelf: both sides know the shape of every array."""
    return layouts.panel(len(lesson.names), lesson.horizon, blank=False).rows


def _arrays(rows: Rows) -> list[NDArray[Any]]:
    learned = [getattr(rows.learned, each.name) for each in fields(Learned)]
    return [*learned, rows.ring.values, rows.pending.values]


def _send_line(stream: BinaryIO, told: dict[str, Any] | str) -> None:
    stream.write(json.dumps(told).encode() + b"\n")


def _send_array(stream: BinaryIO, array: NDArray[Any]) -> None:
    stream.write(_bytes_of(np.ascontiguousarray(array)))


def _receive_array(stream: BinaryIO, array: NDArray[Any]) -> None:
    rest = _bytes_of(array)
    while len(rest):
        count = stream.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise ValueError(f"the stream ended {len(rest)} bytes too early")
        rest = rest[count:]


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data
