"""What must have happened, each as a fact that Prometheus recorded. The demo fails when one of them is not so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hack.demo.comparison import Totals
from hack.demo.picture import Run
from hack.demo.scenario import CAPACITY_PER_REPLICA, MIN_REPLICAS, Timeline


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence, and whether it holds."""

    holds: bool
    sentence: str


def told(run: Run, timeline: Timeline, ours: Totals, twin: Totals) -> list[Fact]:
    """The story, checked."""
    return [
        _raised_before(run, timeline),
        _ready_earlier(run, timeline),
        _held_while_blind(run, timeline),
        _under_the_cap(run, timeline),
        _lowered_after(run, timeline),
        Fact(
            ours.served_within_slo_fraction > twin.served_within_slo_fraction,
            f"served within the objective: ours {100 * ours.served_within_slo_fraction:.1f} %,"
            f" the HPA {100 * twin.served_within_slo_fraction:.1f} %",
        ),
    ]


def _raised_before(run: Run, timeline: Timeline) -> Fact:
    """Ours ordered more before the demand rose; the HPA could only follow."""
    before = _between(run, timeline.ramp_seconds - 60, timeline.ramp_seconds)
    calm = np.nanmin(run.ours_desired[before])
    raised = before & (run.ours_desired >= calm + 2)
    if not raised.any():
        return Fact(False, "ours did not order replicas before the ramp")
    lead = timeline.ramp_seconds - run.times_seconds[raised][0]
    return Fact(True, f"ours ordered replicas {lead:.0f} s before the ramp began")


def _ready_earlier(run: Run, timeline: Timeline) -> Fact:
    needed = np.ceil(0.75 * np.nanmax(run.demand) / CAPACITY_PER_REPLICA)
    after = run.times_seconds > timeline.ramp_seconds - 60

    def reached(ready: np.ndarray) -> float:
        enough = after & (ready >= needed)
        return float(run.times_seconds[enough][0]) - timeline.ramp_seconds if enough.any() else float("inf")

    ours, twin = reached(run.ours_ready), reached(run.twin_ready)
    return Fact(
        ours < twin,
        f"replicas for three quarters of the wave ({needed:.0f}) were ready {ours:.0f} s after the ramp began"
        f" with ours, {twin:.0f} s with the HPA",
    )


def _held_while_blind(run: Run, timeline: Timeline) -> Fact:
    """Nothing is scraped meanwhile, so the counts just before and just after are compared."""
    before = run.ours_desired[_between(run, timeline.blind_from - 6, timeline.blind_from)]
    after = run.ours_desired[_between(run, timeline.blind_until + 4, timeline.blind_until + 12)]
    lowest_after, last = np.nanmin(after), before[np.isfinite(before)][-1]
    return Fact(
        lowest_after >= last,
        f"Prometheus was away for {timeline.blind_until - timeline.blind_from:.0f} s: {last:.0f} replicas before,"
        f" {lowest_after:.0f} after",
    )


def _under_the_cap(run: Run, timeline: Timeline) -> Fact:
    capped = (run.times_seconds > timeline.cap_lowered + 8) & np.isfinite(run.capped_replicas)
    if not capped.any():
        return Fact(False, "the lowered power cap was never seen")
    over = run.ours_desired[capped] > run.capped_replicas[capped]
    before = run.ours_desired[_between(run, timeline.cap_lowered - 6, timeline.cap_lowered)]
    allowed = np.nanmin(run.capped_replicas[capped])
    cut = np.nanmax(before) > allowed
    return Fact(
        bool(cut and not over.any()),
        f"the power cap, lowered on the fly, took ours from {np.nanmax(before):.0f} to {allowed:.0f} replicas or fewer",
    )


def _lowered_after(run: Run, timeline: Timeline) -> Fact:
    peak, last = np.nanmax(run.ours_desired), run.ours_desired[np.isfinite(run.ours_desired)][-1]
    return Fact(
        MIN_REPLICAS <= last <= peak / 2,
        f"after the wave ours went from {peak:.0f} to {last:.0f} replicas",
    )


def _between(run: Run, start_seconds: float, end_seconds: float) -> np.ndarray:
    return (run.times_seconds >= start_seconds) & (run.times_seconds <= end_seconds)
