"""What models that workloads ask for give and cost: sharper or not than the built-in experts alone, seconds per fit.

``python -m hack.bench.asked --models AutoReg,ETS --most 8``; each row is a series, each column the 0.95 pinball loss of
the second half with a model over the loss without, and the model's share of the say at the end.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hack.bench.clock import timed
from hack.bench.fleet import BEGIN_SECONDS, histories
from hack.bench.series import TRACES, generated, plain_name, recorded
from kcloud_autoscale.domain.policy import MODELS
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.fitting import Wanted, fit
from kcloud_autoscale.forecast.losses import pinball
from kcloud_autoscale.forecast.replay import Replay, replay
from kcloud_autoscale.forecast.ring import sliding_max
from kcloud_autoscale.forecast.scoreboard import geometric_mean
from kcloud_autoscale.forecast.settings import LEVELS
from kcloud_autoscale.simulate.trace_rows import Trace

JUDGED = LEVELS.index(0.95)


def main() -> None:
    """Print a line per series, then a line per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="(default: %(default)s)")
    parser.add_argument("--step-seconds", type=float, default=300.0, help="of the generated series (%(default)g)")
    parser.add_argument("--horizon-seconds", type=float, default=900.0, help="the window (%(default)g)")
    parser.add_argument("--most", type=int, help="series of each kind")
    parser.add_argument("--traces", type=Path, default=TRACES, metavar="FOLDER", help="recordings (%(default)s)")
    parser.add_argument("--fits", type=int, default=10, help="fits timed per model, of 4,032 points (%(default)d)")
    args = parser.parse_args()
    models = args.models.split(",")
    series = recorded(args.traces, args.most) + generated(args.step_seconds, 14.0, args.most)
    ratios: dict[str, list[float]] = {model: [] for model in models}
    for trace in series:
        alone, _ = _loss(trace, args.horizon_seconds, None)
        told = []
        for model in models:
            loss, share = _loss(trace, args.horizon_seconds, model)
            ratios[model].append(loss / alone)
            told.append(f"{model} {loss / alone:.3f} ({share:.2f})")
        print(f"{plain_name(trace):32}", *told, sep="  ", flush=True)
    for model in models:
        found = ratios[model]
        if found:
            print(f"{model}: {geometric_mean(found):.3f} of the loss without it, worst {max(found):.3f}")
        print(f"{model}: {_fit_seconds(model, args.fits):.3f} s of a core per fit of 4,032 points", flush=True)


def _loss(trace: Trace, horizon_seconds: float, model: str | None) -> tuple[float, float]:
    """Mean 0.95 pinball loss of the second half, and the model's last share of the say."""
    steps = len(trace.demand)
    told = replay(
        WorkloadKey("bench", plain_name(trace)),
        DemandHistory(BEGIN_SECONDS, trace.step_seconds, trace.demand),
        max(horizon_seconds, trace.step_seconds),
        steps // 2,
        knowledge=default_knowledge()[0],
        model=model,
    )
    return _pinball(trace, told), float(told.weights[-1, -1, JUDGED])


def _pinball(trace: Trace, told: Replay) -> float:
    demand = trace.demand[len(trace.demand) - len(told.quantiles) + 1 :]
    peaks = sliding_max(demand, told.horizon)
    losses = pinball(peaks, told.quantiles[: len(peaks), JUDGED], np.array(0.95))
    return float(np.nanmean(losses))


def _fit_seconds(model: str, fits: int) -> float:
    """Mean processor time of fits of different series, the first one left out: it loads the library."""
    first, *rest = histories(fits + 1, 14.0, 300.0).values()
    fit(Wanted("bench", model, 0, 0), first)
    return timed(lambda: [fit(Wanted("bench", model, 0, 0), past) for past in rest])[1] / fits


if __name__ == "__main__":
    main()
