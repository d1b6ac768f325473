"""What one of our per-series models costs in this process: a fit to two weeks, and a forecast between two fits."""

from __future__ import annotations

import argparse

import numpy as np

from hack.bench.child import tell
from hack.bench.clock import timed
from hack.bench.fleet import histories
from kcloud_autoscale.forecast.registry import point_model
from kcloud_autoscale.forecast.settings import DAY_SECONDS, steps_in


def main() -> None:
    """Print one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--series", type=int, default=3)
    parser.add_argument("--days", type=float, default=14.0)
    parser.add_argument("--step-seconds", type=float, default=300.0)
    parser.add_argument("--horizon", type=int, default=3)
    args = parser.parse_args()
    day = steps_in(DAY_SECONDS, args.step_seconds)
    model, fits, paths = point_model(args.model), [], []
    for past in histories(args.series, args.days, args.step_seconds).values():
        logs = np.log(past.values + 1.0)
        fits.append(timed(lambda logs=logs: model.fit(logs, day)))  # type: ignore[misc]
        paths.append(timed(lambda logs=logs: model.path(logs, args.horizon)))  # type: ignore[misc]
    tell({"fit": fits, "path": paths})


if __name__ == "__main__":
    main()
