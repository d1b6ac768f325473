"""Teach a panel a long history in large blocks, and replay it step for step in bulk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.features import Origins, Recursions, feature_block
from kcloud_autoscale.forecast.panel import Panel, clean, forward_fill
from kcloud_autoscale.forecast.recurrence import PastFit
from kcloud_autoscale.forecast.refresh import FLOOR_SAMPLES, floor_of, recalibrate, refresh
from kcloud_autoscale.forecast.ring import BoolArray, FloatArray, IntArray, SingleArray, sliding_max
from kcloud_autoscale.forecast.settings import LEVELS


def first_step(history: DemandHistory) -> int:
    """Absolute index of the first step of a history: Unix time over step length."""
    return round(history.start_seconds / history.step_seconds)


def aligned(histories: Sequence[DemandHistory]) -> tuple[int, FloatArray]:
    """Histories on one grid of absolute steps, NaN where they have nothing.

    Returns:
        The first step and the demand, shape (series, steps); infinite and negative values are NaN.
    """
    starts = [first_step(each) for each in histories]
    begin = min(starts)
    end = max(start + len(each.values) for start, each in zip(starts, histories, strict=True))
    demand = np.full((len(histories), end - begin), np.nan)
    for row, (start, each) in enumerate(zip(starts, histories, strict=True)):
        demand[row, start - begin : start - begin + len(each.values)] = each.values
    return begin, clean(demand)


def merged(known: DemandHistory, read: DemandHistory) -> DemandHistory:
    """Two histories of one grid as one; where both know a step, the one that was ``read`` counts."""
    begin, demand = aligned([known, read])
    values = np.where(np.isfinite(demand[1]), demand[1], demand[0])
    return DemandHistory(begin * read.step_seconds, read.step_seconds, values)


def take(panel: Panel, rows: IntArray, begin: int, demand: FloatArray) -> None:
    """Advance ``rows`` to the end of ``demand``, born at their first known step; no refresh.

    Rows that are born within the block join it late, those born together, together.
    """
    state, steps = panel.state, demand.shape[1]
    born = state.born[rows] >= 0
    if born.all():
        panel.advance(rows, demand)
        return
    if born.any():
        panel.advance(rows[born], demand[born])
    first_known = np.argmax(np.isfinite(demand), axis=1)
    waiting = ~born & np.isfinite(demand).any(axis=1)
    for offset in np.unique(first_known[waiting]):
        chosen = np.flatnonzero(waiting & (first_known == offset))
        start = np.full(len(chosen), begin + int(offset), dtype=np.int64)
        panel.give_birth(rows[chosen], start, demand[chosen, offset])
        panel.advance(rows[chosen], demand[chosen][:, offset:steps])


def warm_up(panel: Panel, begin: int, demand: FloatArray, fits: Sequence[Sequence[PastFit]] = ()) -> None:
    """Teach rows 0.. of a fresh panel their whole history, refreshing at the panel's own (coarse) pace.

    The older part only trains the ridge. The last ``warm_up_score_seconds`` are forecast as they would have been
    live, so that residuals, expert weights and scores are honest. Of the ``fits`` of each row each is heard only after
    its cutoff; the last one goes on.
    """
    rows, block = np.arange(len(demand)), panel.grid.block
    steps = demand.shape[1]
    # A whole number of blocks, so that the last one ends with the history.
    scored = -(-round(panel.settings.warm_up_score_seconds / panel.grid.step_seconds) // block) * block
    at = max(0, steps - scored)
    if at:
        train(panel, begin, demand[:, :at])
    while at < steps:
        edge = min(at + block, steps)
        adopt(panel, fits, begin + at)
        take(panel, rows, begin + at, demand[:, at:edge])
        born = rows[panel.state.born >= 0]
        if len(born):
            refresh(panel, born)
        at = edge
    adopt(panel, fits, begin + steps)
    panel.state.fit_due[:] = -1  # at the pace of a warm-up, not at the workload's own


def adopt(panel: Panel, fits: Sequence[Sequence[PastFit]], step: int) -> None:
    """Have each of rows 0.. go on by the latest of its fits that ends before ``step``."""
    state = panel.state
    for row, mine in enumerate(fits):
        for cutoff, values in sorted((each for each in mine if each[0] < step), key=lambda each: each[0])[-1:]:
            state.fit[row] = state.next_fit[row] = values
            state.next_cutoff[row] = cutoff


def train(panel: Panel, begin: int, demand: FloatArray) -> None:
    """Fold a long stretch of history of rows 0.. of a fresh panel into their ridges, forecasting nothing.

    Works in single precision: the coefficients are sums over thousands of rows, and shrunk.
    """
    rows = np.flatnonzero(np.isfinite(demand).any(axis=1))
    if not len(rows):
        return
    state, steps, block = panel.state, demand.shape[1], panel.grid.block
    demand = demand[rows]
    known = np.isfinite(demand)
    first = np.argmax(known, axis=1)
    born = demand[np.arange(len(rows)), first]
    filled = forward_fill(demand, born).astype(np.float32)
    start = np.full(len(rows), begin, dtype=np.int64)
    panel.give_birth(rows, start + first, born)
    span = max(1, min(2 * panel.grid.day, steps) // FLOOR_SAMPLES)
    state.floor[rows] = floor_of(filled[:, -2 * panel.grid.day :: span], state.floor[rows])
    every = max(1, round(panel.settings.warm_up_origin_seconds / panel.grid.step_seconds))
    carried = panel.recursions(rows, filled, known)
    peaks, weights = _targets(panel, filled, known, every)
    # What a birth assumes of the steps just before it stays: the first origins look at them.
    seen = np.where(np.arange(steps) < first[:, None] - panel.grid.recent, np.float32(np.nan), filled)
    for at in range(0, steps, block):
        part = slice(at, min(at + block, steps))
        panel.ring.write(rows, start + at, seen[:, part], known[:, part])
        thin = slice(part.start, part.stop, every)
        here = Recursions(carried.averages[:, :, thin], carried.fast[:, thin], carried.slow[:, thin])
        floor = state.floor[rows][:, None].astype(np.float32)
        origins = Origins(panel.grid, panel.ring, rows, start + at, part.stop - part.start, floor, every)
        _fold_block(panel, origins, here, peaks[:, thin], weights[:, thin])
    state.clock[rows], state.folded[rows] = begin + steps - 1, begin + steps - 1
    state.known[rows] = known.sum(axis=1)
    state.gap[rows] = np.argmax(known[:, ::-1], axis=1)
    state.last[rows], state.largest[rows] = filled[:, -1], filled.max(axis=1)
    recalibrate(panel, rows)


def _targets(panel: Panel, filled: SingleArray, known: BoolArray, every: int) -> tuple[SingleArray, SingleArray]:
    """Peak of the window after each step, and the weight it is learned with; zero where it was not seen."""
    horizon, steps = panel.grid.horizon, filled.shape[1]
    peaks, weights = np.zeros_like(filled), np.zeros_like(filled)
    if steps > horizon:
        peaks[:, : steps - horizon] = sliding_max(filled[:, 1:], horizon)
        missing = np.cumsum(np.pad(~known, ((0, 0), (1, 0))), axis=1)
        unseen: IntArray = missing[:, horizon + 1 :] - missing[:, 1:-horizon]
        use = known[:, :-horizon] & (unseen <= horizon // 5)
        age = np.arange(steps - 1, horizon - 1, -1)
        weights[:, : steps - horizon] = np.where(use, every * panel.fold_decay**age, 0.0)
    return peaks, weights


def _fold_block(panel: Panel, origins: Origins, carried: Recursions, peaks: SingleArray, weights: SingleArray) -> None:
    """Add the origins of one block to the ridge statistics; their weights already say how old they will be."""
    state, rows = panel.state, origins.rows
    block = feature_block(origins, carried)
    planes, rise = block.values, origins.log(peaks) - block.present
    unused = weights == 0
    if unused.any():
        planes = np.where(unused[:, None, :], np.float32(0.0), planes)
        rise = np.where(unused, np.float32(0.0), rise)
    weighted = planes * weights[:, None, :]
    state.gram[rows] += weighted @ np.swapaxes(planes, 1, 2)
    state.moment[rows] += (weighted @ rise[:, :, None])[:, :, 0]


def step_through(panel: Panel, begin: int, demand: FloatArray) -> None:
    """Teach rows 0.. of a fresh panel a short history exactly as it would have been live, one step at a time."""
    rows = np.arange(len(demand))
    for step in range(demand.shape[1]):
        take(panel, rows, begin + step, demand[:, step : step + 1])
        born = rows[panel.state.born >= 0]
        due = born[panel.due(born)]
        if len(due):
            refresh(panel, due)


def walk(panel: Panel, rows: IntArray, begin: int, demand: FloatArray) -> FloatArray:
    """Step for step what `Panel.advance` and `Panel.refresh` give live, in blocks from refresh to refresh.

    All rows must share birth and phase, as one series or a backtest panel does.

    Returns:
        Quantiles (rows, steps, levels) of the peak after each step, NaN before birth.
    """
    state = panel.state
    out = np.full((*demand.shape, len(LEVELS)), np.nan)
    at = 0
    if state.born[rows[0]] < 0:
        known = np.isfinite(demand[0])
        if not known.any():
            return out
        at = int(np.argmax(known))
        panel.give_birth(rows, np.full(len(rows), begin + at), demand[:, at])
    while at < demand.shape[1]:
        until = int(panel.steps_until_due(rows[:1], np.array([begin + at]))[0]) + 1
        count = min(until, demand.shape[1] - at)
        out[:, at : at + count] = panel.advance(rows, demand[:, at : at + count])
        at += count
        if count == until:
            refresh(panel, rows)
    return out
