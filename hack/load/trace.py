"""Recorded demand: any CSV whose first column is time, replayed at any speed and any place on the clock."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hack.load.chance import Floats


class TraceError(ValueError):
    """The file is not a trace we can read; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One column of a recording. A row holds until the next one; an empty field is missing, not zero."""

    times_seconds: Floats  # ascending; since the epoch, or from the start of the recording
    values: Floats
    is_relative: bool

    @property
    def step_seconds(self) -> float:
        return float(np.median(np.diff(self.times_seconds)))

    @property
    def length_seconds(self) -> float:
        return float(self.times_seconds[-1] - self.times_seconds[0]) + self.step_seconds


@dataclass(frozen=True, slots=True)
class TraceDemand:
    """A trace laid on the clock so that its first row falls on `start_seconds`.

    `time_scale` 60 plays an hour in a minute. `per_second` turns the column into requests per second. With `repeats`,
    what lies before and after the recording is the recording again; otherwise it is missing. A time that no row
    reaches within one and a half steps is missing as well.
    """

    trace: Trace
    start_seconds: float
    time_scale: float = 1.0
    per_second: float = 1.0
    repeats: bool = False

    def sample(self, times_seconds: Floats) -> Floats:
        """Requests per second at each instant; NaN where the recording has none."""
        elapsed = (np.asarray(times_seconds, dtype=np.float64) - self.start_seconds) * self.time_scale
        if self.repeats:
            elapsed = elapsed % self.trace.length_seconds
        since_first = self.trace.times_seconds - self.trace.times_seconds[0]
        row = np.searchsorted(since_first, elapsed, side="right") - 1
        known = row >= 0
        row = np.maximum(row, 0)
        known &= elapsed - since_first[row] < 1.5 * self.trace.step_seconds
        return np.asarray(np.where(known, self.trace.values[row] * self.per_second, np.nan))


def read_trace(path: Path, column: str | None = None) -> Trace:
    """Read one column (the first value column unless named) of a CSV, gzipped or not.

    The first column is `t_seconds` or a timestamp (ISO 8601, UTC unless it says otherwise).

    Raises:
        TraceError: no such column, fewer than two rows, time that does not ascend, a value that is not a number ≥ 0.
    """
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise TraceError(f"{path}: {error}") from error
    value_columns = list(frame.columns[1:])
    column = column or next(iter(value_columns), None)
    if column not in value_columns:
        raise TraceError(f"{path}: no column {column!r}; there are {', '.join(value_columns) or 'none'}")
    is_relative = frame.columns[0] == "t_seconds"
    times = _times_seconds(path, frame[frame.columns[0]], is_relative)
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
    if frame[column].notna().sum() != np.isfinite(values).sum() or np.nanmin(values, initial=0.0) < 0:
        raise TraceError(f"{path}: column {column!r} holds something that is not a number ≥ 0")
    return Trace(times, values, is_relative)


def _times_seconds(path: Path, raw: pd.Series, is_relative: bool) -> Floats:
    try:
        numbers = raw if is_relative else pd.to_datetime(raw, utc=True, format="ISO8601").map(pd.Timestamp.timestamp)
        times = np.asarray(numbers, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise TraceError(f"{path}: column {raw.name!r} is not time: {error}") from error
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise TraceError(f"{path}: needs two rows or more, in ascending time")
    return times
