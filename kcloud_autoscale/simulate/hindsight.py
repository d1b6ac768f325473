"""The HPA target a user would have chosen with hindsight: the cheapest that violates no more often than we do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from kcloud_autoscale.simulate.policies import Hpa
from kcloud_autoscale.simulate.score import Score, score
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import Hold, Run, WorldRules, free, replay

R = TypeVar("R")

_COARSE = tuple(float(target) for target in np.round(np.arange(0.05, 1.0001, 0.05), 3))
_FINE_STEP = 0.01
LOWEST_TARGET = _COARSE[0]


def tuned_hpa(
    trace: Trace, rules: WorldRules, most_violations: float, new_hold: Callable[[], Hold] = lambda: free
) -> tuple[Run, Score, float] | None:
    """Search targets from 5 % to 100 % on the very trace they are scored on.

    Args:
        trace: Known in full, which no user has.
        rules: Of the world.
        most_violations: Largest fraction of violating steps.
        new_hold: The hard limits of a world that begins.

    Returns:
        Run, score and target of the cheapest; None when even 5 % violates more often.
    """

    def at_target(target: float) -> tuple[Run, Score]:
        hpa = Hpa(rules, trace.step_seconds, target, f"hpa-tuned-{target:.0%}")
        run = replay(trace, rules, hpa, hold=new_hold())
        return run, score(run, rules)

    return tuned(at_target, most_violations)


def tuned(at_target: Callable[[float], tuple[R, Score]], most_violations: float) -> tuple[R, Score, float] | None:
    """The cheapest of all targets that violates no more often, first in steps of 5 %, then around the best by 1 %."""
    coarse = _cheapest(at_target, most_violations, _COARSE)
    if coarse is None:
        return None
    around = coarse[2] + _FINE_STEP * np.arange(-4, 5)
    fine = tuple(float(round(target, 3)) for target in around if 0.0 < target <= 1.0)
    return _cheapest(at_target, most_violations, fine)


def _cheapest(
    at_target: Callable[[float], tuple[R, Score]], most_violations: float, targets: tuple[float, ...]
) -> tuple[R, Score, float] | None:
    best: tuple[R, Score, float] | None = None
    for target in targets:
        run, scored = at_target(target)
        if scored.violation_fraction > most_violations:
            continue
        if best is None or scored.replica_hours < best[1].replica_hours:
            best = (run, scored, target)
    return best
