"""Demand traces from CSV and Parquet files, onto a regular grid. A gap stays a gap: unknown, never zero.

`kcloud_autoscale.simulate.times` finds the column that tells the time; without one a row is a step. A column
``unique_id`` tells series apart. What cannot be demand (text, negative, infinite) is an error that names file, line and
column; what can be put right (order, duplicates, missing rows) is put right and said, as is what had to be assumed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.simulate.event_log import MOST_STEPS, event_trace, refuse_events
from kcloud_autoscale.simulate.sheet import read_sheet
from kcloud_autoscale.simulate.times import SERIES_COLUMN, cell, is_plausible, time_column
from kcloud_autoscale.simulate.trace_rows import File, Row, Trace

DEFAULT_STEP_SECONDS = 60.0
# 1,200 in quotes, as spreadsheets and Grafana write it; 1,20 is a decimal comma, and refused.
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_UNKNOWN = ("", "nan", "null", "none", "na", "n/a")
# As of an operator (STEP_SECONDS). Forecasters keep a day of steps: 86,400 of a second, 86 million of a millisecond.
LEAST_STEP_SECONDS = 1.0


def read_trace(path: Path, column: str | None = None, step_seconds: float | None = None, events: bool = False) -> Trace:
    """Read one demand column of a file with one series; arguments as for `read_traces`.

    Raises:
        ConfigError: Names file, line and column of what cannot be used.
    """
    found = read_traces(path, column, step_seconds, events=events)
    if len(found) > 1:
        shown = ", ".join(repr(each.name) for each in found[:3])
        raise ConfigError(f"{path}: column {SERIES_COLUMN!r} names {len(found)} series, one is needed: {shown}")
    return found[0]


def read_files(
    paths: Sequence[Path], column: str | None = None, step_seconds: float | None = None, events: bool = False
) -> list[Trace]:
    """Read the series of several files, told apart by their names; arguments as for `read_traces`.

    Two series share a name only where one file is named twice.

    Raises:
        ConfigError: Names file, line and column of what cannot be used.
    """
    found = [
        (label, trace)
        for path, label in zip(paths, _labels(paths), strict=True)
        for trace in read_traces(path, column, step_seconds, label, events)
    ]
    files: dict[str, set[str]] = {}
    for label, trace in found:
        files.setdefault(trace.name, set()).add(label)
    return [
        replace(trace, name=f"{label}:{trace.name}") if len(files[trace.name]) > 1 else trace for label, trace in found
    ]


def read_traces(
    path: Path,
    column: str | None = None,
    step_seconds: float | None = None,
    label: str | None = None,
    events: bool = False,
) -> list[Trace]:
    """Read one demand column; where the file has a column ``unique_id``, each of its values is a series of its own.

    Args:
        path: ``.csv``, ``.csv.gz`` or ``.parquet``.
        column: Name of the demand column; may be left out when there is only one besides the time.
        step_seconds: Spacing wanted, at least `LEAST_STEP_SECONDS`; the file's own unless given. Coarser is averaged,
            finer is held.
        label: Of the file, for names; its own name unless given.
        events: Each row is an event, as a request in a log: the load is the rows of a step, or the sum of ``column``,
            by its seconds.

    Raises:
        ConfigError: Names file, line and column of what cannot be used; a log of events that was not called one.
    """
    check_step(str(path), step_seconds)
    sheet = read_sheet(path)
    header = sheet.header
    id_index = header.index(SERIES_COLUMN) if SERIES_COLUMN in header and column != SERIES_COLUMN else None
    time, lines = time_column(header, sheet.lines, column)
    counted = events and column is None
    value_index = (
        None if counted else _value_column(path, header, column, (None if time is None else time.index, id_index))
    )
    own_name = f"{label or path.name}:{'events' if value_index is None else header[value_index]}"
    series: dict[str, list[Row]] = {}
    for line, cells in lines:
        name = own_name if id_index is None else _series(path, line, cells, id_index)
        at_seconds = None if time is None else time.seconds(path, line, cells)
        value = 1.0 if value_index is None else _value(path, line, header, cells, value_index)
        series.setdefault(name, []).append(Row(line, at_seconds, value))
    if not series:
        raise ConfigError(f"{path}: no rows under the header")
    file = File(path, time, sheet.sha256)
    if events:
        return [event_trace(file, name, rows, step_seconds or DEFAULT_STEP_SECONDS) for name, rows in series.items()]
    return [_on_grid(file, name, rows, step_seconds) for name, rows in series.items()]


def check_step(source: str, step_seconds: float | None) -> None:
    """Raise ConfigError for steps that are too short to be forecast; `source` is whose they are."""
    if step_seconds is not None and step_seconds < LEAST_STEP_SECONDS:
        raise ConfigError(f"{source}: steps of {step_seconds:g} s, must be at least {LEAST_STEP_SECONDS:g} s")


def unknown_steps(demand: FloatArray) -> list[str]:
    """How many steps are unknown, in words; nothing where all are known."""
    unknown = int(np.isnan(demand).sum())
    return [f"{unknown} of {len(demand)} steps have no value and are unknown"] if unknown else []


def _labels(paths: Sequence[Path]) -> list[str]:
    """Names of files, each with as much of its folder as no other file shares: `a/load.csv` beside `b/load.csv`."""
    whole = [(path.parent.resolve() / path.name).parts for path in paths]
    labels = []
    for parts in whole:
        tails = (parts[-count:] for count in range(1, len(parts) + 1))
        own = next(tail for tail in tails if all(each == parts for each in whole if each[-len(tail) :] == tail))
        labels.append(Path(*own).as_posix())
    return labels


def _series(path: Path, line: int, cells: Sequence[str], index: int) -> str:
    """Whose row it is."""
    name = cell(cells, index)
    if not name:
        raise ConfigError(f"{path}: line {line}, column {SERIES_COLUMN!r}: no series is named")
    return name


def _value_column(path: Path, header: Sequence[str], column: str | None, taken: Sequence[int | None]) -> int:
    if column is not None:
        if column not in header:
            raise ConfigError(f"{path}: no column {column!r}; there are {', '.join(map(repr, header))}")
        if header.count(column) > 1:
            raise ConfigError(f"{path}: {header.count(column)} columns are named {column!r}")
        return header.index(column)
    others = [index for index in range(len(header)) if index not in taken]
    if len(others) != 1:
        names = ", ".join(repr(header[index]) for index in others)
        raise ConfigError(f"{path}: name the demand column; there are {names or 'none'}")
    return others[0]


def _value(path: Path, line: int, header: Sequence[str], cells: Sequence[str], index: int) -> float:
    column = header[index]
    text = cell(cells, index)
    if text.lower() in _UNKNOWN:
        return math.nan
    try:
        value = float(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text)
    except ValueError as error:
        raise ConfigError(f"{path}: line {line}, column {column!r}: {text!r} is not a number") from error
    if value < 0.0 or math.isinf(value):
        raise ConfigError(f"{path}: line {line}, column {column!r}: {text} cannot be a demand")
    return value


def _on_grid(file: File, name: str, rows: list[Row], step_seconds: float | None) -> Trace:
    """One series, each row in the step that its time falls into."""
    repairs: list[str] = []
    refuse_events(file, rows)
    at, own = _times(file, rows, step_seconds, repairs)
    values = np.array([row.value for row in rows])
    backwards = np.flatnonzero(np.diff(at) < 0.0)
    if len(backwards):
        repairs.append(
            f"{len(backwards)} rows out of order were sorted, the first at line {rows[backwards[0] + 1].line}"
        )
        order = np.argsort(at, kind="stable")
        at, values, rows = at[order], values[order], [rows[i] for i in order]
    steps = float(at[-1] - at[0]) / own + 1.0
    if steps > min(MOST_STEPS, 1_000 * len(rows) + 1_000):
        raise ConfigError(
            f"{file.path}: line {rows[-1].line}: times span {steps:.0f} steps, but there are {len(rows)} rows"
        )
    slots = np.round((at - at[0]) / own).astype(np.int64)
    demand = _filled(slots, values, rows, repairs)
    repairs += unknown_steps(demand)
    trace = _stepped(Trace(name, float(at[0]), own, demand, file.sha256, tuple(repairs)), step_seconds)
    check_step(name, trace.step_seconds)
    return trace


def _times(file: File, rows: Sequence[Row], step_seconds: float | None, repairs: list[str]) -> tuple[FloatArray, float]:
    """Unix time of each row, or seconds from the start, and the spacing; what had to be assumed of both is said.

    Without times a row is a step. Where rows are numbered the numbers say which, unless they count seconds.
    """
    column, assumed = file.time, step_seconds or DEFAULT_STEP_SECONDS
    if column is None:
        told = f"steps of {assumed:g} s assumed" if step_seconds is None else f"each row is a step of {assumed:g} s"
        repairs.append(f"no time column: {told}")
        return np.arange(len(rows), dtype=np.float64) * assumed, assumed
    at = np.array([row.at_seconds for row in rows], dtype=np.float64)
    gaps = np.diff(np.sort(at))
    relative = column.counts and not is_plausible(float(at[0]))
    if relative and _usual(gaps) <= 1.0:
        if step_seconds is None:
            repairs.append(f"column {column.name!r} numbers the steps: steps of {assumed:g} s assumed")
        return at * assumed, assumed
    own = _usual(gaps[gaps > 0.0]) if (gaps > 0.0).any() else DEFAULT_STEP_SECONDS
    if relative or column.guessed:
        unit = "seconds" if relative else "Unix times"
        repairs.append(f"column {column.name!r} was taken for {unit}: steps of {own:g} s")
    return at, own


def _usual(gaps: FloatArray) -> float:
    """The middle one; the smaller of two, so that one wild time in three rows does not set the step."""
    return float(np.sort(gaps)[(len(gaps) - 1) // 2]) if len(gaps) else 0.0


def _filled(slots: np.ndarray, values: FloatArray, rows: list[Row], repairs: list[str]) -> FloatArray:
    """Values on the grid; the mean of several in one step, NaN where there is none."""
    twice = np.flatnonzero(np.diff(slots) == 0)
    if len(twice):
        repairs.append(f"{len(twice)} duplicate times were averaged, the first at line {rows[twice[0] + 1].line}")
    known = np.isfinite(values)
    total = np.bincount(slots[known], values[known], minlength=int(slots[-1]) + 1)
    count = np.bincount(slots[known], minlength=int(slots[-1]) + 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, total / count, np.nan))


def _stepped(trace: Trace, step_seconds: float | None) -> Trace:
    """The trace at another spacing: averaged when coarser, each row held when finer."""
    own = trace.step_seconds
    if step_seconds is None or math.isclose(step_seconds, own):
        return trace
    ratio = step_seconds / own if step_seconds > own else own / step_seconds
    if not math.isclose(ratio, round(ratio)):
        raise ConfigError(f"{trace.name}: its rows are {own:g} s apart, which {step_seconds:g} s steps do not fit")
    times = round(ratio)
    if step_seconds < own:
        if len(trace.demand) * times > MOST_STEPS:
            steps = f"{len(trace.demand) * times} steps of {step_seconds:g} s"
            raise ConfigError(f"{trace.name}: {len(trace.demand)} rows make {steps}, at most {MOST_STEPS} can be used")
        demand = np.repeat(trace.demand, times)
        said = f"each row of {own:g} s was held for {times} steps of {step_seconds:g} s"
    else:
        if times > len(trace.demand):
            rows = f"{len(trace.demand)} rows of {own:g} s"
            raise ConfigError(f"{trace.name}: {rows} are less than one step of {step_seconds:g} s")
        padded = np.append(trace.demand, np.full(-len(trace.demand) % times, np.nan)).reshape(-1, times)
        known = np.isfinite(padded)
        with np.errstate(invalid="ignore"):
            demand = np.where(known.any(axis=1), np.nansum(padded, axis=1) / known.sum(axis=1), np.nan)
        said = f"{times} rows of {own:g} s were averaged into each step of {step_seconds:g} s"
    return Trace(trace.name, trace.start_seconds, step_seconds, demand, trace.sha256, (*trace.repairs, said))
