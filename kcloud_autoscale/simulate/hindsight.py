"""The HPA target a user would have chosen with hindsight: the cheapest that violates no more often than we do."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.simulate.policies import Hpa
from kcloud_autoscale.simulate.score import Score, score
from kcloud_autoscale.simulate.traces import Trace
from kcloud_autoscale.simulate.world import Run, WorldRules, replay

_COARSE = tuple(float(target) for target in np.round(np.arange(0.05, 1.0001, 0.05), 3))
_FINE_STEP = 0.01


def tuned_hpa(trace: Trace, rules: WorldRules, most_violations: float) -> tuple[Run, Score, float] | None:
    """Search targets from 5 % to 100 % on the very trace they are scored on.

    Args:
        trace: Known in full, which no user has.
        rules: Of the world.
        most_violations: Largest fraction of violating steps.

    Returns:
        Run, score and target of the cheapest; None when even 5 % violates more often.
    """
    coarse = _cheapest(trace, rules, most_violations, _COARSE)
    if coarse is None:
        return None
    around = coarse[2] + _FINE_STEP * np.arange(-4, 5)
    fine = tuple(float(round(target, 3)) for target in around if 0.0 < target <= 1.0)
    return _cheapest(trace, rules, most_violations, fine)


def _cheapest(
    trace: Trace, rules: WorldRules, most_violations: float, targets: tuple[float, ...]
) -> tuple[Run, Score, float] | None:
    best: tuple[Run, Score, float] | None = None
    for target in targets:
        run = replay(trace, rules, Hpa(rules, trace.step_seconds, target, f"hpa-tuned-{target:.0%}"))
        scored = score(run, rules)
        if scored.violation_fraction > most_violations:
            continue
        if best is None or scored.replica_hours < best[1].replica_hours:
            best = (run, scored, target)
    return best
