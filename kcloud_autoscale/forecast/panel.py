"""Workloads that share a step and a horizon, learned and forecast together.

There are two moments. *Advance* takes steps in: averages, features, points and quantiles at every new origin, with
parameters that do not change. *Refresh* looks back at the origins whose windows have been seen since the last one:
statistics, coefficients, offsets, weights. Every workload refreshes at its own fixed phase, so one step at a time and
a month at a time give the same numbers: only the size of the arrays differs.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from kcloud_autoscale.forecast import intervals, ridge
from kcloud_autoscale.forecast.features import AVERAGE_HALF_LIVES_SECONDS, LOCAL_NAMES, Block, Recursions, feature_block
from kcloud_autoscale.forecast.hedge import hedge_weights
from kcloud_autoscale.forecast.losses import pinball
from kcloud_autoscale.forecast.priors import Prior
from kcloud_autoscale.forecast.ring import BoolArray, DemandRing, FloatArray, IntArray, sliding_max
from kcloud_autoscale.forecast.rows import Learned, PendingOrigins, learned_rows
from kcloud_autoscale.forecast.settings import DAY_SECONDS, EXPERTS, LEVELS, FleetSettings, Grid

LARGEST_DEMAND = 1e30
FAST_HALF_LIFE_SECONDS = 1_800.0
LOCAL = len(LOCAL_NAMES)


class Panel:
    """A fixed number of rows for workloads of one step length and one horizon."""

    def __init__(self, rows: int, grid: Grid, settings: FleetSettings, prior: Prior) -> None:
        """Allocate ``rows`` rows that know nothing but the prior."""
        self.grid, self.settings, self.prior = grid, settings, prior
        self.state: Learned = learned_rows(rows, grid, prior)
        self.ring = DemandRing(rows, grid.ring)
        self.pending = PendingOrigins(rows, grid.pending)
        self._decays = np.exp2(-grid.step_seconds / np.array(AVERAGE_HALF_LIVES_SECONDS))
        self._fast_decay = float(np.exp2(-grid.step_seconds / FAST_HALF_LIFE_SECONDS))
        self._slow_decay = float(np.exp2(-grid.step_seconds / DAY_SECONDS))
        self._fold_decay = float(np.exp2(-grid.step_seconds / settings.half_life_seconds))
        self._hedge_decay = float(np.exp2(-grid.step_seconds / settings.hedge_half_life_seconds))

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
        state.floor[rows] = np.where(demand > 0, 0.02 * demand, 1.0)
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
        known = np.isfinite(demand) & (demand >= 0)
        filled = _forward_fill(np.where(known, np.minimum(demand, LARGEST_DEMAND), np.nan), state.last[rows])
        self.ring.write(rows, start, filled, known)
        filled = filled.astype(np.float32).astype(np.float64)  # what the ring remembers is what everything rests on
        carried = self._recursions(rows, filled, known)
        largest = np.maximum.accumulate(np.maximum(filled, state.largest[rows][:, None]), axis=1)
        block = feature_block(self.grid, self.ring, rows, start, steps, state.floor[rows], carried)
        spread = intervals.spread_of(carried.fast, carried.slow)
        points = self._points(rows, block, largest)
        curve = self._curve(rows, points, spread)
        quantiles = self._quantiles(rows, curve, largest)
        parts = (block.values, points, spread[:, :, None], curve, quantiles, known[:, :, None])
        self.pending.write(rows, start, parts)
        state.points[rows], state.spread[rows] = points[:, -1], spread[:, -1]
        state.quantiles[rows] = quantiles[:, -1]
        state.clock[rows] += steps
        state.known[rows] += known.sum(axis=1)
        since = steps - 1 - np.max(np.where(known, np.arange(steps), -1), axis=1)
        state.gap[rows] = np.where(known.any(axis=1), since, state.gap[rows] + steps)
        state.last[rows], state.largest[rows] = filled[:, -1], largest[:, -1]
        return quantiles

    def _recursions(self, rows: IntArray, filled: FloatArray, known: BoolArray) -> Recursions:
        """Carry the exponential averages over a block and leave their last values in the state."""
        state, steps = self.state, filled.shape[1]
        averages = np.empty((*filled.shape, len(self._decays)))
        for index, decay in enumerate(self._decays):
            averages[:, :, index] = _decayed(filled * (1.0 - decay), state.averages[rows, index], float(decay))
        logs = np.log(np.concatenate([state.last[rows][:, None], filled], axis=1) + state.floor[rows][:, None])
        change = np.where(known, np.abs(np.diff(logs, axis=1)), 0.0)
        volatility = []
        for store, decay in ((state.fast, self._fast_decay), (state.slow, self._slow_decay)):
            total = _decayed(change, store[rows, 0], decay)
            weight = _decayed(known.astype(np.float64), store[rows, 1], decay)
            store[rows, 0], store[rows, 1] = total[:, -1], weight[:, -1]
            volatility.append(total / np.maximum(weight, 1e-9))
        state.averages[rows] = averages[:, steps - 1]
        return Recursions(averages, volatility[0], volatility[1])

    def _points(self, rows: IntArray, block: Block, largest: FloatArray) -> FloatArray:
        """What each expert says (rows, steps, experts), log demand, within what has been seen."""
        state = self.state
        points = np.empty((*block.present.shape, len(EXPERTS)))
        points[:, :, 0] = block.present
        points[:, :, 1] = block.smoothed
        points[:, :, 2] = block.yesterday
        points[:, :, 3] = block.present + (block.values[:, :, :LOCAL] @ state.short[rows][:, :, None])[:, :, 0]
        points[:, :, 4] = block.present + (block.values @ state.full[rows][:, :, None])[:, :, 0]
        floor = state.floor[rows][:, None]
        high = np.log(self.settings.growth_limit * largest + floor)
        return np.clip(points, np.log(floor)[:, :, None], high[:, :, None])

    def _curve(self, rows: IntArray, points: FloatArray, spread: FloatArray) -> FloatArray:
        """The experts' own quantiles, mixed in logarithms: (rows, steps, levels), log demand."""
        state = self.state
        width = np.einsum("nek,nek->nk", state.offsets[rows], state.weights[rows])
        curve = points @ state.weights[rows] + spread[:, :, None] * width[:, None, :]
        return np.maximum.accumulate(curve, axis=2)

    def _quantiles(self, rows: IntArray, curve: FloatArray, largest: FloatArray) -> FloatArray:
        """The curve read where its levels were met of late: (rows, steps, levels), load per second."""
        logs = np.minimum(curve @ self.state.readings[rows], 80.0)
        high = (self.settings.growth_limit * largest)[:, :, None]
        demand = np.exp(logs) - self.state.floor[rows][:, None, None]
        return np.maximum.accumulate(np.clip(demand, 0.0, high), axis=2)

    def refresh(self, rows: IntArray, *, score: bool = True, recalibrate: bool = True) -> None:
        """Learn from the origins of these rows whose windows have been seen since the last refresh.

        A warm-up leaves out of its older part what would be forgotten anyway: scores and calibration.
        """
        state, grid = self.state, self.grid
        first = state.folded[rows] + 1
        matured = state.clock[rows] - grid.horizon
        count = int(np.max(matured - first)) + 1
        if count > 0:
            self._learn(rows, first, matured, min(count, grid.pending), score)
            state.folded[rows] = np.maximum(matured, first - 1)
        state.floor[rows] = self._floor(rows)
        if recalibrate:
            self._recalibrate(rows)

    def _learn(self, rows: IntArray, first: IntArray, matured: IntArray, count: int, score: bool) -> None:
        """Score and fold the origins ``first .. matured`` of each row, at most ``count`` of them."""
        state = self.state
        features, points, spread, curve, quantiles, known = self.pending.read(rows, first, count)
        origins = first[:, None] + np.arange(count)
        peaks, complete = self._peaks(rows, first, count)
        use = (origins <= matured[:, None]) & complete & (known[:, :, 0] > 0)
        peaks = np.where(use, peaks, 0.0)
        target = np.log(peaks + state.floor[rows][:, None])
        if score:
            self._score(rows, points, spread[:, :, 0], quantiles, peaks, use)
            outcomes = intervals.score_on_curve(target, curve)
            self._remember(rows, origins, (target[:, :, None] - points) / spread, outcomes, use)
        age = np.maximum(matured[:, None] - origins, 0)
        weights = np.where(use, self._fold_decay**age, 0.0)
        decay = self._fold_decay ** np.maximum(matured - first + 1, 0)
        state.gram[rows], state.moment[rows] = ridge.fold(
            state.gram[rows], state.moment[rows], features, target - points[:, :, 0], weights, decay
        )

    def _peaks(self, rows: IntArray, first: IntArray, count: int) -> tuple[FloatArray, BoolArray]:
        """Peak demand of the windows after ``count`` origins, and whether four fifths of each was seen."""
        horizon = self.grid.horizon
        signed = self.ring.read(rows, first + 1, count + horizon - 1)
        peaks = sliding_max(np.abs(signed).astype(np.float64), horizon)
        missing = np.cumsum(np.pad(np.signbit(signed), ((0, 0), (1, 0))), axis=1)
        return peaks, missing[:, horizon:] - missing[:, :-horizon] <= horizon // 5

    def _score(
        self,
        rows: IntArray,
        points: FloatArray,
        spread: FloatArray,
        quantiles: FloatArray,
        peaks: FloatArray,
        use: BoolArray,
    ) -> None:
        """Add the losses of matured origins to the decayed sums of experts and ensemble."""
        state, levels = self.state, np.array(LEVELS)
        count = peaks.shape[1]
        past = np.maximum(np.sum(use, axis=1)[:, None] - np.cumsum(use, axis=1), 0)
        weight = np.where(use, self._hedge_decay**past, 0.0)
        decay = self._hedge_decay ** np.sum(use, axis=1)
        logs = points[:, :, :, None] + spread[:, :, None, None] * state.offsets[rows][:, None]
        limit = np.log(self.settings.growth_limit * state.largest[rows] + state.floor[rows])[:, None, None, None]
        said = np.maximum(np.exp(np.minimum(logs, limit)) - state.floor[rows][:, None, None, None], 0.0)
        losses = pinball(peaks[:, :, None, None], said, levels)
        state.losses[rows] = state.losses[rows] * decay[:, None, None] + np.einsum("nm,nmek->nek", weight, losses)
        state.loss_weight[rows] = state.loss_weight[rows] * decay + weight.sum(axis=1)
        live = np.empty((len(rows), count, 5, len(LEVELS)))
        live[:, :, 0] = pinball(peaks[:, :, None], quantiles, levels)
        live[:, :, 1] = losses[:, :, 0]
        live[:, :, 2] = peaks[:, :, None] <= quantiles
        live[:, :, 3] = np.abs(peaks[:, :, None] - quantiles)
        live[:, :, 4] = np.abs(peaks[:, :, None] - said[:, :, 0])
        state.scores[rows] = state.scores[rows] * decay[:, None, None] + np.einsum("nm,nmsk->nsk", weight, live)
        state.score_weight[rows] = state.score_weight[rows] * decay + weight.sum(axis=1)

    def _remember(
        self, rows: IntArray, origins: IntArray, residuals: FloatArray, outcomes: FloatArray, use: BoolArray
    ) -> None:
        """Put one origin in so many into each row's windows, over the oldest."""
        stride, window = self.grid.stride, self.grid.residuals
        series, step = np.nonzero(origins % stride == 0)
        slot = (origins[series, step] // stride) % window
        used = use[series, step]
        self.state.residuals[rows[series], :, slot] = np.where(used[:, None], residuals[series, step], np.nan)
        self.state.outcomes[rows[series], slot] = np.where(used, outcomes[series, step], np.nan)

    def _floor(self, rows: IntArray) -> FloatArray:
        """2 % of the 90th percentile of the last two days; 1 while there was no demand at all."""
        span = min(2 * self.grid.day, self.grid.ring)
        stride = max(1, span // 288)
        offsets = np.arange(0, span, stride)
        columns = (self.state.clock[rows][:, None] - offsets) % self.ring.length
        # NaN sorts last: count what is there and look among it.
        ordered = np.sort(np.abs(self.ring.values[rows[:, None], columns]), axis=1)
        count = np.sum(np.isfinite(ordered), axis=1)
        index = np.clip((0.9 * (count - 1)).astype(np.int64), 0, None)
        high = ordered[np.arange(len(rows)), index].astype(np.float64)
        high = np.maximum(high, 0.1 * ordered[np.arange(len(rows)), np.maximum(count - 1, 0)])
        return np.where(high > 0, 0.02 * high, self.state.floor[rows])

    def _recalibrate(self, rows: IntArray) -> None:
        """Coefficients, offsets and weights from what has been learned."""
        state, prior, settings = self.state, self.prior, self.settings
        state.full[rows] = ridge.solve(state.gram[rows], state.moment[rows], prior.penalty, prior.coefficients)
        state.short[rows] = ridge.solve(
            state.gram[rows, :LOCAL, :LOCAL],
            state.moment[rows, :LOCAL],
            prior.penalty[:LOCAL, :LOCAL],
            prior.coefficients[:LOCAL],
        )
        empirical, count = intervals.empirical_offsets(state.residuals[rows])
        independent = count * self.grid.stride / self.grid.horizon
        state.offsets[rows] = intervals.blended_offsets(
            empirical, independent, prior.offsets, settings.prior_residuals, settings.cold_inflation
        )
        met, count = intervals.empirical_offsets(state.outcomes[rows])
        own = (count / (count + settings.prior_residuals * self.grid.horizon / self.grid.stride))[:, None]
        state.readings[rows] = intervals.curve_readings(own * met + (1.0 - own) * intervals.SCORES)
        state.weights[rows] = hedge_weights(
            state.losses[rows],
            state.loss_weight[rows],
            prior.relative_losses,
            settings.hedge_rate,
            2.0 * self.grid.refresh,
        )


def _forward_fill(values: FloatArray, before: FloatArray) -> FloatArray:
    """Carry the last known value over NaN; ``before`` (rows,) stands in front."""
    padded = np.concatenate([before[:, None], values], axis=1)
    index = np.maximum.accumulate(np.where(np.isnan(padded), 0, np.arange(padded.shape[1])), axis=1)
    return np.take_along_axis(padded, index, axis=1)[:, 1:]


def _decayed(values: FloatArray, before: FloatArray, decay: float) -> FloatArray:
    """``out[t] = decay * out[t-1] + values[t]`` along axis 1, from ``before`` (rows,)."""
    if values.shape[1] == 1:
        return decay * before[:, None] + values
    return np.asarray(lfilter([1.0], [1.0, -decay], values, axis=1, zi=decay * before[:, None])[0])
