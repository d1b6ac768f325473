"""Workloads that share a step and a horizon, learned and forecast together.

There are two moments. *Advance* takes steps in: averages, features, points and quantiles at every new origin, with
parameters that do not change. *Refresh* looks back at the origins whose windows have been seen since the last one:
statistics, coefficients, offsets, weights. Every workload refreshes at its own fixed phase, so one step at a time and
a month at a time give the same numbers: only the size of the arrays differs.
"""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast import intervals
from kcloud_autoscale.forecast.boosted import Boosted, boosted_rows, say_of_the_model
from kcloud_autoscale.forecast.features import (
    AVERAGE_HALF_LIVES_SECONDS,
    LOCAL_NAMES,
    Block,
    Origins,
    Recursions,
    feature_block,
)
from kcloud_autoscale.forecast.priors import Prior
from kcloud_autoscale.forecast.recurrence import LAGS, forecast_peaks
from kcloud_autoscale.forecast.ring import BoolArray, DemandRing, FloatArray, IntArray
from kcloud_autoscale.forecast.rows import Learned, PendingOrigins, Rows, learned_rows
from kcloud_autoscale.forecast.settings import DAY_SECONDS, EXPERTS, FleetSettings, Grid

LARGEST_DEMAND = 1e30
LEAST_FLOOR = 1e-30
"""Bounds that keep demand and its logarithm within single precision; no load per second comes near them."""
FAST_HALF_LIFE_SECONDS = 1_800.0
FILTER_STEPS = 64
LOCAL = len(LOCAL_NAMES)


class Panel:
    """A fixed number of rows for workloads of one step length and one horizon."""

    def __init__(
        self,
        rows: int,
        grid: Grid,
        settings: FleetSettings,
        prior: Prior,
        boosted: Boosted | None = None,
        blank: bool = True,
        model: str | None = None,
    ) -> None:
        """Allocate ``rows`` rows that know nothing but the prior and what the global model says.

        All of them asked for ``model``, or none for any: it is one more expert, silent until a fit comes.

        With ``blank`` False the large arrays take no memory until a row is moved in, which overwrites all of it.
        """
        self.grid, self.settings, self.boosted, self.model = grid, settings, boosted, model
        self.prior = prior if model is None else prior.with_asked()
        self.experts = len(self.prior.relative_losses)
        self.state: Learned = learned_rows(rows, grid, self.prior, settings.hedge_rate, blank)
        self.ring = DemandRing(rows, grid.ring, blank)
        self.pending = PendingOrigins(rows, grid.pending, self.experts)
        self._decays = np.exp2(-grid.step_seconds / np.array(AVERAGE_HALF_LIVES_SECONDS))
        self._fast_decay = float(np.exp2(-grid.step_seconds / FAST_HALF_LIFE_SECONDS))
        self._slow_decay = float(np.exp2(-grid.step_seconds / DAY_SECONDS))
        self.fold_decay = float(np.exp2(-grid.step_seconds / settings.half_life_seconds))
        self.hedge_decay = float(np.exp2(-grid.step_seconds / settings.hedge_half_life_seconds))

    @property
    def rows(self) -> Rows:
        """All rows, to be moved into another panel."""
        return Rows(self.state, self.ring, self.pending)

    def due(self, rows: IntArray) -> BoolArray:
        """Which rows are to be refreshed at the clock they stand at.

        A young workload refreshes eight times as often: half an hour is long when there is only one.
        """
        return np.asarray(self.steps_until_due(rows, self.state.clock[rows]) == 0)

    def steps_until_due(self, rows: IntArray, clock: IntArray) -> IntArray:
        """Steps from ``clock`` to the next refresh at or after it."""
        state, refresh = self.state, self.grid.refresh
        young = max(1, refresh // 8)
        quick = -(clock + state.phase[rows]) % young
        regular = -(clock + state.phase[rows]) % refresh
        return np.where(clock + quick - state.born[rows] < 4 * refresh, quick, regular)

    def give_birth(self, rows: IntArray, start: IntArray, demand: FloatArray) -> None:
        """Begin rows at absolute step ``start`` with their first known ``demand``; the step itself is not yet taken."""
        state, recent = self.state, self.grid.recent
        state.clock[rows], state.born[rows] = start - 1, start
        state.folded[rows] = start - 1
        state.last[rows] = demand
        state.largest[rows] = demand
        state.floor[rows] = np.where(demand > 0, np.maximum(0.02 * demand, LEAST_FLOOR), 1.0)
        state.averages[rows] = demand[:, None]
        past = np.repeat(demand[:, None], recent, axis=1)
        self.ring.write(rows, start - recent, past, np.zeros_like(past, dtype=np.bool_))

    def advance(self, rows: IntArray, demand: FloatArray) -> FloatArray:
        """Take the next steps of born rows; never past a refresh.

        Args:
            rows: Shape (rows,).
            demand: Shape (rows, steps), load per second, NaN where unknown.

        Returns:
            Quantiles (rows, steps, levels) of the peak of the window after each step, load per second.
        """
        state = self.state
        start, steps = state.clock[rows] + 1, demand.shape[1]
        cleaned = clean(demand)
        known = np.isfinite(cleaned)
        filled = forward_fill(cleaned, state.last[rows])
        self.ring.write(rows, start, filled, known)
        filled = filled.astype(np.float32).astype(np.float64)  # what the ring remembers is what everything rests on
        carried = self.recursions(rows, filled, known)
        largest = np.maximum.accumulate(np.maximum(filled, state.largest[rows][:, None]), axis=1)
        origins = Origins(self.grid, self.ring, rows, start, steps, state.floor[rows][:, None])
        block = feature_block(origins, carried)
        spread = intervals.spread_of(carried.fast, carried.slow)
        points = self._points(origins, block, largest)
        curve = self._with_model(rows, start, block, spread, self._curve(rows, points, spread))
        quantiles = self._quantiles(rows, curve, largest)
        parts = (np.swapaxes(block.values, 1, 2), points, spread[:, :, None], curve, quantiles, known[:, :, None])
        self.pending.write(rows, start, parts)
        state.points[rows], state.spread[rows] = points[:, -1], spread[:, -1]
        state.quantiles[rows] = quantiles[:, -1]
        state.clock[rows] += steps
        state.known[rows] += known.sum(axis=1)
        since = steps - 1 - np.max(np.where(known, np.arange(steps), -1), axis=1)
        state.gap[rows] = np.where(known.any(axis=1), since, state.gap[rows] + steps)
        state.last[rows], state.largest[rows] = filled[:, -1], largest[:, -1]
        return quantiles

    def recursions(self, rows: IntArray, filled: FloatArray, known: BoolArray) -> Recursions:
        """Carry the exponential averages over a block and leave their last values in the state."""
        state, kind = self.state, filled.dtype
        averages = np.empty((len(self._decays), *filled.shape), dtype=kind)
        for index, decay in enumerate(self._decays):
            averages[index] = _decayed(filled * kind.type(1.0 - decay), state.averages[rows, index], float(decay))
        logs = np.log(
            np.concatenate([state.last[rows][:, None], filled], axis=1, dtype=kind)
            + state.floor[rows][:, None].astype(kind)
        )
        change = np.where(known, np.abs(np.diff(logs, axis=1)), kind.type(0.0))
        volatility = []
        for store, decay in ((state.fast, self._fast_decay), (state.slow, self._slow_decay)):
            total = _decayed(change, store[rows, 0], decay)
            weight = _decayed(known.astype(kind), store[rows, 1], decay)
            store[rows, 0], store[rows, 1] = total[:, -1], weight[:, -1]
            volatility.append(total / np.maximum(weight, kind.type(1e-9)))
        state.averages[rows] = averages[:, :, -1].T
        return Recursions(averages, volatility[0], volatility[1])

    def _points(self, origins: Origins, block: Block, largest: FloatArray) -> FloatArray:
        """What each expert says (rows, steps, experts), log demand, within what has been seen."""
        state, rows = self.state, origins.rows
        points = np.empty((*block.present.shape, self.experts))
        points[:, :, 0] = block.present
        points[:, :, 1] = block.smoothed
        points[:, :, 2] = block.yesterday
        points[:, :, 3] = block.present + _weighted_sum(state.short[rows], block.values[:, :LOCAL])
        points[:, :, 4] = block.present + _weighted_sum(state.full[rows], block.values)
        points[:, :, 5] = block.present + _weighted_sum(state.scaled[rows], block.values)
        if self.model is not None:
            said = forecast_peaks(state.fit[rows], origins.demand(LAGS - 1, 0), origins.start, self.grid.horizon)
            points[:, :, len(EXPERTS)] = np.where(np.isfinite(said), origins.log(said), block.present)
        floor = state.floor[rows][:, None]
        high = np.log(self.settings.growth_limit * largest + floor)
        return np.clip(points, np.log(floor)[:, :, None], high[:, :, None])

    def _curve(self, rows: IntArray, points: FloatArray, spread: FloatArray) -> FloatArray:
        """The experts' own quantiles, mixed in logarithms: (rows, steps, levels), log demand."""
        state = self.state
        width = np.einsum("nek,nek->nk", state.offsets[rows], state.weights[rows])
        curve = points @ state.weights[rows] + spread[:, :, None] * width[:, None, :]
        return rising(curve)

    def _with_model(
        self, rows: IntArray, start: IntArray, block: Block, spread: FloatArray, curve: FloatArray
    ) -> FloatArray:
        """The same curve, with the global model's part in it at origins of young workloads."""
        if self.boosted is None:
            return curve
        age = start[:, None] + np.arange(spread.shape[1]) - self.state.born[rows][:, None] + 1
        share = say_of_the_model(age * self.grid.step_seconds)
        series, step = np.nonzero(share > 0)
        if len(series):
            features = block.values[series, :, step]
            looked_at = boosted_rows(features, spread[series, step], age[series, step], self.grid)
            said = self.boosted.curve(looked_at, block.present[series, step], spread[series, step])
            part = share[series, step][:, None]
            curve[series, step] = part * said + (1.0 - part) * curve[series, step]
        return curve

    def _quantiles(self, rows: IntArray, curve: FloatArray, largest: FloatArray) -> FloatArray:
        """The curve read where its levels were met of late: (rows, steps, levels), load per second."""
        logs = np.minimum(curve @ self.state.readings[rows], 80.0)
        high = (self.settings.growth_limit * largest)[:, :, None]
        demand = np.exp(logs) - self.state.floor[rows][:, None, None]
        return rising(np.clip(demand, 0.0, high))


def clean(demand: FloatArray) -> FloatArray:
    """Demand with NaN for everything that cannot be one: infinite, negative, not a number."""
    with np.errstate(invalid="ignore"):
        possible = np.isfinite(demand) & (demand >= 0)
    return np.where(possible, np.minimum(demand, LARGEST_DEMAND), np.nan)


def forward_fill(values: FloatArray, before: FloatArray) -> FloatArray:
    """Carry the last known value over NaN; ``before`` (rows,) stands in front."""
    if not np.isnan(values).any():
        return values
    padded = np.concatenate([before[:, None], values], axis=1)
    index = np.maximum.accumulate(np.where(np.isnan(padded), 0, np.arange(padded.shape[1])), axis=1)
    return np.take_along_axis(padded, index, axis=1)[:, 1:]


def _decayed(values: FloatArray, before: FloatArray, decay: float) -> FloatArray:
    """``out[t] = decay * out[t-1] + values[t]`` along axis 1 from ``before`` (rows,), as precise as ``values``.

    Doubling: after passes of 1, 2, 4, … steps each entry is the decayed sum of all before it. Pieces of 64 steps stay
    in cache and need six passes.
    """
    out = np.array(values)
    previous = before.astype(values.dtype)
    for at in range(0, values.shape[1], FILTER_STEPS):
        piece = out[:, at : at + FILTER_STEPS]
        piece[:, 0] += values.dtype.type(decay) * previous
        reach = 1
        while reach < piece.shape[1]:
            piece[:, reach:] += values.dtype.type(decay**reach) * piece[:, :-reach]
            reach *= 2
        previous = piece[:, -1]
    return out


def _weighted_sum(weights: FloatArray, planes: FloatArray) -> FloatArray:
    """Sum of feature planes (rows, features, steps) with weights (rows, features): (rows, steps)."""
    return np.asarray((weights[:, None, :] @ planes)[:, 0])


def rising(curves: FloatArray) -> FloatArray:
    """The same curves with each level at least the one before; the last axis is short, so a loop beats `accumulate`."""
    for level in range(1, curves.shape[-1]):
        np.maximum(curves[..., level], curves[..., level - 1], out=curves[..., level])
    return curves
