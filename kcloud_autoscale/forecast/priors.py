"""What is assumed of a workload before it has shown anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.forecast.features import NAMES
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import EXPERTS, LEVELS, Grid


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Starting point of every row of a panel.

    Attributes:
        coefficients: Shape (features,), of the ridge.
        penalty: Shape (features, features), pseudo-statistics of one row, times the number of pseudo-rows.
        offsets: Shape (experts, levels), in units of the spread.
        weights: Shape (experts, levels), each column sums to one.
        relative_losses: Shape (experts,), pinball relative to last value.
        volatility: Log change per step.
        volatility_steps: Steps that assumption is worth.
    """

    coefficients: FloatArray
    penalty: FloatArray
    offsets: FloatArray
    weights: FloatArray
    relative_losses: FloatArray
    volatility: float = 0.1
    volatility_steps: float = 3.0


def default_prior(grid: Grid, rows: float, hedge_rate: float) -> Prior:
    """The prior of a panel; ``rows`` pseudo-rows hold the ridge to it."""
    scale = np.full(len(NAMES), 0.05)
    scale[0] = 1.0
    scale[11:13] = 0.01
    scale[22:] = 0.5
    levels = np.array([0.2, 0.8, 1.25, 1.65, 2.2, 2.6, 3.0])
    relative = np.array([1.0, 0.95, 1.3, 0.85, 0.8])
    loud = np.exp(-hedge_rate * (relative - relative.min()))
    return Prior(
        coefficients=np.zeros(len(NAMES)),
        penalty=rows * np.diag(scale),
        offsets=np.tile(levels * np.sqrt(1.0 + grid.horizon), (len(EXPERTS), 1)),
        weights=np.tile((loud / loud.sum())[:, None], (1, len(LEVELS))),
        relative_losses=relative,
    )
