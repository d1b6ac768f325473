"""Tables on disk, CSV or Parquet, as rows of text: what the cells mean is the reader's business."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kcloud_autoscale.domain.errors import ConfigError

Line = tuple[int, Sequence[str]]
"""Number of the line in the file, for messages, and its cells."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table.

    Attributes:
        header: Names of the columns.
        lines: The rows, read as they are asked for.
        sha256: Of the file's bytes as they are on disk, so that `sha256sum` says the same.
    """

    header: list[str]
    lines: Iterator[Line]
    sha256: str


def read_sheet(path: Path) -> Sheet:
    """Read ``.csv``, ``.csv.gz`` or ``.parquet``, in capitals or not.

    Raises:
        ConfigError: Names the file that cannot be read, and why.
    """
    kind = path.suffix.lower()
    try:
        stored = path.read_bytes()
        raw = gzip.decompress(stored) if kind == ".gz" else stored
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    header, lines = _parquet(path, raw) if kind == ".parquet" else _csv(path, raw)
    return Sheet(header, lines, hashlib.sha256(stored).hexdigest())


def _csv(path: Path, raw: bytes) -> tuple[list[str], Iterator[Line]]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a CSV file: {error}") from error
    lines = _lines(path, text)
    at, names = next(lines, (1, []))
    header = [name.strip() for name in names]
    if not header:
        raise ConfigError(f"{path}: line 1: no header")
    if all(_is_number(name) for name in header):
        raise ConfigError(f"{path}: line {at}: no header, but numbers: {', '.join(header)}")
    return header, _fitting(path, header, lines)


def _fitting(path: Path, header: Sequence[str], lines: Iterator[Line]) -> Iterator[Line]:
    """Lines with no more cells than the header: `2026-01-01,61,5` is a decimal comma, and no demand of 61."""
    for at, cells in lines:
        if len(cells) > len(header):
            raise ConfigError(f"{path}: line {at}: {len(cells)} cells, but the header names {len(header)}")
        yield at, cells


def _lines(path: Path, text: str) -> Iterator[Line]:
    """Lines that are not empty, apart from Excel's ``sep=;``."""
    delimiter, skipped = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            if cells and reader.line_num > skipped:
                yield reader.line_num, cells
    except csv.Error as error:
        raise ConfigError(f"{path}: line {reader.line_num}: not CSV: {error}") from error


def _delimiter(text: str) -> tuple[str, int]:
    """What separates cells, and how many lines only say so (Excel's ``sep=``); semicolons where there is no comma."""
    first = text.partition("\n")[0].strip()
    if first.lower().startswith("sep=") and len(first) == 5:
        return first[4], 1
    return (";" if ";" in first and "," not in first else ","), 0


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _parquet(path: Path, raw: bytes) -> tuple[list[str], Iterator[Line]]:
    try:
        from pyarrow import ArrowException, BufferReader, parquet  # an extra: only who brings Parquet needs it
    except ImportError as error:
        raise ConfigError(f"{path}: Parquet needs the extra: pip install 'kcloud-autoscale[parquet]'") from error
    try:
        table = parquet.read_table(BufferReader(raw))
    except (ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not a Parquet file: {error}") from error
    columns = [table.column(name).to_pylist() for name in table.column_names]
    return list(table.column_names), (
        (line, ["" if cell is None else str(cell) for cell in cells])
        for line, cells in enumerate(zip(*columns, strict=True), start=1)
    )
