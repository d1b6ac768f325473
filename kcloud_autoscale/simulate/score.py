"""What a run was worth: violations, unserved demand, replica-hours, changes, money, energy, carbon."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kcloud_autoscale.account.service import lacking_replicas, needed_replicas, unproven
from kcloud_autoscale.domain.units import SECONDS_PER_HOUR
from kcloud_autoscale.simulate.world import Run, WorldRules


@dataclass(frozen=True, slots=True)
class Score:
    """One line of the comparison.

    Attributes:
        policy: Name.
        steps: Scored, with known demand.
        violations: Of those, demand above what the ready replicas serve, or the objective measured to be missed.
        unserved_fraction: Of all demand; None where only misses were measured.
        replica_hours: Paid for, over all steps.
        changes_per_hour: Changes of the count.
        usd: None when no price was given; watt_hours and grams_co2e alike.
        ceiling_steps: Of all steps, those with as many replicas as the world allows: more may have been wanted.
        saved_fraction: Of HPA's replica-hours, what was saved at equal service; None where HPA did not run.
    """

    policy: str
    steps: int
    violations: int
    unserved_fraction: float | None
    replica_hours: float
    changes_per_hour: float
    usd: float | None = None
    watt_hours: float | None = None
    grams_co2e: float | None = None
    ceiling_steps: int = 0
    saved_fraction: float | None = None

    @property
    def violation_fraction(self) -> float:
        return self.violations / self.steps if self.steps else 0.0


def violating(run: Run, rules: WorldRules) -> np.ndarray:
    """Shape ``(steps,)``, true where the known demand exceeds what the ready replicas serve.

    What ran is judged by what was measured of it, where that is known, and not by what a replica is taken to serve.
    """
    if run.measured is not None:
        return run.measured.missed & run.measured.known & np.isfinite(run.demand)
    # A hair for rounding: 7 replicas of 0.1 serve 0.7, which is 0.7000000000000001 in binary.
    served = run.ready * rules.capacity_per_replica * (1.0 + 1e-9)
    return np.asarray(np.nan_to_num(run.demand) > served)


def score(run: Run, rules: WorldRules) -> Score:
    """Score a run by the rules of its world."""
    known = np.isfinite(run.demand)
    hours = len(run.replicas) * run.step_seconds / SECONDS_PER_HOUR
    replica_hours = float(run.replicas.sum()) * run.step_seconds / SECONDS_PER_HOUR
    watt_hours = None if rules.watts_per_replica is None else replica_hours * rules.watts_per_replica
    return Score(
        policy=run.policy,
        steps=int(known.sum() if run.measured is None else (known & run.measured.known).sum()),
        violations=int(violating(run, rules).sum()),
        unserved_fraction=_unserved(run, rules),
        replica_hours=replica_hours,
        changes_per_hour=float((np.diff(run.replicas) != 0).sum() / hours),
        usd=None if rules.usd_per_replica_hour is None else replica_hours * rules.usd_per_replica_hour,
        watt_hours=watt_hours,
        grams_co2e=None
        if watt_hours is None or rules.grams_per_kwh is None
        else watt_hours / 1_000.0 * rules.grams_per_kwh,
        ceiling_steps=int((run.replicas >= rules.max_replicas).sum()),
    )


def _unserved(run: Run, rules: WorldRules) -> float | None:
    if run.measured is not None:
        return None
    known = np.isfinite(run.demand)
    demand = run.demand[known]
    largest = float(demand.max(initial=0.0))
    if largest == 0.0:
        return 0.0
    unserved = np.maximum(0.0, demand - run.ready[known] * rules.capacity_per_replica)
    # Of the largest step each, so that no sum is infinite.
    return float((unserved / largest).sum() / (demand / largest).sum())


def beside_hpa(scored: Score, run: Run, hpa: Run, rules: WorldRules) -> Score:
    """The score with what was saved, as the operator's ledger counts it: nothing where less was served than HPA did.

    10 replicas of HPA where 7 ran and served alike are 0.3; where one of the 7 was missing to serve alike, 0.
    """
    saved = 0.0
    rows = zip(run.demand.tolist(), run.replicas.tolist(), run.ready.tolist(), hpa.replicas.tolist(),
               hpa.ready.tolist(), strict=True)  # fmt: skip
    for demand, replicas, ready, hpa_replicas, hpa_ready in rows:
        needed = needed_replicas(None if math.isnan(demand) else demand, rules.capacity_per_replica)
        lacking = lacking_replicas(needed, ready, hpa_ready)
        less = hpa_replicas - replicas
        saved += less - unproven(less, lacking) if lacking else less
    total = float(hpa.replicas.sum())
    return replace(scored, saved_fraction=saved / total if total else None)


def total_score(scores: Sequence[Score]) -> Score:
    """Several runs of one policy as one; what any of them does not know is not known of all, and loads do not add."""

    def total(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(scores) else None

    return Score(
        policy=scores[0].policy,
        steps=sum(each.steps for each in scores),
        violations=sum(each.violations for each in scores),
        unserved_fraction=None,
        replica_hours=sum(each.replica_hours for each in scores),
        changes_per_hour=sum(each.changes_per_hour for each in scores),
        usd=total(each.usd for each in scores),
        watt_hours=total(each.watt_hours for each in scores),
        grams_co2e=total(each.grams_co2e for each in scores),
        ceiling_steps=sum(each.ceiling_steps for each in scores),
    )
