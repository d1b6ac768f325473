"""Which column of a table tells the time, and what its cells say.

A column of a known name does. Without one, the first column does when its cells are ISO 8601, or Unix times that never
fall and lie between 1990 and 2100: a load of a billion bytes per second looks like one, but falls now and then. A
series' name and a row number before it do not count as the first column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.simulate.sheet import Line

SERIES_COLUMN = "unique_id"
_TIME_NAMES = ("timestamp", "time", "datetime", "date", "ds", "t_seconds", "seconds", "unix", "epoch")
_INDEX_NAMES = ("t", "step", "index", "")
_MILLISECONDS_FROM = 1e11  # 1973 in milliseconds, the year 5138 in seconds
_FARTHEST_SECONDS = 6e10  # nineteen centuries on: what a calendar can still name
_PLAUSIBLE_SECONDS = (631_152_000.0, 4_102_444_800.0)  # 1990 to 2100


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Where the time of a row stands.

    Attributes:
        index: Of the column.
        name: Its header.
        counts: It may number the steps (0, 1, 2, …) instead.
        guessed: Its numbers were taken for Unix times though its name does not say so.
    """

    index: int
    name: str
    counts: bool = False
    guessed: bool = False

    def seconds(self, path: Path, line: int, cells: Sequence[str]) -> float:
        """Unix time of a row, or its seconds from the start, or its number; ISO times without a zone are UTC.

        Raises:
            ConfigError: Names file, line and column of what is no time, or one before 1970.
        """
        text = cell(cells, self.index)
        number = _number(text)
        seconds = _iso(text) if number is None else number
        if seconds is None or not (number is None or abs(number) < _FARTHEST_SECONDS):
            raise ConfigError(f"{path}: line {line}, column {self.name!r}: {text!r} is not a time")
        if seconds < 0.0:
            # Forecasters count steps from 1970, where a negative count means that nothing is known yet.
            raise ConfigError(f"{path}: line {line}, column {self.name!r}: {text!r} is before 1970")
        return seconds


def time_column(
    header: Sequence[str], lines: Iterator[Line], column: str | None
) -> tuple[TimeColumn | None, Iterator[Line]]:
    """The column that tells the time, None where none does; and all the lines, some of which were looked at.

    Args:
        header: Names of the columns.
        lines: The rows.
        column: Name of the demand column, which tells no time; None where it was not named.
    """
    for index, name in enumerate(header):
        if name != column and name.lower() in _TIME_NAMES:
            return TimeColumn(index, name), lines
    others = [index for index, name in enumerate(header) if name == column or not _beside(name)]
    # One column has to be left for the demand.
    if len(others) > 1 and header[others[0]] != column:
        found, lines = _guess(header, lines, others[0])
        if found is not None:
            return found, lines
    if len(header) > 1 and header[0] != column and header[0].lower() in _INDEX_NAMES:
        return TimeColumn(0, header[0], counts=True), lines
    return None, lines


def is_plausible(seconds: float) -> bool:
    """Whether it is a Unix time that demand may have been measured at, and no counter."""
    return _PLAUSIBLE_SECONDS[0] <= seconds <= _PLAUSIBLE_SECONDS[1]


def cell(cells: Sequence[str], index: int) -> str:
    """What stands in a column, without blanks around; nothing where the row is too short."""
    return cells[index].strip() if index < len(cells) else ""


def _beside(name: str) -> bool:
    """Whether a column only says whose row it is, or which."""
    return name == SERIES_COLUMN or name.lower() in _INDEX_NAMES


def _guess(header: Sequence[str], lines: Iterator[Line], index: int) -> tuple[TimeColumn | None, Iterator[Line]]:
    """The column, where its cells look like times: one ISO time is enough, of numbers all are looked at."""
    first = next(lines, None)
    if first is None:
        return None, lines
    lines = chain((first,), lines)
    text = cell(first[1], index)
    number = _number(text)
    if number is None:
        return None if _iso(text) is None else TimeColumn(index, header[index]), lines
    if not is_plausible(number):
        return None, lines
    kept = list(lines)
    series = header.index(SERIES_COLUMN) if SERIES_COLUMN in header else None
    return TimeColumn(index, header[index], guessed=True) if _rise(kept, index, series) else None, iter(kept)


def _rise(lines: Sequence[Line], index: int, series: int | None) -> bool:
    """Whether all cells are plausible Unix times which, within a series, rise and never fall."""
    latest: dict[str, float] = {}
    rose = False
    for _, cells in lines:
        seconds = _number(cell(cells, index))
        name = "" if series is None else cell(cells, series)
        before = latest.get(name, seconds)
        if seconds is None or before is None or not before <= seconds or not is_plausible(seconds):
            return False
        rose = rose or seconds > before
        latest[name] = seconds
    return rose


def _number(text: str) -> float | None:
    """Seconds where it is a number, of milliseconds too."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number / 1_000.0 if abs(number) >= _MILLISECONDS_FROM else number


def _iso(text: str) -> float | None:
    """Unix seconds where it is ISO 8601."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
