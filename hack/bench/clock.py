"""Two clocks: the wall's, which users wait by, and the processor's, which neighbours on the machine do not move."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

Spent = tuple[float, float]
"""Seconds of wall time, and of processor time of all threads."""


def started() -> Spent:
    """Both clocks now."""
    return time.perf_counter(), time.process_time()


def spent_since(began: Spent) -> Spent:
    """What has passed on both."""
    return time.perf_counter() - began[0], time.process_time() - began[1]


def timed(work: Callable[[], object]) -> Spent:
    """What one piece of work takes."""
    began = started()
    work()
    return spent_since(began)


def quantile(spent: list[Spent], level: float) -> Spent:
    """A quantile of each clock by itself."""
    wall, processor = np.quantile(np.array(spent), level, axis=0)
    return float(wall), float(processor)
