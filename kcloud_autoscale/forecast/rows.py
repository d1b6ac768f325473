"""The state of the workloads of one panel, one array per quantity, one row per workload."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from kcloud_autoscale.forecast.features import AVERAGE_HALF_LIVES_SECONDS, NAMES
from kcloud_autoscale.forecast.priors import Prior
from kcloud_autoscale.forecast.recurrence import fit_width
from kcloud_autoscale.forecast.ring import (
    BoolArray,
    DemandRing,
    FloatArray,
    IntArray,
    SingleArray,
    blank_singles,
    untouched_singles,
)
from kcloud_autoscale.forecast.settings import EXPERTS, LEVELS, Grid


@dataclass(slots=True, eq=False)
class Learned:
    """What a workload carries from step to step and from refresh to refresh; first axis is the row.

    Attributes:
        clock: Absolute index of the last step taken.
        born: Absolute index of the first known step; -1 while nothing is known.
        folded: Last origin the statistics have learned from.
        phase: Refreshes happen when ``(clock + phase) % refresh == 0``.
        known: Steps with demand.
        gap: Steps since the last one with demand.
        last: Last known demand, load per second.
        largest: Largest demand ever, load per second.
        floor: Added before the logarithm, load per second.
        averages: Exponential averages of demand.
        fast, slow: (sum, weight) of absolute log changes over half an hour and a day.
        gram, moment: Ridge statistics with forgetting.
        short, full, scaled: Ridge coefficients over the local features, and over all with either penalty.
        residuals: (experts, window) of past errors in units of the spread.
        outcomes: (window,) of normal scores at which past peaks fell on the curve the experts agreed on.
        readings: (levels, levels) that read that curve where the levels were met.
        offsets: (experts, levels) that calibrate each expert.
        losses, loss_weight: Decayed pinball sums behind the expert weights.
        weights: (experts, levels).
        scores: Decayed sums per level: pinball of the ensemble and of last value, covered, absolute error of the
            ensemble and of plain last value.
        score_weight: Behind ``scores``.
        points: (experts,) at the clock; log demand.
        spread: Volatility at the clock.
        quantiles: (levels,) at the clock; load per second.
        fit: What the model that was asked for goes on by, packed; zeros while it is silent, empty where nobody asked.
        next_fit: What it goes on by from the next refresh on.
        next_cutoff: Last step that ``next_fit`` knows; -1 without one.
        fit_due: Last step that the fit now due may know; -1 where none is.
    """

    clock: IntArray
    born: IntArray
    folded: IntArray
    phase: IntArray
    known: IntArray
    gap: IntArray
    last: FloatArray
    largest: FloatArray
    floor: FloatArray
    averages: FloatArray
    fast: FloatArray
    slow: FloatArray
    gram: FloatArray
    moment: FloatArray
    short: FloatArray
    full: FloatArray
    scaled: FloatArray
    residuals: SingleArray
    outcomes: SingleArray
    readings: FloatArray
    offsets: FloatArray
    losses: FloatArray
    loss_weight: FloatArray
    weights: FloatArray
    scores: FloatArray
    score_weight: FloatArray
    points: FloatArray
    spread: FloatArray
    quantiles: FloatArray
    fit: SingleArray
    next_fit: SingleArray
    next_cutoff: IntArray
    fit_due: IntArray

    def copy_rows(self, rows: IntArray, source: Learned, source_rows: IntArray) -> None:
        """Take over rows of another panel of the same horizon and step."""
        for each in fields(self):
            getattr(self, each.name)[rows] = getattr(source, each.name)[source_rows]


def learned_rows(count: int, grid: Grid, prior: Prior, hedge_rate: float, blank: bool = True) -> Learned:
    """``count`` rows that know nothing but the prior; the windows are only filled with NaN if ``blank``.

    They have as many experts as the prior. One beyond the built-in ones is silent.
    """
    window = blank_singles if blank else untouched_singles
    experts, levels, features = len(prior.relative_losses), len(LEVELS), len(NAMES)
    weights = np.zeros((experts, levels))
    weights[: len(EXPERTS)] = prior.weights(hedge_rate)
    width = fit_width(grid.day) if experts > len(EXPERTS) else 0
    return Learned(
        clock=np.full(count, -1, dtype=np.int64),
        born=np.full(count, -1, dtype=np.int64),
        folded=np.full(count, -1, dtype=np.int64),
        phase=np.zeros(count, dtype=np.int64),
        known=np.zeros(count, dtype=np.int64),
        gap=np.zeros(count, dtype=np.int64),
        last=np.zeros(count),
        largest=np.zeros(count),
        floor=np.ones(count),
        averages=np.zeros((count, len(AVERAGE_HALF_LIVES_SECONDS))),
        fast=np.tile(np.array([prior.volatility * prior.volatility_steps, prior.volatility_steps]), (count, 1)),
        slow=np.tile(np.array([prior.volatility * prior.volatility_steps, prior.volatility_steps]), (count, 1)),
        gram=np.zeros((count, features, features)),
        moment=np.zeros((count, features)),
        short=np.tile(prior.short, (count, 1)),
        full=np.tile(prior.full, (count, 1)),
        scaled=np.tile(prior.full, (count, 1)),
        residuals=window((count, experts, grid.residuals)),
        outcomes=window((count, grid.residuals)),
        readings=np.tile(np.eye(levels), (count, 1, 1)),
        offsets=np.tile(prior.offsets, (count, 1, 1)),
        losses=np.zeros((count, experts, levels)),
        loss_weight=np.zeros(count),
        weights=np.tile(weights, (count, 1, 1)),
        scores=np.zeros((count, 5, levels)),
        score_weight=np.zeros(count),
        points=np.zeros((count, experts)),
        spread=np.zeros(count),
        quantiles=np.zeros((count, levels)),
        fit=untouched_singles((count, width)),
        next_fit=untouched_singles((count, width)),
        next_cutoff=np.full(count, -1, dtype=np.int64),
        fit_due=np.full(count, -1, dtype=np.int64),
    )


class PendingOrigins:
    """What was said at the last origins, kept until their windows have been seen; a ring by absolute step."""

    def __init__(self, rows: int, length: int, experts: int) -> None:
        """Allocate for ``rows`` workloads and ``length`` origins each."""
        self.length = length
        self._widths = (len(NAMES), experts, 1, len(LEVELS), len(LEVELS), 1)
        self.values: SingleArray = np.zeros((rows, length, sum(self._widths)), dtype=np.float32)

    def write(self, rows: IntArray, start: IntArray, parts: tuple[FloatArray | BoolArray, ...]) -> None:
        """Store (features, points, spread, curve, quantiles, learnable), each (rows, steps, width), at ``start``."""
        steps = parts[0].shape[1]
        columns = (start[:, None] + np.arange(steps)) % self.length
        packed = np.empty((len(rows), steps, self.values.shape[2]), dtype=np.float32)
        at = 0
        for part, width in zip(parts, self._widths, strict=True):
            packed[:, :, at : at + width] = part
            at += width
        self.values[rows[:, None], columns] = packed

    def read(self, rows: IntArray, start: IntArray, count: int) -> list[FloatArray]:
        """The parts of origins ``start .. start + count - 1``, in double precision."""
        columns = (start[:, None] + np.arange(count)) % self.length
        packed = self.values[rows[:, None], columns].astype(np.float64)
        bounds = np.cumsum(self._widths)[:-1]
        return np.split(packed, bounds, axis=2)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Everything that is kept of the workloads of one panel."""

    learned: Learned
    ring: DemandRing
    pending: PendingOrigins


def transplant(target: Rows, rows: IntArray, source: Rows, source_rows: IntArray) -> None:
    """Move rows between panels that differ in nothing but how often they refresh."""
    target.learned.copy_rows(rows, source.learned, source_rows)
    clock = source.learned.clock[source_rows]
    _copy_latest(target.ring.values, rows, source.ring.values, source_rows, clock)
    _copy_latest(target.pending.values, rows, source.pending.values, source_rows, clock)


def _copy_latest(
    target: SingleArray, rows: IntArray, source: SingleArray, source_rows: IntArray, clock: IntArray
) -> None:
    """Of two rings (rows, steps, …), as many of the latest steps up to ``clock`` as both can hold."""
    count = min(source.shape[1], target.shape[1])
    steps = (clock - (count - 1))[:, None] + np.arange(count)
    target[rows[:, None], steps % target.shape[1]] = source[source_rows[:, None], steps % source.shape[1]]
