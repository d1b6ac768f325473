"""Demand step by step: which steps are still to be read, and what was read laid on the grid.

Steps start at multiples of their length. Step ``t`` covers ``[t, t + step)`` and is asked for at its end: every query
is evaluated at ``t + step``, looking back. It is complete only once the last scrape inside it has been stored, which
takes a moment: ``settle_seconds``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.domain.bounds import LOAD
from kcloud_autoscale.domain.series import DemandHistory, FloatArray
from kcloud_autoscale.observe.prometheus_response import PrometheusError, Row

# Below Prometheus' own 11,000, which counts both ends.
MAX_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """Steps to be read: ``steps`` of them from ``start_seconds`` on."""

    start_seconds: float
    steps: int
    step_seconds: float

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + self.steps * self.step_seconds

    @property
    def ends(self) -> FloatArray:
        """When each step is evaluated, shape ``(steps,)``."""
        return np.arange(self.steps, dtype=np.float64) * self.step_seconds + self.first_at

    def reaching_back(self, steps: int) -> Span:
        """The same steps after so many earlier ones."""
        return Span(self.start_seconds - steps * self.step_seconds, self.steps + steps, self.step_seconds)

    def part(self, first: int, last: int) -> Span:
        """Steps from ``first`` to ``last``, which is included."""
        return Span(self.start_seconds + first * self.step_seconds, last - first + 1, self.step_seconds)

    @property
    def first_at(self) -> float:
        """When the first step is evaluated: at its end."""
        return self.start_seconds + self.step_seconds

    def chunks(self) -> Iterator[Span]:
        """Parts that one range query can return."""
        for done in range(0, self.steps, MAX_STEPS):
            start = self.start_seconds + done * self.step_seconds
            yield Span(start, min(MAX_STEPS, self.steps - done), self.step_seconds)


def pending(
    since_seconds: float | None,
    now_seconds: float,
    step_seconds: float,
    settle_seconds: float,
    history_seconds: float,
) -> Span | None:
    """The complete steps a workload has not been fed yet; None when there is none.

    Args:
        since_seconds: Up to when it was fed; None for a new one, which gets the whole history. Never more than that:
            what is older would be forgotten at once.
        now_seconds: Unix time.
        step_seconds: Of the grid.
        settle_seconds: How long after its end a step is complete.
        history_seconds: Length of the whole history.
    """
    # A millionth of a step is rounding: 600.0000001 / 60 is still the tenth step.
    end = math.floor((now_seconds - settle_seconds) / step_seconds + 1e-6)
    oldest = end - math.ceil(history_seconds / step_seconds)
    start = oldest if since_seconds is None else max(oldest, math.ceil(since_seconds / step_seconds - 1e-6))
    return Span(start * step_seconds, end - start, step_seconds) if end > start else None


def rate_window_seconds(step_seconds: float, scrape_seconds: float) -> float:
    """How far a rate looks back from the end of a step.

    One scrape more than the step: the samples in it then span just the step, and every request is counted in one step
    and in one only (60 s of 15 s scrapes: 75 s hold five samples, the first and last 60 s apart). A step shorter than
    three scrapes holds too few to tell a rate: then four scrapes are averaged, a trailing mean that smooths the steps
    and lags by half of what it looks back too far.
    """
    return max(step_seconds + scrape_seconds, 4.0 * scrape_seconds)


def on_grid(row: Row | None, span: Span) -> FloatArray:
    """Values per step, shape ``(span.steps,)``; NaN where there is none or it cannot be (negative, infinite, absurd).

    Raises:
        PrometheusError: A sample that lies off the grid that was asked for.
    """
    values = np.full(span.steps, np.nan)
    if row is None or not len(row.times):
        return values
    position = (row.times - span.first_at) / span.step_seconds
    index = np.rint(position).astype(np.int64)
    if np.abs(position - index).max() > 0.01 or index[0] < 0 or index[-1] >= span.steps:
        raise PrometheusError("samples lie off the grid that was asked for")
    known = (row.values >= 0.0) & (row.values <= LOAD.most)
    values[index[known]] = row.values[known]
    return values


def demand_history(values: FloatArray, span: Span, whole: bool) -> DemandHistory | None:
    """A piece for the forecaster; None when a new workload has no known step at all.

    A whole history begins at its first known step: a workload that is an hour old has an hour of history, not two
    weeks of unknown and an hour.
    """
    known = np.flatnonzero(np.isfinite(values))
    if not whole:
        return DemandHistory(span.start_seconds, span.step_seconds, values)
    if not len(known):
        return None
    first = int(known[0])
    return DemandHistory(span.start_seconds + first * span.step_seconds, span.step_seconds, values[first:])
