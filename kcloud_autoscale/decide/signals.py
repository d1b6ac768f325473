"""Which of the numbers a workload is scaled on are known, fresh and usable now."""

from __future__ import annotations

from collections.abc import Sequence

from kcloud_autoscale.decide.metered import metered
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import MetricObservation, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import MetricKind, MetricTarget, demand_lives_without_pods, wakes
from kcloud_autoscale.domain.reading import AtLeast, BoundedReading, Missing, MissingReason

Metrics = tuple[tuple[MetricTarget, MetricObservation, float], ...]


@frozen
class Signals:
    """What a count can rest on.

    Attributes:
        demand: Load per second now, or at least; None when it is missing or stale.
        metrics: Target, observation and value of every target metric that is known, or of which a bound is.
        unknown: Name, reason and message of each that is not, or of which only a bound is, for people.
        complete: Everything the sizing rests on is known. Of a lower bound the value is not.
        usable: Something is known that a count can be computed from.
    """

    demand: float | None
    metrics: Metrics
    unknown: tuple[tuple[str, str, str], ...]
    complete: bool
    usable: bool


def read_signals(case: Case, max_age_seconds: float, now_seconds: float) -> Signals:
    """Sort the readings of a workload into usable and unknown.

    Demand counts only where the capacity of a replica is known: without it no count follows from a load. At 0 replicas
    any demand asks for one; and there only what lives without pods counts, since nothing else can be known.
    """
    at_zero = isinstance(case.seen.target, TargetObservation) and case.seen.target.desired_replicas == 0
    seen, unknown = case.seen, []
    demand, problem = _value(seen.demand, max_age_seconds, now_seconds)
    bounded = isinstance(seen.demand, AtLeast)
    configured = not (isinstance(seen.demand, Missing) and seen.demand.reason is MissingReason.NOT_CONFIGURED)
    configured = configured and (not at_zero or demand_lives_without_pods(case.policy))
    counts = at_zero or case.capacity_per_replica is not None
    if problem is not None and configured:
        unknown.append(("demand", *problem))
    sized_by_demand = demand is not None and counts
    complete = (sized_by_demand or not (configured and counts)) and not bounded
    targets = tuple(target for target in case.policy.targets if wakes(target)) if at_zero else case.policy.targets
    if not targets:
        return Signals(demand, (), tuple(unknown), complete and sized_by_demand, sized_by_demand)
    metrics, missing = _metrics(case, targets, None if bounded else demand, max_age_seconds, now_seconds)
    return Signals(
        demand,
        metrics,
        (*unknown, *missing),
        complete and not missing,
        sized_by_demand or bool(metrics),
    )


def _metrics(
    case: Case, targets: Sequence[MetricTarget], demand: float | None, max_age_seconds: float, now_seconds: float
) -> tuple[Metrics, list[tuple[str, str, str]]]:
    by_name = {metric.name: metric for metric in case.seen.metrics}
    known, missing = [], []
    for target in targets:
        metric = by_name.get(target.name)
        if metric is None:
            missing.append((target.name, MissingReason.NO_DATA.value, "it was not observed"))
            continue
        value, problem = _value(metric.total, max_age_seconds, now_seconds)
        if problem is not None and _idle(metric, demand):
            continue
        if problem is None and target.kind is MetricKind.UTILIZATION and not _from_counted_pods(metric, case.seen):
            problem = (MissingReason.NO_DATA.value, "no pod that counts has a value")
        if problem is not None:
            missing.append((target.name, *problem))
        if value is not None and (problem is None or isinstance(metric.total, AtLeast)):
            known.append((target, metric, value))
    return tuple(known), missing


def _value(
    reading: BoundedReading, max_age_seconds: float, now_seconds: float
) -> tuple[float | None, tuple[str, str] | None]:
    """The value, if it is one to count with, and what is wrong with it: a bound has both."""
    if isinstance(reading, Missing):
        return None, (reading.reason.value, reading.message)
    age = now_seconds - reading.at_seconds
    if age > max_age_seconds:
        return None, (MissingReason.STALE.value, f"{age:.0f} s old, at most {max_age_seconds:g} s is used")
    if isinstance(reading, AtLeast):
        return reading.value, (reading.reason.value, f"at least {reading.value:.4g}: {reading.message}")
    return reading.value, None


def _idle(metric: MetricObservation, demand: float | None) -> bool:
    """Nobody asks, so nobody waits: a latency quantile of no requests is NaN, and holds no replica."""
    return demand == 0.0 and isinstance(metric.total, Missing) and metric.total.reason is MissingReason.NOT_A_NUMBER


def _from_counted_pods(metric: MetricObservation, seen: WorkloadObservation) -> bool:
    if not isinstance(seen.target, TargetObservation):
        return False
    if metric.per_pod:
        return metered(seen.target.pods, metric).measured > 0
    return seen.target.ready_replicas > 0
