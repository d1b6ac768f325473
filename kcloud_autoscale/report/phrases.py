"""Numbers and times as people say them, and lines that fit a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

from kcloud_autoscale.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

WIDTH = 100
_MINUTE = 60.0


def duration(seconds: float) -> str:
    """A time span in one unit: 45 s, 12 min, 3.5 h, 9.0 days."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * SECONDS_PER_HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * SECONDS_PER_DAY:
        return f"{seconds / SECONDS_PER_HOUR:.1f} h"
    return f"{seconds / SECONDS_PER_DAY:.1f} days"


def amount(value: float, decimals: int) -> str:
    """A number with its decimals, or two digits where these would show less: 1,234.5, but 0.0031 instead of 0.0."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.{decimals}f}" if value == 0.0 or abs(value) >= 10.0 ** (1 - decimals) else f"{value:.2g}"


def share(fraction: float, decimals: int) -> str:
    """A fraction in percent, as `amount` writes it."""
    return f"{amount(100.0 * fraction, decimals)}%" if math.isfinite(fraction) else "–"


def age(moment: datetime, now_seconds: float) -> float:
    """Seconds from a moment to now; never negative, though clocks differ."""
    return max(0.0, now_seconds - moment.timestamp())


def clock(moment: datetime) -> str:
    """A moment as logs and `kubectl` write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def replicas(count: int) -> str:
    """A count with its noun."""
    return f"{count} replica" if count == 1 else f"{count} replicas"


def folded(text: str, indent: str = "  ", hang: str = "  ") -> list[str]:
    """A paragraph in lines of at most `WIDTH`; words that are longer (queries, names) are never cut."""
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows with aligned columns; the last column is folded under itself."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines: list[str] = []
    for *cells, last in rows:
        head = indent + "".join(cell.ljust(width) + "  " for cell, width in zip(cells, widths, strict=True))
        first, *rest = _narrow(last, WIDTH - len(head)) or [""]
        lines += [(head + first).rstrip(), *(" " * len(head) + line for line in rest)]
    return lines


def _narrow(text: str, width: int) -> list[str]:
    words = " ".join(text.split())
    return textwrap.wrap(words, max(width, 30), break_long_words=False, break_on_hyphens=False)
