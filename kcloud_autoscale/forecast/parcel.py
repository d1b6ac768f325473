"""Lessons and learned rows, and stretches of demand and fits, on a byte stream to another process and back.

A line of JSON says what follows, then come the arrays as they lie in memory. Nothing is pickled: what a process that
may have gone wrong sends back is numbers for arrays of known shape, a sentence, or a ``ValueError``, and never code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.fitting import Fit, Wanted
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.recurrence import PastFit, fit_width
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
    told = {
        "names": lesson.names,
        "about": [_about(each) for each in lesson.histories],
        "horizon": lesson.horizon,
        "short": lesson.short,
        "model": lesson.model,
        "fits": [[(cutoff, len(values)) for cutoff, values in each] for each in lesson.fits],
    }
    _send_line(stream, told)
    for each in lesson.histories:
        _send_array(stream, np.asarray(each.values, dtype=np.float64))
    for fits in lesson.fits:
        for _, values in fits:
            _send_array(stream, values)
    stream.flush()


def receive_lesson(stream: BinaryIO) -> Lesson:
    """Read a lesson.

    Raises:
        ValueError: The stream ended before its end.
    """
    told = json.loads(stream.readline())
    histories = tuple(_receive_history(stream, about) for about in told["about"])
    fits = tuple(tuple(_receive_past_fit(stream, about) for about in each) for each in told["fits"])
    return Lesson(tuple(told["names"]), histories, told["horizon"], told["short"], told["model"], fits)


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
    if told := _answer(stream):
        raise RefusalError(str(told))
    rows = _shelf_rows(layouts, lesson)
    for array in _arrays(rows):
        _receive_array(stream, array)
    return rows


def send_wanted(stream: BinaryIO, wanted: Wanted, history: DemandHistory) -> None:
    """Write which model is to be fitted to which demand.

    Raises:
        OSError: Nobody reads.
    """
    _send_line(stream, {**asdict(wanted), "about": _about(history)})
    _send_array(stream, np.asarray(history.values, dtype=np.float64))
    stream.flush()


def receive_wanted(stream: BinaryIO) -> tuple[Wanted, DemandHistory]:
    """Read it.

    Raises:
        ValueError: The stream ended before its end.
    """
    told = json.loads(stream.readline())
    history = _receive_history(stream, told.pop("about"))
    return Wanted(**told), history


def send_fit(stream: BinaryIO, fit: Fit) -> None:
    """Write what came of it."""
    _send_line(stream, {"refusal": fit.refusal[:1000]} if fit.values is None else {})
    if fit.values is not None:
        _send_array(stream, fit.values)
    stream.flush()


def receive_fit(stream: BinaryIO, wanted: Wanted, day: int) -> Fit:
    """Read what came of it.

    Raises:
        RefusalError: The other side failed, and says how.
        ValueError: The stream has ended, or holds something else.
    """
    told = _answer(stream)
    if isinstance(told, dict) and told.keys() == {"refusal"}:
        return Fit(wanted, None, str(told["refusal"]))
    if told:
        raise RefusalError(str(told))
    values = np.empty(fit_width(day), dtype=np.float32)
    _receive_array(stream, values)
    if not np.isfinite(values).all():
        raise ValueError("a fit that is no number")
    return Fit(wanted, values)


def _answer(stream: BinaryIO) -> Any:
    """The line before an answer's arrays; empty where arrays follow."""
    line = stream.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise ValueError("the stream has ended")
    return json.loads(line.decode(errors="replace"))


def _about(history: DemandHistory) -> tuple[float, float, int]:
    return history.start_seconds, history.step_seconds, len(history.values)


def _receive_history(stream: BinaryIO, about: Sequence[Any]) -> DemandHistory:
    start_seconds, step_seconds, steps = about
    values = np.empty(steps)
    _receive_array(stream, values)
    return DemandHistory(start_seconds, step_seconds, values)


def _receive_past_fit(stream: BinaryIO, about: Sequence[int]) -> PastFit:
    cutoff, width = about
    values = np.empty(width, dtype=np.float32)
    _receive_array(stream, values)
    return cutoff, values


def _shelf_rows(layouts: Layouts, lesson: Lesson) -> Rows:
    """Rows laid out as on a shelf: both sides know the shape of every array."""
    return layouts.panel(len(lesson.names), lesson.horizon, blank=False, model=lesson.model).rows


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
