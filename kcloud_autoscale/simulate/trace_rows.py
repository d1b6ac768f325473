"""A demand trace, and the rows of the file it is read from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.simulate.times import TimeColumn


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Mean demand per step.

    Attributes:
        name: File and column, for people; the ``unique_id`` where the file has several series. As much of the folder
            stands before it as tells it from the other series it was read with.
        start_seconds: Unix time of the first step; 0 where the file has only relative time or none.
        step_seconds: Spacing.
        demand: Shape ``(steps,)``, load per second; NaN where unknown.
        sha256: Of the file's bytes as they are on disk, so that a run can be repeated on the same data.
        repairs: What was put right or had to be assumed, in words.
    """

    name: str
    start_seconds: float
    step_seconds: float
    demand: FloatArray
    sha256: str = ""
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line in the file, its Unix time or its seconds from the start (None without times), its value."""

    line: int
    at_seconds: float | None
    value: float


@dataclass(frozen=True, slots=True)
class File:
    """Where rows come from."""

    path: Path
    time: TimeColumn | None
    sha256: str
