"""Teach a panel a long history in large blocks, and replay it step for step in bulk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.panel import Panel
from kcloud_autoscale.forecast.ring import FloatArray, IntArray
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
    with np.errstate(invalid="ignore"):
        demand[~(np.isfinite(demand) & (demand >= 0))] = np.nan
    return begin, demand


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


def warm_up(panel: Panel, begin: int, demand: FloatArray) -> None:
    """Teach rows 0.. of a fresh panel their whole history, refreshing at the panel's own (coarse) pace.

    The older part only trains the ridge. The last ``warm_up_score_seconds`` are forecast as they would have been
    live, so that residuals, expert weights and scores are honest.
    """
    rows = np.arange(len(demand))
    grid = panel.grid
    steps = demand.shape[1]
    scored_from = steps - round(panel.settings.warm_up_score_seconds / grid.step_seconds)
    # Blocks are laid from the end, so that the last one is whole.
    edges = [*range(steps % grid.block, steps, grid.block), steps]
    at = 0
    for edge in edges:
        if edge == at:
            continue
        take(panel, rows, begin + at, demand[:, at:edge])
        born = rows[panel.state.born >= 0]
        if len(born):
            panel.refresh(born, score=edge > scored_from, recalibrate=edge + grid.block > scored_from)
        at = edge


def step_through(panel: Panel, begin: int, demand: FloatArray) -> None:
    """Teach rows 0.. of a fresh panel a short history exactly as it would have been live, one step at a time."""
    rows = np.arange(len(demand))
    for step in range(demand.shape[1]):
        take(panel, rows, begin + step, demand[:, step : step + 1])
        born = rows[panel.state.born >= 0]
        due = born[panel.due(born)]
        if len(due):
            panel.refresh(due)


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
            panel.refresh(rows)
    return out
