"""Logs of events, as of requests: many rows at one instant, or rows at instants of their own, are no level of demand.

Averaged as if they were, a log of 17,254 tokens per second reads as 1,520: rows of one second are averaged instead of
added. So a log is refused by name, unless it is called one: then its rows are counted, or a column is summed, per step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.simulate.trace_rows import File, Row, Trace

# A few times that come twice are an accident of an export; a tenth of the rows is how a log looks.
MOST_REPEATED_FRACTION = 0.1
LEAST_REPEATED = 3
# Samples that are taken at intervals lie near multiples of the interval, however late each is.
LEAST_REGULAR_FRACTION = 0.5
_NEAR_FRACTION = 0.25
# Of too few rows nothing can be said.
LEAST_ROWS = 20
# A typo in one timestamp must not ask for a billion steps.
MOST_STEPS = 20_000_000


def refuse_events(file: File, rows: Sequence[Row]) -> None:
    """Raise ConfigError where the rows are events, and not samples of a level."""
    if file.time is None:
        return
    at = _times(rows)
    gaps = np.diff(np.sort(at))
    repeated = int((gaps == 0.0).sum())
    advice = "as in a log of events: count them per step with --events (with --column NAME: its sum)"
    if repeated >= LEAST_REPEATED and repeated > MOST_REPEATED_FRACTION * len(rows):
        times = f"have the time of another (column {file.time.name!r})"
        raise ConfigError(f"{file.path}: {repeated} of {len(rows)} rows {times}, {advice}")
    if len(rows) >= LEAST_ROWS and not _regular(gaps):
        raise ConfigError(
            f"{file.path}: the {len(rows)} rows are at no regular interval (column {file.time.name!r}), {advice}"
        )


def _regular(gaps: FloatArray) -> bool:
    """Whether most rows are about whole intervals apart."""
    usual = float(np.median(gaps))
    if usual <= 0.0:
        return False
    intervals = gaps / usual
    near = np.abs(intervals - np.round(intervals)) <= _NEAR_FRACTION
    return bool(np.mean(near & (intervals > 0.5)) >= LEAST_REGULAR_FRACTION)


def event_trace(file: File, name: str, rows: Sequence[Row], step_seconds: float) -> Trace:
    """Rows, or their values, per second of each step; a step without rows had no load.

    The first step begins at a whole multiple of its length, and the last, which the log may have cut, is left out where
    there are others.

    Raises:
        ConfigError: The rows have no times, or span more steps than can be used.
    """
    if file.time is None:
        raise ConfigError(f"{file.path}: events need a column that tells their time")
    at, values = _times(rows), np.array([row.value for row in rows])
    if np.isnan(values).any():
        line = rows[int(np.flatnonzero(np.isnan(values))[0])].line
        raise ConfigError(f"{file.path}: line {line}: an event without a value cannot be summed")
    start = np.floor(at.min() / step_seconds) * step_seconds
    slots = ((at - start) // step_seconds).astype(np.int64)
    steps = int(slots.max()) + 1
    if steps > MOST_STEPS:
        raise ConfigError(f"{file.path}: the events span {steps} steps of {step_seconds:g} s, at most {MOST_STEPS}")
    totals = np.bincount(slots, values, minlength=steps)
    kept = totals[:-1] if steps > 1 else totals
    what = "events" if bool((values == 1.0).all()) else "values of events"
    said = f"{len(rows)} {what} were added up in steps of {step_seconds:g} s"
    return Trace(name, float(start), step_seconds, kept / step_seconds, file.sha256, (said,))


def _times(rows: Sequence[Row]) -> FloatArray:
    return np.array([row.at_seconds for row in rows], dtype=np.float64)
