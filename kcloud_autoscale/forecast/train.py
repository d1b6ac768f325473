"""Learn from many series what to assume of a new one: pooled ridge, cold offsets, who to listen to at first, and one
gradient-boosting model for all.

scikit-learn is imported only by the boosting: whoever has a bundle does not need it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kcloud_autoscale.forecast.boosted import Boosted, Trees, boosted_rows, trees_of
from kcloud_autoscale.forecast.features import LOCAL_NAMES, NAMES
from kcloud_autoscale.forecast.losses import pinball
from kcloud_autoscale.forecast.panel import Panel
from kcloud_autoscale.forecast.priors import Knowledge, Prior, default_prior
from kcloud_autoscale.forecast.refresh import refresh
from kcloud_autoscale.forecast.ring import FloatArray, IntArray, sliding_max
from kcloud_autoscale.forecast.settings import DAY_SECONDS, LEVELS, FleetSettings, Grid, grid_of, steps_in

LOCAL = len(LOCAL_NAMES)
CELLS: tuple[tuple[float, int], ...] = (
    (10.0, 6),
    (10.0, 32),
    (60.0, 1),
    (60.0, 3),
    (60.0, 6),
    (60.0, 12),
    (60.0, 32),
    (60.0, 64),
    (300.0, 1),
    (300.0, 3),
    (300.0, 12),
    (600.0, 1),
    (600.0, 3),
    (600.0, 6),
    (1_800.0, 1),
    (1_800.0, 4),
)
"""Step and horizon of the priors in a bundle: lead times from one minute to two hours."""

COLD_SECONDS = (600.0, 7_200.0)
"""Offsets are learned from workloads this young: ten minutes, when a forecast is first trusted, to two hours."""
RIDGE_TO_ZERO = 1e-3
ROWS_PER_PART = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """What was known and said at some origins of a panel, and what came.

    Attributes:
        ages: Shape (steps,), steps since birth.
        features: Shape (series, steps, features).
        points: Shape (series, steps, experts), log demand.
        spread: Shape (series, steps).
        targets: Shape (series, steps), log of the peak that came; NaN where it is not known.
    """

    ages: IntArray
    features: FloatArray
    points: FloatArray
    spread: FloatArray
    targets: FloatArray


def train_priors(
    demand_at: Callable[[float], FloatArray],
    cells: Sequence[tuple[float, int]] = CELLS,
    settings: FleetSettings | None = None,
    progress: Callable[[tuple[float, int]], object] = lambda cell: None,
) -> Knowledge:
    """Priors for each cell from the series ``demand_at(step_seconds)`` gives, shape (series, steps), without gaps."""
    settings = settings or FleetSettings()
    table = {}
    for step_seconds, horizon in cells:
        grid = grid_of(settings, step_seconds, horizon)
        table[step_seconds, horizon] = train_prior(demand_at(step_seconds), grid, settings)
        progress((step_seconds, horizon))
    return Knowledge(table)


def train_boosted(
    demand_at: Callable[[float], FloatArray],
    cells: Sequence[tuple[float, int]] = CELLS,
    settings: FleetSettings | None = None,
    progress: Callable[[tuple[float, int]], object] = lambda cell: None,
) -> Boosted:
    """The global model, from origins of young and grown workloads of all cells."""
    settings = settings or FleetSettings()
    rows, rises = [], []
    for step_seconds, horizon in cells:
        grid = grid_of(settings, step_seconds, horizon)
        demand = demand_at(step_seconds)
        for part in (_cut_outs(demand, grid), demand[:, : steps_in(2 * DAY_SECONDS, step_seconds)]):
            found_rows, found_rises = _sampled(part, grid, settings)
            rows.append(found_rows)
            rises.append(found_rises)
        progress((step_seconds, horizon))
    looked_at, rise = np.concatenate(rows), np.concatenate(rises)
    return Boosted(_boost(looked_at, rise, 0.5), _boost(looked_at, rise, 0.95))


def _sampled(demand: FloatArray, grid: Grid, settings: FleetSettings) -> tuple[FloatArray, FloatArray]:
    """Some thousand origins older than five minutes, drawn with a fixed seed."""
    rng = np.random.default_rng(grid.horizon)
    share = min(1.0, ROWS_PER_PART / demand.size)
    rows, rises = [], []
    for block in observed(demand, grid, settings, default_prior(grid)):
        old = block.ages * grid.step_seconds >= 0.5 * COLD_SECONDS[0]
        use = np.isfinite(block.targets) & old & (rng.random(block.targets.shape) < share)
        spread, ages = block.spread[use], np.broadcast_to(block.ages, use.shape)[use] + 1
        rows.append(boosted_rows(block.features[use], spread, ages, grid))
        rises.append((block.targets - block.points[:, :, 0])[use] / spread)
    return np.concatenate(rows), np.concatenate(rises)


def _boost(rows: FloatArray, rises: FloatArray, level: float) -> Trees:
    """Fit one quantile. No early stopping: its random split is not in time order."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(
        loss="quantile",
        quantile=level,
        max_iter=80,
        learning_rate=0.1,
        max_leaf_nodes=15,
        min_samples_leaf=200,
        early_stopping=False,
        random_state=0,
    )
    return trees_of(model.fit(rows, rises))


def train_prior(demand: FloatArray, grid: Grid, settings: FleetSettings) -> Prior:
    """One cell: the ridge from the whole series, then the offsets from cut-outs of two hours that know that ridge."""
    start = default_prior(grid)
    gram, moment, weight = _pooled(demand, grid, settings, start)
    scatter = gram / weight + RIDGE_TO_ZERO * np.eye(len(NAMES))
    mean = moment / weight
    ridge = replace(
        start,
        scatter=scatter,
        scale_rows=math.inf,
        full=np.linalg.solve(scatter, mean),
        short=np.linalg.solve(scatter[:LOCAL, :LOCAL], mean[:LOCAL]),
    )
    return _with_cold_offsets(ridge, _cut_outs(demand, grid), grid, settings)


def _pooled(
    demand: FloatArray, grid: Grid, settings: FleetSettings, prior: Prior
) -> tuple[FloatArray, FloatArray, float]:
    """Ridge statistics over all series; each row weighs one over its squared spread, so that none shouts."""
    gram, moment, total = np.zeros((len(NAMES), len(NAMES))), np.zeros(len(NAMES)), 0.0
    for block in observed(demand, grid, settings, prior):
        use = np.isfinite(block.targets) & (block.ages >= 2)
        features, rise = block.features[use], (block.targets - block.points[:, :, 0])[use]
        weights = 1.0 / block.spread[use] ** 2
        weighted = features * weights[:, None]
        gram += weighted.T @ features
        moment += weighted.T @ rise
        total += float(weights.sum())
    return gram, moment, total


def _with_cold_offsets(prior: Prior, young: FloatArray, grid: Grid, settings: FleetSettings) -> Prior:
    """The same ridge with offsets as wide as young workloads need, and the losses the experts then have."""
    residuals, spreads = [], []
    for block in observed(young, grid, settings, prior):
        use = np.isfinite(block.targets) & (block.ages * grid.step_seconds >= COLD_SECONDS[0])
        residuals.append(((block.targets[:, :, None] - block.points) / block.spread[:, :, None])[use])
        spreads.append(block.spread[use])
    pooled = np.concatenate(residuals)
    levels = np.array(LEVELS)
    offsets = np.quantile(pooled, levels, axis=0).T
    losses = pinball(pooled[:, :, None], offsets[None], levels).mean(axis=(0, 2))
    return replace(prior, offsets=offsets, relative_losses=losses / losses[0])


def _cut_outs(demand: FloatArray, grid: Grid) -> FloatArray:
    """Two-hour pieces of all series that begin with demand, as if each were a workload just born."""
    length = steps_in(COLD_SECONDS[1], grid.step_seconds) + grid.horizon
    apart = max(length, demand.shape[1] // 24)
    starts = range(0, demand.shape[1] - length + 1, apart)
    pieces = np.concatenate([demand[:, start : start + length] for start in starts])
    return pieces[pieces[:, 0] > 0]


def observed(demand: FloatArray, grid: Grid, settings: FleetSettings, prior: Prior) -> Iterator[Origins]:
    """Walk all series from birth and yield what was known at each block of origins."""
    rows, steps = np.arange(len(demand)), demand.shape[1]
    panel = Panel(len(demand), grid, settings, prior)
    panel.give_birth(rows, np.zeros(len(demand), dtype=np.int64), demand[:, 0])
    peaks = np.full(demand.shape, np.nan)
    if steps > grid.horizon:
        peaks[:, : steps - grid.horizon] = sliding_max(demand[:, 1:], grid.horizon)
    at = 0
    while at < steps:
        until = int(panel.steps_until_due(rows[:1], np.array([at]))[0]) + 1
        count = min(until, steps - at)
        floor = panel.state.floor[:, None].copy()
        panel.advance(rows, demand[:, at : at + count])
        features, points, spread, *_ = panel.pending.read(rows, np.full(len(rows), at), count)
        targets = np.log(peaks[:, at : at + count] + floor)
        yield Origins(np.arange(at, at + count), features, points, spread[:, :, 0], targets)
        at += count
        refresh(panel, rows)
