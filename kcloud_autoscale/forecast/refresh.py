"""What a panel learns when it looks back: statistics, coefficients, offsets, readings and expert weights."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast import intervals, ridge
from kcloud_autoscale.forecast.features import LOCAL_NAMES
from kcloud_autoscale.forecast.hedge import hedge_weights
from kcloud_autoscale.forecast.intervals import LEAST_SPREAD
from kcloud_autoscale.forecast.losses import pinball
from kcloud_autoscale.forecast.panel import LEAST_FLOOR, Panel
from kcloud_autoscale.forecast.ring import BoolArray, FloatArray, IntArray, SingleArray, sliding_max
from kcloud_autoscale.forecast.settings import LEVELS

FLOOR_SAMPLES = 288
SCORED_ORIGINS = 36
"""Origins scored per refresh at most; a warm-up's long blocks are thinned to it."""
SCALE_ROWS = 10.0
"""What the sizes in a prior are worth to the scaled ridge, measured or not: it goes by the workload's own."""
ALIKE_WINDOWS = 3.0
"""Peaks of windows this many lengths apart are about independent: noise and bursts outlast a window."""


def refresh(panel: Panel, rows: IntArray, *, score: bool = True, calibrate: bool = True) -> None:
    """Learn from the origins of these rows whose windows have been seen since the last refresh.

    A warm-up leaves out of its older part what would be forgotten anyway: scores and calibration.
    """
    state, grid = panel.state, panel.grid
    first = state.folded[rows] + 1
    matured = state.clock[rows] - grid.horizon
    count = int(np.max(matured - first)) + 1
    if count > 0:
        _learn(panel, rows, first, matured, min(count, grid.pending), score)
        state.folded[rows] = np.maximum(matured, first - 1)
    state.floor[rows] = _floor(panel, rows)
    if panel.model is not None:
        state.fit[rows] = state.next_fit[rows]
        due = (state.clock[rows] + state.phase[rows]) % grid.refit == 0
        state.fit_due[rows] = np.where(due, state.clock[rows], state.fit_due[rows])
    if calibrate:
        recalibrate(panel, rows)


def _learn(panel: Panel, rows: IntArray, first: IntArray, matured: IntArray, count: int, score: bool) -> None:
    """Score and fold the origins ``first .. matured`` of each row, at most ``count`` of them."""
    state = panel.state
    features, points, spread, curve, quantiles, known = panel.pending.read(rows, first, count)
    origins = first[:, None] + np.arange(count)
    peaks, complete = _peaks(panel, rows, first, count)
    use = (origins <= matured[:, None]) & complete & (known[:, :, 0] > 0)
    peaks = np.where(use, peaks, 0.0)
    target = np.log(peaks + state.floor[rows][:, None])
    if score:
        _score(panel, rows, points, spread[:, :, 0], quantiles, peaks, use)
        outcomes = intervals.score_on_curve(target, curve)
        _remember(panel, rows, origins, (target[:, :, None] - points) / np.maximum(spread, LEAST_SPREAD), outcomes, use)
    age = np.maximum(matured[:, None] - origins, 0)
    weights = np.where(use, panel.fold_decay**age, 0.0)
    decay = panel.fold_decay ** np.maximum(matured - first + 1, 0)
    state.gram[rows], state.moment[rows] = ridge.fold(
        state.gram[rows], state.moment[rows], features, target - points[:, :, 0], weights, decay
    )


def _peaks(panel: Panel, rows: IntArray, first: IntArray, count: int) -> tuple[FloatArray, BoolArray]:
    """Peak demand of the windows after ``count`` origins, and whether four fifths of each was seen."""
    horizon = panel.grid.horizon
    signed = panel.ring.read(rows, first + 1, count + horizon - 1)
    peaks = sliding_max(np.abs(signed).astype(np.float64), horizon)
    missing = np.cumsum(np.pad(np.signbit(signed), ((0, 0), (1, 0))), axis=1)
    return peaks, missing[:, horizon:] - missing[:, :-horizon] <= horizon // 5


def _score(
    panel: Panel,
    rows: IntArray,
    points: FloatArray,
    spread: FloatArray,
    quantiles: FloatArray,
    peaks: FloatArray,
    use: BoolArray,
) -> None:
    """Add the losses of matured origins to the decayed sums of experts and ensemble."""
    state, levels = panel.state, np.array(LEVELS)
    past = np.maximum(np.sum(use, axis=1)[:, None] - np.cumsum(use, axis=1), 0)
    weight = np.where(use, panel.hedge_decay**past, 0.0)
    thin = -(-peaks.shape[1] // SCORED_ORIGINS)
    if thin > 1:
        weight, peaks, points, spread, quantiles = (
            each[:, ::thin] for each in (thin * weight, peaks, points, spread, quantiles)
        )
    decay = panel.hedge_decay ** np.sum(use, axis=1)
    logs = points[:, :, :, None] + spread[:, :, None, None] * state.offsets[rows][:, None]
    limit = np.log(panel.settings.growth_limit * state.largest[rows] + state.floor[rows])[:, None, None, None]
    said = np.maximum(np.exp(np.minimum(logs, limit)) - state.floor[rows][:, None, None, None], 0.0)
    losses = pinball(peaks[:, :, None, None], said, levels)
    state.losses[rows] = state.losses[rows] * decay[:, None, None] + np.einsum("nm,nmek->nek", weight, losses)
    state.loss_weight[rows] = state.loss_weight[rows] * decay + weight.sum(axis=1)
    live = np.empty((*peaks.shape, 5, len(LEVELS)))
    live[:, :, 0] = pinball(peaks[:, :, None], quantiles, levels)
    live[:, :, 1] = losses[:, :, 0]
    live[:, :, 2] = peaks[:, :, None] <= quantiles
    live[:, :, 3] = np.abs(peaks[:, :, None] - quantiles)
    present = np.exp(points[:, :, 0]) - state.floor[rows][:, None]
    live[:, :, 4] = np.abs(peaks - present)[:, :, None]
    state.scores[rows] = state.scores[rows] * decay[:, None, None] + np.einsum("nm,nmsk->nsk", weight, live)
    state.score_weight[rows] = state.score_weight[rows] * decay + weight.sum(axis=1)


def _remember(
    panel: Panel, rows: IntArray, origins: IntArray, residuals: FloatArray, outcomes: FloatArray, use: BoolArray
) -> None:
    """Put one origin in so many into each row's windows, over the oldest."""
    stride, window = panel.grid.stride, panel.grid.residuals
    series, step = np.nonzero(origins % stride == 0)
    slot = (origins[series, step] // stride) % window
    used = use[series, step]
    panel.state.residuals[rows[series], :, slot] = np.where(used[:, None], residuals[series, step], np.nan)
    panel.state.outcomes[rows[series], slot] = np.where(used, outcomes[series, step], np.nan)


def _floor(panel: Panel, rows: IntArray) -> FloatArray:
    """2 % of the 90th percentile of the last two days; 1 while there was no demand at all."""
    span = 2 * panel.grid.day
    offsets = np.arange(0, span, max(1, span // FLOOR_SAMPLES))
    columns = (panel.state.clock[rows][:, None] - offsets) % panel.ring.length
    return floor_of(np.abs(panel.ring.values[rows[:, None], columns]), panel.state.floor[rows])


def floor_of(demand: SingleArray, otherwise: FloatArray) -> FloatArray:
    """The floor (rows,) that a sample of demand (rows, samples) gives; NaN is left out.

    Sparse load has a 90th percentile of zero; a tenth of its peak then stands in.
    """
    ordered = np.sort(demand, axis=1)  # NaN sorts last
    row = np.arange(len(ordered))
    last = np.maximum(np.sum(np.isfinite(ordered), axis=1) - 1, 0)
    high = np.maximum(ordered[row, (0.9 * last).astype(np.int64)], 0.1 * ordered[row, last]).astype(np.float64)
    return np.where(high > 0, np.maximum(0.02 * high, LEAST_FLOOR), otherwise)


def recalibrate(panel: Panel, rows: IntArray) -> None:
    """Coefficients, offsets and weights from what has been learned."""
    state, prior, settings = panel.state, panel.prior, panel.settings
    gram, moment, local = state.gram[rows], state.moment[rows], slice(0, len(LOCAL_NAMES))
    penalty = ridge.penalties(gram, prior.scatter, settings.prior_rows, prior.scale_rows)
    state.full[rows] = ridge.solve(gram, moment, penalty, prior.full)
    state.short[rows] = ridge.solve(gram[:, local, local], moment[:, local], penalty[:, local, local], prior.short)
    scaled = ridge.penalties(gram, prior.scatter, settings.prior_rows, SCALE_ROWS, strength=1.0)
    state.scaled[rows] = ridge.solve(gram, moment, scaled, prior.full)
    empirical, count = intervals.empirical_offsets(state.residuals[rows])
    independent = count * panel.grid.stride / panel.grid.horizon
    state.offsets[rows] = intervals.blended_offsets(
        empirical, independent, prior.offsets, settings.prior_residuals, settings.cold_inflation
    )
    alike = max(1.0, ALIKE_WINDOWS * panel.grid.horizon / panel.grid.stride)
    met, count = intervals.empirical_offsets(state.outcomes[rows], alike)
    own = (count / (count + settings.prior_residuals * panel.grid.horizon / panel.grid.stride))[:, None]
    state.readings[rows] = intervals.curve_readings(own * met + (1.0 - own) * intervals.SCORES)
    state.weights[rows] = hedge_weights(
        state.losses[rows],
        state.loss_weight[rows],
        prior.relative_losses,
        settings.hedge_rate,
        2.0 * panel.grid.refresh,
        None if panel.model is None else _speaking(panel, rows),
    )


def _speaking(panel: Panel, rows: IntArray) -> BoolArray:
    """Which experts (rows, experts) are heard: the model that was asked for only where it has been fitted."""
    speaking = np.ones((len(rows), panel.experts), dtype=np.bool_)
    speaking[:, -1] = panel.state.fit[rows, 0] > 0
    return speaking
