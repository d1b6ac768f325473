"""The ledger: what ran beside what the baseline would have run, and what is left of the budget.

Every field of the comparison grows only over intervals in which both of its sides are known; what is unknown saves
nothing. Both sides are looked at at the end of the interval, on the same demand, so neither is favoured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields

from kcloud_autoscale.account.carbon import grams_co2e
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.periods import carried_usd, period_bounds, period_spent_usd
from kcloud_autoscale.domain.policy import Caps
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample, times
from kcloud_autoscale.domain.state import Ledger, Usage
from kcloud_autoscale.domain.units import SECONDS_PER_HOUR, joules, usd

# Nobody watched for longer than this: the money was spent all the same, but what was served and what the baseline
# would have done in between is not known.
LONGEST_COMPARED_SECONDS = 600.0
_UNKNOWN_TARGET = Missing(MissingReason.NO_DATA, "the target is not known")


@frozen
class Running:
    """What ran during an interval: ours, or the baseline's.

    Attributes:
        replicas: Paid for, whether they served or not.
        ready_replicas: Serving.
        usd_per_replica_hour: Price of one.
        watts: Draw of all of them.
    """

    replicas: int
    ready_replicas: int
    usd_per_replica_hour: Reading
    watts: Reading

    @property
    def usd_per_hour(self) -> Reading:
        """Of all of them."""
        return times(self.usd_per_replica_hour, self.replicas)


@frozen
class Savings:
    """Baseline minus actual, signed: negative where ours cost more. 0 where nothing is known."""

    replica_seconds: float
    accelerator_seconds: float
    usd: float
    joules: float
    grams_co2e: float
    demand_missed: float


@frozen
class Budget:
    """How a budget stands.

    Attributes:
        limit_usd: Of the period.
        spent_usd: In the running period.
        remaining_usd: Never negative.
        period_end_seconds: None for a ``Total`` budget.
        exhausted_at_seconds: When it runs out at the present rate, within the period; None when it lasts.
    """

    limit_usd: float
    spent_usd: float
    remaining_usd: float
    period_end_seconds: float | None
    exhausted_at_seconds: float | None


@frozen
class Account:
    """What one workload is worth at this instant.

    Attributes:
        actual: What runs; None while the target is unknown.
        baseline: What the counterfactual runs; None while it is unknown.
        score: The optimization score, 0-1; None while demand or capacity is unknown.
        budget: None when the workload has none.
        ledger: Totals of both sides.
    """

    actual: Running | None
    baseline: Running | None
    score: float | None
    budget: Budget | None
    ledger: Ledger

    @property
    def usd_per_hour(self) -> Reading:
        """What runs costs."""
        return _UNKNOWN_TARGET if self.actual is None else self.actual.usd_per_hour

    @property
    def watts(self) -> Reading:
        """What runs draws."""
        return _UNKNOWN_TARGET if self.actual is None else self.actual.watts


def baseline_watts(actual: Running, replicas: int, idle_watts: Reading) -> Reading:
    """Draw of the baseline's replicas on the same work.

    The same work takes the same dynamic energy wherever it runs, so each replica more or less changes the draw by its
    idle share: 4 replicas at 1,000 W in all against a baseline of 6 that idle at 136.5 W each make it 1,273 W.
    """
    if isinstance(actual.watts, Missing):
        return actual.watts
    if isinstance(idle_watts, Missing):
        return idle_watts
    floor = replicas * idle_watts.value
    watts = max(floor, actual.watts.value + (replicas - actual.replicas) * idle_watts.value)
    return Sample(watts, actual.watts.at_seconds, actual.watts.source)


def record(
    ledger: Ledger | None,
    actual: Running | None,
    baseline: Running | None,
    demand: Reading,
    kappa: float | None,
    accelerators_per_replica: int,
    carbon_grams_per_kwh: Reading,
    caps: Caps,
    created_seconds: float,
    now_seconds: float,
) -> Ledger:
    """The ledger with the interval since its last update.

    Args:
        ledger: None starts one now.
        actual: What ran; None when the target is unknown, then the interval is left out.
        baseline: What the counterfactual would have run; None while it is unknown.
        demand: Load per second in the interval.
        kappa: Load per second one replica serves; None leaves served and missed demand unknown.
        accelerators_per_replica: Devices.
        carbon_grams_per_kwh: Of the grid.
        caps: Its budget period decides when the period's spend begins anew.
        created_seconds: Of the optimizer, the start of a ``Total`` budget.
        now_seconds: Unix time of this tick.
    """
    start, _ = period_bounds(caps.budget_period, created_seconds, now_seconds)
    if ledger is None:
        return Ledger(now_seconds, now_seconds, period_start_seconds=start)
    seconds = now_seconds - ledger.updated_seconds
    if seconds <= 0.0:
        return ledger
    spent = _spent_usd(actual, seconds)
    period = period_spent_usd(ledger.period_spent_usd, ledger.period_start_seconds, start, spent, seconds, now_seconds)
    ours, theirs = ledger.actual, ledger.baseline
    if actual is not None and baseline is not None and seconds <= LONGEST_COMPARED_SECONDS:
        ours, theirs = _compared(ledger, actual, baseline, demand, kappa, accelerators_per_replica,
                                 carbon_grams_per_kwh, seconds)  # fmt: skip
    return Ledger(ledger.since_seconds, now_seconds, ours, theirs, ledger.spent_usd + spent, start, period)


def savings(ledger: Ledger) -> Savings:
    """What was saved against the baseline; never more than the baseline itself."""
    return Savings(**{f.name: getattr(ledger.baseline, f.name) - getattr(ledger.actual, f.name)
                      for f in fields(Savings)})  # fmt: skip


def budget(
    ledger: Ledger, caps: Caps, usd_per_hour: Reading, created_seconds: float, now_seconds: float
) -> Budget | None:
    """How the budget stands at the present rate; None when there is none.

    90 $ of 100 $ spent at 5 $/h: the remaining 10 $ last two hours, unless the period ends sooner.
    """
    if caps.budget_usd is None:
        return None
    start, end = period_bounds(caps.budget_period, created_seconds, now_seconds)
    spent = carried_usd(ledger.period_spent_usd, ledger.period_start_seconds, start)
    remaining = max(0.0, caps.budget_usd - spent)
    exhausted: float | None = None
    if remaining <= 0.0:
        exhausted = now_seconds
    elif not isinstance(usd_per_hour, Missing) and usd_per_hour.value > 0.0:
        exhausted = now_seconds + remaining / usd_per_hour.value * SECONDS_PER_HOUR
    if exhausted is not None and end is not None and exhausted >= end:
        exhausted = None
    return Budget(caps.budget_usd, spent, remaining, end, exhausted)


def to_status(ledger: Ledger) -> dict[str, float]:
    """The ledger as plain numbers, for the status of the object it belongs to."""
    numbers = {name: float(getattr(ledger, name)) for name in _OWN}
    for side in ("actual", "baseline"):
        numbers |= {f"{side}_{f.name}": float(getattr(getattr(ledger, side), f.name)) for f in fields(Usage)}
    return numbers


def restore(numbers: Mapping[str, float]) -> Ledger | None:
    """The ledger that `to_status` wrote; None when a number is absent or not a finite, non-negative one.

    A field this version added and that one did not write begins at 0; a broken number is not repaired by guessing.
    """
    if not all(isinstance(value, int | float) and math.isfinite(value) and value >= 0.0 for value in numbers.values()):
        return None
    if not {"since_seconds", "updated_seconds"} <= numbers.keys():
        return None
    actual, baseline = (
        Usage(**{f.name: float(numbers.get(f"{side}_{f.name}", 0.0)) for f in fields(Usage)})
        for side in ("actual", "baseline")
    )
    since, updated, *spent = (float(numbers.get(name, 0.0)) for name in _OWN)
    return Ledger(since, updated, actual, baseline, *spent)


_OWN = tuple(f.name for f in fields(Ledger) if f.name not in ("actual", "baseline"))


def _spent_usd(actual: Running | None, seconds: float) -> float:
    """Money the interval cost; 0 while the price is unknown, and a condition says that it is."""
    if actual is None or isinstance(actual.usd_per_replica_hour, Missing):
        return 0.0
    return usd(actual.replicas * actual.usd_per_replica_hour.value, seconds)


def _compared(
    ledger: Ledger, actual: Running, baseline: Running, demand: Reading, kappa: float | None,
    accelerators_per_replica: int, carbon: Reading, seconds: float,
) -> tuple[Usage, Usage]:  # fmt: skip
    """Both sides with the interval added: of each quantity either both or neither."""
    priced = not isinstance(actual.usd_per_replica_hour, Missing)
    priced = priced and not isinstance(baseline.usd_per_replica_hour, Missing)
    metered = not isinstance(actual.watts, Missing) and not isinstance(baseline.watts, Missing)
    load = None if isinstance(demand, Missing) or kappa is None else demand.value

    def used(running: Running, before: Usage) -> Usage:
        energy = grams = served = missed = 0.0
        if metered and not isinstance(running.watts, Missing):
            energy = joules(running.watts.value, seconds)
            emitted = grams_co2e(energy, carbon)
            grams = 0.0 if isinstance(emitted, Missing) else emitted.value
        if load is not None and kappa is not None:
            served = min(load, running.ready_replicas * kappa) * seconds
            missed = load * seconds - served
        return Usage(
            before.replica_seconds + running.replicas * seconds,
            before.accelerator_seconds + running.replicas * accelerators_per_replica * seconds,
            before.usd + (_spent_usd(running, seconds) if priced else 0.0),
            before.joules + energy,
            before.grams_co2e + grams,
            before.demand_served + served,
            before.demand_missed + missed,
        )

    return used(actual, ledger.actual), used(baseline, ledger.baseline)
