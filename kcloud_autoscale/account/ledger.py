"""The ledger: what ran, and beside it what the baseline would have run on the same load.

``actual`` is everything that ran, each quantity over all intervals in which it is known. ``compared`` (ours) and
``baseline`` (its) hold the intervals in which both sides of a quantity are known; ``unproven`` is the part of their
difference that service gave up for: see `account.service`. What was saved is baseline - compared - unproven; what is
unknown saves nothing. Both sides are looked at at the end of the interval, on the same demand, so neither is favoured.
"""

from __future__ import annotations

from kcloud_autoscale.account.carbon import grams_co2e
from kcloud_autoscale.account.service import lacking_replicas, needed_replicas, unproven
from kcloud_autoscale.domain.bounds import MOST_PER_INTERVAL
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import NOT_ASKED
from kcloud_autoscale.domain.periods import Addition, carried_usd, marked, period_bounds
from kcloud_autoscale.domain.policy import Caps
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample, times, value_or_none
from kcloud_autoscale.domain.state import Ledger, Mark, Usage
from kcloud_autoscale.domain.units import SECONDS_PER_HOUR, joules, usd

# Nobody watched for longer than this: the money was spent all the same, but what was served and what the baseline
# would have done in between is not known.
LONGEST_COMPARED_SECONDS = 600.0
_UNKNOWN_TARGET = Missing(MissingReason.NO_DATA, "the target is not known")
_NOTHING = Usage()
_ROUNDING = 1e-12


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
class Interval:
    """What an interval is accounted by.

    Attributes:
        actual: What ran; None when the target is unknown, then nothing is accounted.
        baseline: What the counterfactual would have run; None while it is unknown.
        demand: Load per second.
        capacity_per_replica: Load per second one replica serves; None leaves served and missed demand unknown.
        accelerators_per_replica: Devices.
        carbon_grams_per_kwh: Of the grid.
        idle_watts: Of one replica without load: what one more of them draws for the same work.
    """

    actual: Running | None
    baseline: Running | None
    demand: Reading
    capacity_per_replica: float | None
    accelerators_per_replica: int
    carbon_grams_per_kwh: Reading
    idle_watts: Reading = NOT_ASKED

    @property
    def lacking(self) -> int:
        """Ready replicas that ours lack to serve as much as the baseline; 0 where there is nothing to compare with."""
        if self.actual is None or self.baseline is None:
            return 0
        needed = needed_replicas(value_or_none(self.demand), self.capacity_per_replica)
        return lacking_replicas(needed, self.actual.ready_replicas, self.baseline.ready_replicas)


@frozen
class Entry:
    """What one interval adds to the four sums of the ledger.

    Attributes:
        seconds: Length of the interval, up to the ledger's last update.
        actual: Of all that ran.
        compared: Of ours, as far as the baseline is known.
        baseline: Of the baseline.
        unproven: Of the difference.
        estimated_usd: Of what ours cost, what was assumed rather than read.
    """

    seconds: float
    actual: Usage = _NOTHING
    compared: Usage = _NOTHING
    baseline: Usage = _NOTHING
    unproven: Usage = _NOTHING
    estimated_usd: float = 0.0

    @property
    def baseline_spent_usd(self) -> float:
        """What it takes of the baseline's budget: where the baseline is unknown, that goes as ours does."""
        return (self.actual if self.baseline is _NOTHING else self.baseline).usd


@frozen
class Savings:
    """What was saved, signed: negative where ours cost more. 0 where nothing is known."""

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
        entry: What the interval up to this instant added to them; None for the first instant.
        lacking: Ready replicas that ours lack now to serve as much as the baseline.
    """

    actual: Running | None
    baseline: Running | None
    score: float | None
    budget: Budget | None
    ledger: Ledger
    entry: Entry | None = None
    lacking: int = 0

    @property
    def usd_per_hour(self) -> Reading:
        """What runs costs."""
        return _UNKNOWN_TARGET if self.actual is None else self.actual.usd_per_hour

    @property
    def watts(self) -> Reading:
        """What runs draws."""
        return _UNKNOWN_TARGET if self.actual is None else self.actual.watts

    @property
    def watts_saved(self) -> float | None:
        """Draw of the baseline minus ours, now, as far as it counts; None while either is unknown."""
        if self.baseline is None or isinstance(self.watts, Missing) or isinstance(self.baseline.watts, Missing):
            return None
        saved = self.baseline.watts.value - self.watts.value
        return min(0.0, saved) if self.lacking else saved


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
    ledger: Ledger | None, interval: Interval, caps: Caps, created_seconds: float, now_seconds: float
) -> tuple[Ledger, Entry | None]:
    """The ledger with the interval since its last update, and what that interval added.

    Args:
        ledger: None starts one now.
        interval: What ran, and what would have.
        caps: Its budget period decides when the period's spend begins anew.
        created_seconds: Of the optimizer, the start of a ``Total`` budget.
        now_seconds: Unix time of this tick.
    """
    if ledger is None:
        start, _ = period_bounds(caps.budget_period, created_seconds, now_seconds)
        return Ledger(now_seconds, now_seconds, period_start_seconds=start), None
    seconds = now_seconds - ledger.updated_seconds
    if seconds <= 0.0:
        return ledger, None
    added = entry(interval, seconds)
    return extended(ledger, added, caps, created_seconds, now_seconds), added


def extended(ledger: Ledger, added: Entry, caps: Caps, created_seconds: float, now_seconds: float) -> Ledger:
    """The ledger with the time since its last update, in all and of the running budget period.

    Args:
        ledger: Updated ``added.seconds`` before now.
        added: What is to be added.
        caps: Its budget period.
        created_seconds: Of the optimizer, the start of a ``Total`` budget.
        now_seconds: Unix time up to which it then counts.
    """
    start, _ = period_bounds(caps.budget_period, created_seconds, now_seconds)
    since = min(ledger.since_seconds, now_seconds)  # a clock that was ahead began to count
    before = (ledger.spent_usd, ledger.baseline_spent_usd)
    addition = Addition(*before, added.actual.usd, added.baseline_spent_usd, added.seconds, now_seconds)
    marks = marked(ledger.period_marks or _unmarked(ledger), since, start, addition)
    actual = _sum(ledger.actual, added.actual)
    baseline_spent = ledger.baseline_spent_usd + added.baseline_spent_usd
    return Ledger(
        since_seconds=since,
        updated_seconds=now_seconds,
        actual=actual,
        compared=_sum(ledger.compared, added.compared),
        baseline=_sum(ledger.baseline, added.baseline),
        unproven=_sum(ledger.unproven, added.unproven),
        period_start_seconds=start,
        period_spent_usd=max(0.0, actual.usd - marks[-1].usd),
        period_baseline_usd=max(0.0, baseline_spent - marks[-1].baseline_usd),
        baseline_spent_usd=baseline_spent,
        estimated_usd=ledger.estimated_usd + added.estimated_usd,
        period_marks=marks,
    )


def _unmarked(ledger: Ledger) -> tuple[Mark, ...]:
    """Of one that was counted before there were marks: it goes on from its period's part."""
    usd, theirs = ledger.spent_usd - ledger.period_spent_usd, ledger.baseline_spent_usd - ledger.period_baseline_usd
    return (Mark(ledger.period_start_seconds, usd, theirs),)


def entry(interval: Interval, seconds: float) -> Entry:
    """What an interval adds: all that ran, and of each compared quantity both sides or neither."""
    ours, theirs = interval.actual, interval.baseline
    if ours is None:
        return Entry(seconds)
    watched = seconds <= LONGEST_COMPARED_SECONDS
    actual = _used(ours, interval, seconds, watched)
    if theirs is None or not watched:
        return Entry(seconds, actual)
    baseline = _used(theirs, interval, seconds, True)
    compared, baseline = _both_known(ours, theirs, actual, baseline)
    return Entry(seconds, actual, compared, baseline, _unproven(interval, theirs, compared, baseline, seconds))


def savings(ledger: Ledger) -> Savings:
    """What was saved against the baseline and counts; never more than the baseline itself."""
    theirs, ours, gone = ledger.baseline, ledger.compared, ledger.unproven

    def saved(name: str) -> float:
        most = getattr(theirs, name)
        difference: float = most - getattr(ours, name) - getattr(gone, name)
        # Rounding of sums is no loss: 0.3 - 0.1 - 0.2 is -2.8e-17.
        return difference if abs(difference) > _ROUNDING * most else 0.0

    return Savings(
        replica_seconds=saved("replica_seconds"),
        accelerator_seconds=saved("accelerator_seconds"),
        usd=saved("usd"),
        joules=saved("joules"),
        grams_co2e=saved("grams_co2e"),
        demand_missed=theirs.demand_missed - ours.demand_missed,
    )


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


def _used(running: Running, interval: Interval, seconds: float, watched: bool) -> Usage:
    """One side of an interval; 0 for what is unknown, and conditions say that it is."""
    price, watts = value_or_none(running.usd_per_replica_hour), value_or_none(running.watts)
    energy = 0.0 if watts is None else joules(watts, seconds)
    emitted = value_or_none(grams_co2e(energy, interval.carbon_grams_per_kwh))
    served = missed = 0.0
    kappa = interval.capacity_per_replica
    if watched and kappa is not None and not isinstance(interval.demand, Missing):
        load = interval.demand.value
        served = min(load, running.ready_replicas * kappa) * seconds
        missed = load * seconds - served
    return Usage(
        _plausible(running.replicas * seconds),
        _plausible(running.replicas * interval.accelerators_per_replica * seconds),
        0.0 if price is None else _plausible(usd(running.replicas * price, seconds)),
        _plausible(energy),
        _plausible(emitted or 0.0),
        _plausible(served),
        _plausible(missed),
    )


def _both_known(ours: Running, theirs: Running, actual: Usage, baseline: Usage) -> tuple[Usage, Usage]:
    """Both sides of what is known of both."""
    priced = not isinstance(ours.usd_per_replica_hour, Missing) and not isinstance(theirs.usd_per_replica_hour, Missing)
    metered = not isinstance(ours.watts, Missing) and not isinstance(theirs.watts, Missing)
    if priced and metered:
        return actual, baseline
    return _known(actual, priced, metered), _known(baseline, priced, metered)


def _unproven(interval: Interval, theirs: Running, compared: Usage, baseline: Usage, seconds: float) -> Usage:
    """What of their difference does not count: of each quantity what serving alike would have taken."""
    lacking = interval.lacking
    if not lacking:
        return _NOTHING
    share = _each(lacking, theirs.replicas)
    energy = joules(lacking * (value_or_none(interval.idle_watts) or 0.0), seconds)
    grams = value_or_none(grams_co2e(energy, interval.carbon_grams_per_kwh)) or 0.0

    def gone(name: str, lacked: float) -> float:
        return unproven(getattr(baseline, name) - getattr(compared, name), lacked)

    return Usage(
        gone("replica_seconds", share * baseline.replica_seconds),
        gone("accelerator_seconds", share * baseline.accelerator_seconds),
        gone("usd", share * baseline.usd),
        gone("joules", energy if baseline.joules else 0.0),
        gone("grams_co2e", grams if baseline.grams_co2e else 0.0),
        0.0,
        max(0.0, compared.demand_missed - baseline.demand_missed),
    )


def _known(usage: Usage, priced: bool, metered: bool) -> Usage:
    """Without what is not known of both sides."""
    return Usage(
        usage.replica_seconds,
        usage.accelerator_seconds,
        usage.usd if priced else 0.0,
        usage.joules if metered else 0.0,
        usage.grams_co2e if metered else 0.0,
        usage.demand_served,
        usage.demand_missed,
    )


def _each(total: float, count: int) -> float:
    return total / count if count else 0.0


def _plausible(amount: float) -> float:
    """0 for what no interval can add up to: it would stay in the sum for ever."""
    return amount if 0.0 <= amount <= MOST_PER_INTERVAL else 0.0


def _sum(before: Usage, more: Usage) -> Usage:
    if more is _NOTHING:
        return before
    return Usage(
        before.replica_seconds + more.replica_seconds,
        before.accelerator_seconds + more.accelerator_seconds,
        before.usd + more.usd,
        before.joules + more.joules,
        before.grams_co2e + more.grams_co2e,
        before.demand_served + more.demand_served,
        before.demand_missed + more.demand_missed,
    )
