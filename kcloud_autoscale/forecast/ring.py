"""The last week of demand of many workloads, one ring of float32 per row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]  # double precision live, single where a warm-up only sums
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
SingleArray = NDArray[np.float32]


def blank_singles(shape: tuple[int, ...]) -> SingleArray:
    """NaN everywhere."""
    return np.full(shape, np.nan, dtype=np.float32)


def untouched_singles(shape: tuple[int, ...]) -> SingleArray:
    """Zeros that take no memory until they are written to."""
    return np.zeros(shape, dtype=np.float32)


class DemandRing:
    """Demand by absolute step: step ``t`` of a row lies in column ``t % length``.

    A gap keeps its forward-filled value with the sign bit set, so one float says both what to assume and that it was
    not seen. NaN means never written.
    """

    def __init__(self, rows: int, length: int, blank: bool = True) -> None:
        """Allocate ``rows`` rings of ``length`` steps, empty if ``blank``, else to be overwritten before use."""
        self.values = blank_singles((rows, length)) if blank else untouched_singles((rows, length))
        self.length = length

    def write(self, rows: IntArray, start: IntArray, filled: FloatArray, known: BoolArray) -> None:
        """Store ``filled`` (rows, steps), seen where ``known``, from step ``start`` (rows,) on."""
        signed = np.where(known, filled, -filled).astype(np.float32)
        for first, last, column in self._pieces(start, filled.shape[1]):
            if isinstance(column, int):
                self.values[rows, column : column + last - first] = signed[:, first:last]
            else:
                self.values[rows[:, None], column] = signed

    def read(self, rows: IntArray, start: IntArray, count: int) -> SingleArray:
        """Signed values (rows, count) from step ``start`` (rows,) on."""
        pieces = self._pieces(start, count)
        if len(pieces) == 1 and not isinstance(pieces[0][2], int):
            return self.values[rows[:, None], pieces[0][2]]
        parts = [self.values[rows, col : col + last - first] for first, last, col in pieces if isinstance(col, int)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def clear(self, rows: IntArray) -> None:
        """Forget everything of these rows."""
        self.values[rows] = np.nan

    def _pieces(self, start: IntArray, count: int) -> list[tuple[int, int, int | IntArray]]:
        """(first, last, column) of contiguous column ranges when all rows share a start, else one index matrix.

        A ring of 10 holding steps 8..11 gives columns 8..9 for the first two and 0..1 for the rest.
        """
        first = int(start[0])
        if not np.all(start == first):
            return [(0, count, (start[:, None] + np.arange(count)) % self.length)]
        column = first % self.length
        until_end = min(count, self.length - column)
        pieces: list[tuple[int, int, int | IntArray]] = [(0, until_end, column)]
        if until_end < count:
            pieces.append((until_end, count, 0))
        return pieces


def sliding_max(values: FloatArray, width: int) -> FloatArray:
    """Largest of each ``width`` neighbours along the last axis; log2(width) passes.

    Two overlapping windows of the largest power of two cover the rest: width 6 is the larger of two windows of 4.
    """
    reach = 1
    result = values
    while reach * 2 <= width:
        result = np.maximum(result[..., :-reach], result[..., reach:])
        reach *= 2
    rest = width - reach
    return np.maximum(result[..., :-rest], result[..., rest:]) if rest else result


def sliding_min(values: FloatArray, width: int) -> FloatArray:
    """Smallest of each ``width`` neighbours along the last axis."""
    reach = 1
    result = values
    while reach * 2 <= width:
        result = np.minimum(result[..., :-reach], result[..., reach:])
        reach *= 2
    rest = width - reach
    return np.minimum(result[..., :-rest], result[..., rest:]) if rest else result


def sliding_mean(values: FloatArray, width: int) -> FloatArray:
    """Mean of each ``width`` neighbours along the last axis; ``width`` is a power of two.

    Sums pairs of pairs in a fixed order, so a value does not depend on how much was computed with it.
    """
    reach = 1
    result = values
    while reach < width:
        result = result[..., :-reach] + result[..., reach:]
        reach *= 2
    return result / width
