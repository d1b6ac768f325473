"""The default experts fitted anew to whole histories: what a change of horizon or a fresh process begins with."""

from __future__ import annotations

import argparse

import numpy as np

from hack.bench.child import tell
from hack.bench.clock import timed
from hack.bench.fleet import BEGIN_SECONDS, histories
from kcloud_autoscale.forecast.fleet import WARM_UP_ROWS
from kcloud_autoscale.forecast.panel import Panel
from kcloud_autoscale.forecast.priors import default_prior
from kcloud_autoscale.forecast.settings import FleetSettings, grid_of
from kcloud_autoscale.forecast.warmup import train


def main() -> None:
    """Print one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--points", type=int, default=4_032)
    parser.add_argument("--step-seconds", type=float, default=300.0)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    pasts = histories(args.series, args.points * args.step_seconds / 86_400.0, args.step_seconds)
    demand = np.stack([past.values for past in pasts.values()])
    tell({"refit": [timed(lambda: _refit(demand, args.step_seconds)) for _ in range(args.repeats)]})


def _refit(demand: np.ndarray, step_seconds: float) -> None:
    """Statistics of every step, coefficients, offsets; in the batches that a fleet is taught in."""
    settings = FleetSettings()
    grid = grid_of(settings, step_seconds, 1, settings.warm_up_refresh_seconds)
    begin = round(BEGIN_SECONDS / step_seconds) - demand.shape[1]
    for at in range(0, len(demand), WARM_UP_ROWS):
        part = demand[at : at + WARM_UP_ROWS]
        train(Panel(len(part), grid, settings, default_prior(grid)), begin, part)


if __name__ == "__main__":
    main()
