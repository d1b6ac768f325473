"""The run as one picture: demand and forecast above, replicas of both below, the turns of the story marked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from hack.demo.prometheus import Floats
from hack.demo.scenario import CAPACITY_PER_REPLICA, Timeline

DEMAND, OURS, TWIN, FORECAST, CAP = "#1f2933", "#0b7a75", "#c4622d", "#6aa9a5", "#9b1d20"


@dataclass(frozen=True, slots=True)
class Run:
    """What Prometheus recorded, each array of shape ``(steps,)`` over ``times_seconds``."""

    times_seconds: Floats
    demand: Floats
    forecast_low: Floats  # median of the peak over the lead window
    forecast_high: Floats  # the quantile that was provisioned for
    ours_desired: Floats
    ours_ready: Floats
    twin_desired: Floats
    twin_ready: Floats
    capped_replicas: Floats  # what the power cap allows; NaN where there is none
    level: float


def draw(run: Run, timeline: Timeline, path: Path) -> None:
    """Write the PNG."""
    seconds = run.times_seconds - timeline.ramp_seconds
    figure, (load, replicas) = plt.subplots(2, 1, figsize=(11, 7), sharex=True, height_ratios=(1, 1.15))
    _load(load, run, seconds)
    _replicas(replicas, run, seconds)
    for axes in (load, replicas):
        axes.axvspan(
            timeline.blind_from - timeline.ramp_seconds,
            timeline.blind_until - timeline.ramp_seconds,
            color="#d9dde2",
            alpha=0.6,
            lw=0,
        )
        axes.axvline(timeline.cap_lowered - timeline.ramp_seconds, color=CAP, lw=1, ls=":")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    middle = (timeline.blind_from + timeline.blind_until) / 2 - timeline.ramp_seconds
    top = load.get_ylim()[1]
    load.text(middle, top * 0.97, "Prometheus\nstopped", ha="center", va="top", fontsize=8, color="#52606d")
    capped_at = timeline.cap_lowered - timeline.ramp_seconds
    load.text(capped_at + 1, top * 0.97, "power cap\nlowered", ha="left", va="top", fontsize=8, color=CAP)
    replicas.set_xlabel("seconds from the start of the ramp")
    figure.suptitle("One load, two Deployments: kcloud-autoscale beside the Kubernetes HPA (70 %)", x=0.06, ha="left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _load(axes: plt.Axes, run: Run, seconds: Floats) -> None:
    axes.fill_between(
        seconds,
        run.forecast_low,
        run.forecast_high,
        color=FORECAST,
        alpha=0.35,
        lw=0,
        label=f"forecast of the lead window's peak, median to q{100 * run.level:.0f}",
    )
    axes.plot(seconds, run.demand, color=DEMAND, lw=1.6, label="demand")
    axes.plot(seconds, run.ours_ready * CAPACITY_PER_REPLICA, color=OURS, lw=1, ls="--", label="capacity ready, ours")
    axes.plot(seconds, run.twin_ready * CAPACITY_PER_REPLICA, color=TWIN, lw=1, ls="--", label="capacity ready, HPA")
    axes.set_ylabel("requests per second")
    axes.set_ylim(bottom=0, top=1.35 * np.nanmax(run.ours_ready) * CAPACITY_PER_REPLICA)
    axes.legend(loc="upper left", fontsize=8, frameon=False)


def _replicas(axes: plt.Axes, run: Run, seconds: Floats) -> None:
    axes.step(seconds, run.ours_desired, where="post", color=OURS, lw=1, alpha=0.5, label="ours, desired")
    axes.step(seconds, run.ours_ready, where="post", color=OURS, lw=2.2, label="ours, ready")
    axes.step(seconds, run.twin_desired, where="post", color=TWIN, lw=1, alpha=0.5, label="HPA, desired")
    axes.step(seconds, run.twin_ready, where="post", color=TWIN, lw=2.2, label="HPA, ready")
    axes.step(seconds, run.capped_replicas, where="post", color=CAP, lw=1.2, ls="-.", label="power cap, in replicas")
    axes.set_ylabel("replicas")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=2)
