"""What predictive scaling would have changed for one workload, against what actually ran. Pure.

The last days are replayed step by step through the operator's own decisions, with the days before them as what is
known; beside them stand the replicas that were ready in those days, and an HPA at 70 %, on the very same demand.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

import numpy as np

from kcloud_autoscale.domain.capacity import AT_LEAST, Capacity, CapacityAtLeast
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.reading import Missing, Reading, Sample
from kcloud_autoscale.domain.series import DemandHistory, FloatArray
from kcloud_autoscale.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.simulate.predictive import plain_workload
from kcloud_autoscale.simulate.run import Outcome, simulate
from kcloud_autoscale.simulate.score import score
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import MeasuredMisses, Run, WorldRules

ACTUAL, OURS, HPA, TUNED = "actual", "predictive", "hpa", "hpa-tuned"

# A daily rhythm cannot show in less, and without one the replay would judge a cold start.
LEAST_DAYS = 1.0
# At least this share of the history is only learned from.
LEARNED_FRACTION = 1.0 / 3.0
# Where more of the steps are a guess, it is not what ran.
MOST_UNTOLD_FRACTION = 0.2
# A smaller saving comes and goes with the minute at which one looks.
LEAST_SAVING_FRACTION = 0.01
# More replicas than either speak of a capacity in the wrong unit, and a week of 10,000 takes minutes to replay.
PLAUSIBLE_REPLICAS = 1_000
PLAUSIBLE_TIMES_RAN = 10
BUSIEST_QUANTILE = 0.99
FEWEST_PAIRS = 60
ROOM_FOR_PEAKS = 1.2

BUSIEST = "busiest seen"
_ASK = "--latency-ms (the p95 that is still good) or --capacity-per-replica"
_KNOWN = "--capacity-per-replica (what one serves in a load test, say)"


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What is known of one workload.

    Attributes:
        key: Namespace and name of the optimizer it would get; the name of its target, unless another one has it.
        target: What would be scaled.
        preset: The serving stack that tells its load.
        demand: Load per second, step by step.
        ready: Ready replicas on the same grid, shape of the demand; NaN where nobody told.
        capacity: Load per second one replica serves; None while nobody said and nothing taught it.
        startup_seconds: From an order to a ready replica.
        startup_source: ``spec``, ``learned`` or ``default``.
        usd_per_replica_hour: Price.
        watts_per_replica: Draw.
        desired_replicas: What it is set to now; None where that is not known.
        other: The autoscaler that scales it now; empty when none does.
        has_optimizer: A WorkloadOptimizer is set for it already.
        latency_seconds: p95 on the same grid, NaN where nothing was measured; None without an objective.
    """

    key: WorkloadKey
    target: TargetRef
    preset: str
    demand: DemandHistory
    ready: FloatArray
    capacity: Capacity | None
    startup_seconds: float
    startup_source: str
    usd_per_replica_hour: Reading
    watts_per_replica: Reading
    desired_replicas: int | None = None
    other: str = ""
    has_optimizer: bool = False
    latency_seconds: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How to judge.

    Attributes:
        days: Replayed at most.
        min_replicas: Floor of every policy.
        max_replicas: Ceiling; None for what the history needs.
        latency_ms: The p95 latency that what ran is judged by, and a replica's capacity is learned against; None where
            there is no such objective.
    """

    days: float = 7.0
    min_replicas: int = 1
    max_replicas: int | None = None
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CannotTell:
    """A workload nothing can be said of, and why."""

    key: WorkloadKey
    target: TargetRef
    reason: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Recommendation:
    """What would have been different, and whether that is worth a change.

    Attributes:
        past: What it rests on.
        trace: The demand as it was replayed.
        rules: Of the replay: capacity, start-up, bounds, price, draw.
        capacity: What a replica serves, and how that is known.
        outcomes: ``predictive``, ``actual`` where it is known, ``hpa``, and ``hpa-tuned``, which misses no more often.
        notes: What a reader must know to weigh the numbers.
        latency_ms: The objective, if there was one.
    """

    past: Past
    trace: Trace
    rules: WorldRules
    capacity: Capacity
    outcomes: dict[str, Outcome]
    notes: tuple[str, ...]
    latency_ms: float | None = None

    @property
    def replayed_days(self) -> float:
        return (len(self.trace.demand) - self.rules.history_steps) * self.trace.step_seconds / SECONDS_PER_DAY

    @property
    def against(self) -> str:
        """The policy it is compared with: what ran, else HPA."""
        return ACTUAL if ACTUAL in self.outcomes else HPA

    @property
    def worthwhile(self) -> bool:
        """It saves 1 % of the replica-hours, or is known to miss less."""
        ours, theirs = self.outcomes[OURS].score, self.outcomes[self.against].score
        saved = theirs.replica_hours - ours.replica_hours
        misses_less = self.misses_known(self.against) and ours.violation_fraction < theirs.violation_fraction
        return misses_less or saved >= LEAST_SAVING_FRACTION * theirs.replica_hours

    @property
    def capacity_is_bound(self) -> bool:
        """A replica may serve more than is counted with."""
        return isinstance(self.capacity, CapacityAtLeast)

    def misses_known(self, policy: str) -> bool:
        """Whether the steps that a policy missed can be counted.

        What ran is judged by its measured latency where there is such an objective, and never by a model of it. Else
        by what a replica is said to serve: a load above a bound from below is none that is known to have been missed.
        The other policies never ran; by the bound they miss at most what is counted.
        """
        if policy != ACTUAL:
            return True
        if self.latency_ms is not None:
            return self.outcomes[ACTUAL].run.measured is not None
        return not self.capacity_is_bound

    @property
    def unclaimed(self) -> frozenset[str]:
        """Policies whose misses cannot be counted."""
        return frozenset(name for name in self.outcomes if not self.misses_known(name))

    @property
    def known_days(self) -> float:
        return len(self.trace.demand) * self.trace.step_seconds / SECONDS_PER_DAY


def judge(past: Past, terms: Terms, remember: bool = False) -> Recommendation | CannotTell:
    """Replay one workload.

    Args:
        past: What is known of it.
        terms: How to judge.
        remember: Keep what was thought at each step, for an HTML page.
    """
    if unusable := _unusable(past, terms):
        return unusable
    capacity = capacity_of(past)
    if terms.latency_ms is not None and capacity is not None and capacity.source == BUSIEST:
        text = f"p95 was above {terms.latency_ms:g} ms at every load seen, or too seldom measured to learn a capacity"
        return CannotTell(past.key, past.target, "CapacityUnknown", text)
    if capacity is None:
        return CannotTell(past.key, past.target, "CapacityUnknown", f"what a replica serves is not known: give {_ASK}")
    serves = capacity.per_replica
    needed = most_replicas(past, serves, 1)
    if min(needed, terms.max_replicas or needed) > max(PLAUSIBLE_REPLICAS, PLAUSIBLE_TIMES_RAN * _ran(past)):
        text = f"at {serves:.4g} per second each ({capacity.source}) {_absurd(past, needed)}: is that what one serves?"
        return CannotTell(past.key, past.target, "CapacityImplausible", text)
    try:
        found = _replayed(past, terms, capacity, remember)
    except ConfigError as error:
        # One workload that cannot be simulated is no reason to keep silent about the others.
        return CannotTell(past.key, past.target, "NotReplayable", str(error))
    return found if found.worthwhile else _not_recommended(found)


def _unusable(past: Past, terms: Terms) -> CannotTell | None:
    """Why nothing can be learned from its demand, or be replayed of it."""
    days = float(np.isfinite(past.demand.values).sum()) * past.demand.step_seconds / SECONDS_PER_DAY
    if days < LEAST_DAYS:
        hours = days * SECONDS_PER_DAY / SECONDS_PER_HOUR
        text = f"{past.preset} tells {hours:.1f} h of demand; a day is the least that can be judged"
        return CannotTell(past.key, past.target, "TooLittleHistory", text)
    if not np.nansum(past.demand.values) > 0.0:
        text = f"{past.preset} has metrics of it, but in {days:.1f} days not one request"
        return CannotTell(past.key, past.target, "NoTraffic", text)
    if not np.isfinite(past.demand.values[_history_steps(past.demand, terms) :]).any():
        ago = (len(past.demand.values) - 1 - _last_known(past.demand)) * past.demand.step_seconds / SECONDS_PER_DAY
        text = f"{past.preset} has told no demand for {ago:.1f} days: there is none in the days to replay"
        return CannotTell(past.key, past.target, "NoRecentDemand", text)
    return None


def _absurd(past: Past, needed: int) -> str:
    count = f"{needed:,}" if needed < 1e9 else f"{needed:.0e}"
    return f"it needs up to {count} replicas" + (f", and {_ran(past):,} have run at most" if _ran(past) else "")


def _not_recommended(found: Recommendation) -> Recommendation | CannotTell:
    """With a word on why; where a replica may serve more than it was seen to, there is nothing to be said at all."""
    little = f"less than {LEAST_SAVING_FRACTION:.0%} of the replica-hours"
    if not found.capacity_is_bound or found.against != ACTUAL:
        note = f"not recommended: against {found.against} it saves {little} and misses no fewer steps"
        return replace(found, notes=(*found.notes, note))
    met = f" and met {found.latency_ms:g} ms" if found.latency_ms is not None else ""
    text = (
        f"a replica carried up to {found.rules.capacity_per_replica:.4g} per second{met}, and if that is all, {little} "
        f"that ran can be saved; whether it can serve more, and anything be saved, is not known: give "
        f"{_KNOWN if met else _ASK}"
    )
    return CannotTell(found.past.key, found.past.target, "CapacityUnknown", text)


def capacity_of(past: Past) -> Capacity | None:
    """Load per second of one replica, and how that is known.

    Given or learned against an objective where that is so; at least the largest load that met one that no load missed.
    Without an objective at least what a replica carried in its busiest hundredth of the time. Of a bound from below a
    saving follows that is one too.
    """
    if past.capacity is not None:
        return past.capacity
    known = np.isfinite(past.demand.values) & np.isfinite(past.ready) & (past.ready >= 1.0) & (past.demand.values > 0.0)
    if known.sum() < FEWEST_PAIRS:
        return None
    return CapacityAtLeast(float(np.quantile(past.demand.values[known] / past.ready[known], BUSIEST_QUANTILE)), BUSIEST)


def _replayed(past: Past, terms: Terms, capacity: Capacity, remember: bool) -> Recommendation:
    demand = past.demand
    trace = Trace(
        f"{past.target.kind} {past.key.namespace}/{past.target.name}",
        demand.start_seconds,
        demand.step_seconds,
        demand.values,
    )
    rules = WorldRules(
        capacity_per_replica=capacity.per_replica,
        startup_seconds=past.startup_seconds,
        min_replicas=terms.min_replicas,
        max_replicas=terms.max_replicas or most_replicas(past, capacity.per_replica, terms.min_replicas),
        usd_per_replica_hour=_value(past.usd_per_replica_hour),
        watts_per_replica=_value(past.watts_per_replica),
        history_steps=_history_steps(demand, terms),
    )
    made = simulate(trace, rules, (OURS, HPA, TUNED), plain_workload(), lambda name: None, remember)
    outcomes, notes = {OURS: made[OURS]}, _notes(past, capacity, terms)
    ran = actual(past, rules)
    if isinstance(ran, str):
        notes.append(ran)
    else:
        measured, note = measured_misses(past, terms, rules)
        ran = replace(ran, measured=measured)
        notes += [note] if note else []
        outcomes[ACTUAL] = Outcome(ran, score(ran, rules))
    outcomes |= {HPA: made[HPA], TUNED: made[TUNED]}
    return Recommendation(past, trace, rules, capacity, outcomes, tuple(notes), terms.latency_ms)


def _history_steps(demand: DemandHistory, terms: Terms) -> int:
    """Steps that are only learned from: all but the last days, and a third where there are fewer."""
    steps = len(demand.values)
    replayed = round(terms.days * SECONDS_PER_DAY / demand.step_seconds)
    return max(steps - replayed, math.ceil(steps * LEARNED_FRACTION))


def _last_known(demand: DemandHistory) -> int:
    """Index of the newest step whose demand is known."""
    return int(np.flatnonzero(np.isfinite(demand.values))[-1])


def most_replicas(past: Past, capacity: float, min_replicas: int) -> int:
    """Room for the largest load seen and a fifth more, and never below what has run: 90/s at 10 each is 11."""
    largest = float(np.nanmax(past.demand.values))
    # The least capacity there can be needs more than a float holds.
    needed = math.ceil(min(ROOM_FOR_PEAKS * largest / capacity, sys.float_info.max) - 1e-9)
    return max(needed, _ran(past), min_replicas, 1)


def _ran(past: Past) -> int:
    """Replicas that were ready at most; 0 where nobody told."""
    return int(np.nanmax(past.ready)) if np.isfinite(past.ready).any() else 0


def actual(past: Past, rules: WorldRules) -> Run | str:
    """The ready replicas as a run, the last known count standing where nobody told; or why there is none."""
    first, ready = rules.history_steps, past.ready
    told = np.isfinite(ready)
    untold = 1.0 - float(told[first:].mean())
    if untold > MOST_UNTOLD_FRACTION:
        return f"what actually ran is not known for {untold:.0%} of the steps (is kube-state-metrics scraped?)"
    last_known = np.maximum.accumulate(np.where(told, np.arange(len(ready)), 0))
    # Before the first known count there is none to stand in: the first one does.
    filled = np.where(np.isfinite(ready[last_known]), ready[last_known], ready[int(np.argmax(told))])
    counts = np.rint(filled[first:]).astype(np.int64)
    return Run(ACTUAL, first, past.demand.step_seconds, past.demand.values[first:], counts, counts, [""] * len(counts))


def measured_misses(past: Past, terms: Terms, rules: WorldRules) -> tuple[MeasuredMisses | None, str]:
    """The steps in which what ran missed the latency objective, as measured; and what is to be said of it.

    Without demand nobody waits: such a step has no latency, and misses nothing.
    """
    if terms.latency_ms is None:
        return None, ""
    first, demand = rules.history_steps, past.demand.values[rules.history_steps :]
    latency = np.full(len(demand), np.nan) if past.latency_seconds is None else past.latency_seconds[first:]
    known = np.isfinite(latency) | (demand == 0.0)
    asked = np.isfinite(demand)
    untold = float((asked & ~known).sum() / asked.sum())
    if untold > MOST_UNTOLD_FRACTION:
        return None, f"p95 was measured in too few steps to say what {ACTUAL} missed: it is unknown in {untold:.0%}"
    missed = np.nan_to_num(latency) * 1_000.0 > terms.latency_ms
    note = f"what {ACTUAL} missed is measured: the steps whose p95 was above {terms.latency_ms:g} ms"
    return MeasuredMisses(missed & known, known), note + (f"; of {untold:.1%} it is not known" if untold > 0.0 else "")


def _value(reading: Reading) -> float | None:
    """Positive only: a price of 0 is no price."""
    return reading.value if isinstance(reading, Sample) and reading.value > 0.0 else None


def _notes(past: Past, capacity: Capacity, terms: Terms) -> list[str]:
    notes = []
    if capacity.source == AT_LEAST:
        notes.append("no load seen missed the objective: a replica may serve more, and the saving be larger")
    if capacity.source == BUSIEST:
        notes.append(
            "capacity is what a replica carried in its busiest 1 % of time, well or not; --latency-ms would teach a "
            "better one"
        )
    if isinstance(capacity, CapacityAtLeast):
        unknown = f"what {ACTUAL} missed is not known, and " if terms.latency_ms is None else ""
        most = f"what {OURS} and {HPA} are said to miss is the most it can be"
        notes.append(f"that is a bound from below: {unknown}{most}")
    if past.startup_source == "default":
        notes.append(f"no start-up was seen: {past.startup_seconds:.0f} s are assumed")
    for what, reading in (("price", past.usd_per_replica_hour), ("power", past.watts_per_replica)):
        if isinstance(reading, Missing):
            notes.append(f"{what} of a replica is not known: {reading.message or reading.reason.value}")
    if isinstance(past.watts_per_replica, Sample):
        watts = past.watts_per_replica.value
        notes.append(f"energy counts {watts:,.0f} W for a replica whatever its load: the real difference is smaller")
    gaps = 1.0 - float(np.isfinite(past.demand.values).mean())
    if gaps > 0.01:
        notes.append(f"{gaps:.0%} of the steps have no demand; they are neither decided on nor scored")
    if past.desired_replicas == 0:
        notes.append(
            f"it is scaled to 0 now: with minReplicas {terms.min_replicas}, mode Auto leaves it at 0 until somebody "
            "sets it to 1"
        )
    if past.has_optimizer:
        notes.append("it has a WorkloadOptimizer already: no manifest is written for it")
    if past.other:
        notes.append(f"{past.other} scales it now: delete that before mode Auto")
    return notes
