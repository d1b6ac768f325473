"""What a bench found: printed, and kept in out/ as text and CSV."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

OUT = Path("out")


@dataclass(slots=True)
class Table:
    """Rows of text under a head; the first column is flush left."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]] = field(default_factory=list)

    def text(self) -> str:
        """As printed."""
        widths = [max(len(row[column]) for row in (self.head, *self.rows)) for column in range(len(self.head))]
        lines = [self.title, _line(self.head, widths), _line(["-" * width for width in widths], widths)]
        return "\n".join([*lines, *(_line(row, widths) for row in self.rows)])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def publish(name: str, tables: Sequence[Table], notes: Sequence[str] = ()) -> None:
    """Print the tables and write ``out/<name>.txt`` and one CSV per table."""
    OUT.mkdir(exist_ok=True)
    text = "\n\n".join([*(table.text() for table in tables), *(["\n".join(notes)] if notes else [])])
    print(text)
    (OUT / f"{name}.txt").write_text(f"{_machine()}\n\n{text}\n", encoding="utf-8")
    for number, table in enumerate(tables, 1):
        path = OUT / (f"{name}.csv" if number == 1 else f"{name}-{number}.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([table.head, *table.rows])


def _machine() -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{now}, Python {platform.python_version()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
