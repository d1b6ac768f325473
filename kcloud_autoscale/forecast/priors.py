"""What is assumed of a workload before it has shown anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from kcloud_autoscale.forecast.boosted import Boosted
from kcloud_autoscale.forecast.features import LOCAL_NAMES, NAMES
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import EXPERTS, LEVELS, Grid


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Starting point of every row of a panel.

    Attributes:
        short: Shape (local features,), coefficients of the short ridge.
        full: Shape (features,), of the ridge and of the scaled one.
        scatter: Shape (features, features), what one row adds to the ridge statistics on average.
        offsets: Shape (experts, levels), in units of the spread.
        relative_losses: Shape (experts,), pinball relative to last value.
        scale_rows: Rows that the feature sizes in ``scatter`` are worth against a workload's own (`ridge.penalties`):
            few where they are a guess, infinite where they were measured.
        volatility: Log change per step.
        volatility_steps: Steps that assumption is worth.
    """

    short: FloatArray
    full: FloatArray
    scatter: FloatArray
    offsets: FloatArray
    relative_losses: FloatArray
    scale_rows: float = math.inf
    volatility: float = 0.1
    volatility_steps: float = 2.0

    def with_asked(self) -> Prior:
        """The prior of workloads with one more expert: as wide and as good as last value, until it has shown more."""
        return replace(
            self,
            offsets=np.concatenate([self.offsets, self.offsets[:1]]),
            relative_losses=np.append(self.relative_losses, 1.0),
        )

    def weights(self, hedge_rate: float) -> FloatArray:
        """Weights (experts, levels) of the built-in experts before any loss is known."""
        built_in = self.relative_losses[: len(EXPERTS)]
        loud = np.exp(-hedge_rate * (built_in - built_in.min()))
        return np.tile((loud / loud.sum())[:, None], (1, len(LEVELS)))


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What was learned from other workloads, as a bundle holds it.

    Attributes:
        cells: Priors at some step lengths and horizons; others take the nearest.
        boosted: The global model that speaks for young workloads, if there is one.
    """

    cells: Mapping[tuple[float, int], Prior]
    boosted: Boosted | None = None

    def nearest(self, grid: Grid) -> Prior:
        """The prior whose step and horizon are nearest in octaves, the horizon in seconds counting double."""

        def octaves(cell: tuple[float, int]) -> float:
            step, horizon = cell
            length = np.log2(step * horizon) - np.log2(grid.step_seconds * grid.horizon)
            return float(2.0 * abs(length) + abs(np.log2(step / grid.step_seconds)))

        found = min(self.cells, key=octaves)
        prior = self.cells[found]
        # Offsets of a walk grow with the square root of the steps ahead.
        stretch = np.sqrt((1.0 + grid.horizon) / (1.0 + found[1]))
        return replace(prior, offsets=prior.offsets * stretch)


def default_prior(grid: Grid) -> Prior:
    """A prior by hand, for when there is no bundle: last value, and offsets as wide as made-up load needs."""
    scale = np.full(len(NAMES), 0.05)
    scale[0] = 1.0
    scale[11:13] = 0.01
    scale[22:] = 0.5
    levels = np.array([0.35, 0.85, 1.15, 1.45, 1.9, 2.3, 2.8])
    return Prior(
        short=np.zeros(len(LOCAL_NAMES)),
        full=np.zeros(len(NAMES)),
        scatter=np.diag(scale),
        scale_rows=10.0,
        offsets=np.tile(levels * np.sqrt(1.0 + grid.horizon), (len(EXPERTS), 1)),
        relative_losses=np.array([1.0, 0.95, 1.3, 0.85, 0.8, 0.8]),
    )
