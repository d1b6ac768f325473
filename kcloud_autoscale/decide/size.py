"""Second rule: how many replicas does the load need, now and over the lead time?

With a trusted forecast and a known capacity κ the forecast's quantile is the headroom: the larger of what the load
needs now and what its peak over the lead time and one cycle may need. What runs beyond that is kept as far as a higher
quantile may need it: started again it would be paid for and serve nobody for a lead time. Otherwise HPA's rule on
every signal, the largest need wins.
"""

from __future__ import annotations

from kcloud_autoscale.decide import hpa
from kcloud_autoscale.decide.counting import PodCounts, replicas_for, replicas_within
from kcloud_autoscale.decide.metered import Metered, metered
from kcloud_autoscale.decide.signals import Signals
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import Proposal, Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import MetricObservation, TargetObservation
from kcloud_autoscale.domain.policy import FleetPolicy, MetricKind, MetricTarget
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.series import Forecast

OBSERVED, FORECAST, KEEP, DEMAND, WAKE = "observed-demand", "forecast", "keep", "demand", "wake"
# Latency and queues are not proportional to load: near saturation a tenth more load makes them ten times as long.
# One correction adds at most half of what serves now, and the next waits until that serves.
MOST_CORRECTION = 1.5
# Utilizations of what the pods request, HPA's `Resource` metrics; those of devices are to it a number per pod.
OF_REQUESTS = frozenset({"cpu", "memory"})

_REASON = {
    OBSERVED: "ObservedNeed",
    FORECAST: "ForecastNeed",
    KEEP: "Kept",
    DEMAND: "ReactiveNeed",
    WAKE: "DemandAtZero",
}
_OBSERVED_TEXT = "{:.6g} per second now at {:.6g} each"
_FORECAST_TEXT = "{:.6g} per second at most within {:.0f} s (quantile {:.3g}) at {:.6g} each"
_KEEP_TEXT = "of what runs, {:.6g} per second at most within {:.0f} s (quantile {:.3g}) at {:.6g} each may need it"
_DEMAND_TEXT = "{:.6g} per second at {:.6g} each ({:.0%} of capacity)"
_WAKE_TEXT = "{:.6g} per second, and nothing runs"
_METRIC_TEXT = "{:.6g} against {:.6g} on {} ready replicas"
_CEILING_TEXT = "{} asks for {}; the {} ceiling of {:g} leaves headroom up to {}"


@frozen
class Sized:
    """A wanted count before any limit.

    Attributes:
        wanted: The largest proposal.
        proposals: What each signal asks for.
        observed_need: What the present load needs by κ; None where that is unknown.
        level: Quantile of the forecast; None where none is used.
        step: What was done and why.
    """

    wanted: int
    proposals: tuple[Proposal, ...]
    observed_need: int | None
    level: float | None
    step: Step


def size(case: Case, signals: Signals, current: int, pods: PodCounts, fleet: FleetPolicy) -> Sized:
    """The count that the usable signals ask for.

    Args:
        case: The workload.
        signals: At least one is usable.
        current: `spec.replicas`.
        pods: Of the target.
        fleet: The utilization aimed for where only demand and capacity are known.
    """
    kappa, demand, forecast = case.capacity_per_replica, signals.demand, case.forecast
    if kappa is not None and demand is not None and forecast is not None and forecast.trusted:
        return _predictive(case, signals, forecast, kappa, demand, current, pods, fleet.step_seconds)
    proposals: list[Proposal] = []
    observed = None
    if kappa is not None and demand is not None:
        observed = replicas_for(demand, kappa)
        target = kappa * fleet.reactive_target_fraction
        asked = hpa.average_value(demand, target, pods.active or current, hpa.tolerance_of(case.policy))
        proposals.append(Proposal(DEMAND, asked, _DEMAND_TEXT, (demand, target, fleet.reactive_target_fraction)))
    for metric, seen, reading in signals.metrics:
        asked = metric_need(case, metric, seen, reading, current, pods)
        proposals.append(Proposal(metric.name, asked, _METRIC_TEXT, (reading, metric.threshold, pods.ready)))
    if current == 0 and demand is not None and kappa is None:
        proposals.append(Proposal(WAKE, int(demand > 0.0), _WAKE_TEXT, (demand,)))
    best = _largest(proposals)
    return Sized(best.replicas, tuple(proposals), observed, None, _step(current, best))


def metric_need(
    case: Case, target: MetricTarget, metric: MetricObservation, reading: float, current: int, pods: PodCounts
) -> int:
    """HPA's count for one metric by its kind."""
    tolerance = hpa.tolerance_of(case.policy)
    if target.kind is MetricKind.AVERAGE_VALUE:
        return hpa.average_value(reading, target.threshold, pods.active or current, tolerance)
    if target.kind is MetricKind.VALUE:
        return hpa.value(reading, target.threshold, current, pods.ready, tolerance)
    return _utilization(case, target, metric, reading, current, pods)


def _utilization(
    case: Case, target: MetricTarget, metric: MetricObservation, reading: float, current: int, pods: PodCounts
) -> int:
    seen = case.seen.target
    if metric.per_pod and isinstance(seen, TargetObservation):
        counted = metered(seen.pods, metric)
    else:
        # Only the mean is known: it stands for every ready pod.
        counted = Metered(reading * pods.ready, pods.ready, pods.active - pods.ready, 0)
    of_requests = target.name in OF_REQUESTS
    return hpa.per_pod(counted, target.threshold, current, hpa.tolerance_of(case.policy), of_requests)


def _predictive(
    case: Case,
    signals: Signals,
    forecast: Forecast,
    kappa: float,
    demand: float,
    current: int,
    pods: PodCounts,
    step_seconds: float,
) -> Sized:
    """The larger of the observed and the forecast need; a metric beyond its threshold may ask for more."""
    level = case.policy.planned_quantile() if case.levels is None else case.levels.order
    peak = forecast.at(level)
    observed, ahead = replicas_for(demand, kappa), _need_ahead(peak, kappa, step_seconds)
    proposals = [
        Proposal(OBSERVED, observed, _OBSERVED_TEXT, (demand, kappa)),
        Proposal(FORECAST, ahead, _FORECAST_TEXT, (peak, forecast.horizon_seconds, level, kappa)),
    ]
    if case.levels is not None:
        proposals.append(_kept(case.levels.keep, forecast, kappa, current, step_seconds))
    for metric, seen, reading in signals.metrics:
        correction = _correction(case, metric, seen, reading, current, pods, observed)
        if correction is not None:
            proposals.append(correction)
    best = _largest(proposals)
    if case.policy.ceilings and best.name in (FORECAST, KEEP):
        given_up = _under_ceiling(case, proposals, best, current)
        if given_up is not None:
            return Sized(given_up.after, tuple(proposals), observed, level, given_up)
    return Sized(best.replicas, tuple(proposals), observed, level, _step(current, best))


def _need_ahead(peak: float, kappa: float, step_seconds: float) -> int:
    """Replicas for a peak of the forecast; none for one of less than a request in a whole step.

    A quantile of what has been idle for hours is small and never 0: 0.004 per second are a quarter of a request in a
    minute, and would keep a replica for ever that nobody asks anything.
    """
    return replicas_for(peak, kappa) if peak * step_seconds >= 1.0 else 0


def _kept(level: float, forecast: Forecast, kappa: float, current: int, step_seconds: float) -> Proposal:
    """What runs, up to what a peak at the keep level needs; it never asks for more than runs.

    At κ 10 with 7 running, an order level of 48 per second and a keep level of 61: 7 stay, where 9 would become 7.
    """
    peak = forecast.at(level)
    values = (peak, forecast.horizon_seconds, level, kappa)
    return Proposal(KEEP, min(current, _need_ahead(peak, kappa, step_seconds)), _KEEP_TEXT, values)


def _correction(
    case: Case,
    target: MetricTarget,
    metric: MetricObservation,
    reading: float,
    current: int,
    pods: PodCounts,
    observed: int,
) -> Proposal | None:
    """What a metric beyond its threshold adds to the need by κ; None when it is met, or its cause is known.

    κ says that what serves is enough, and still the metric is beyond its threshold: κ is too high. When κ itself says
    that what serves is too little, replicas are on their way for that reason and the metric has nothing to add. A
    metric below its threshold never holds a count up.
    """
    if pods.ready == 0 or observed > pods.ready or reading <= target.threshold:
        return None
    asked = metric_need(case, target, metric, reading, current, pods)
    if asked <= pods.ready or asked == current:
        return None
    bounded = min(asked, replicas_for(pods.ready * MOST_CORRECTION, 1.0))
    return Proposal(target.name, bounded, _METRIC_TEXT, (reading, target.threshold, pods.ready))


def _under_ceiling(case: Case, proposals: list[Proposal], ahead: Proposal, current: int) -> Step | None:
    """The count when a cost or power ceiling leaves no room for the forecast's headroom ``ahead``; None when it does.

    At 13.76 $/h each a ceiling of 80 $/h leaves room for 5: a forecast need of 7 over an observed need of 4 gets 5,
    over an observed need of 6 it gets 6. Where a replica's price or draw is unknown the forecast holds what runs.
    """
    needed = max(proposal.replicas for proposal in proposals if proposal.name not in (FORECAST, KEEP))
    wanted, step = ahead.replicas, None
    for ceiling in case.policy.ceilings:
        each = case.usd_per_replica_hour if ceiling.name == "cost" else case.watts_per_replica
        room = current if isinstance(each, Missing) else replicas_within(ceiling.limit, each.value)
        allowed = max(needed, min(ahead.replicas, room))
        if allowed < wanted:
            wanted = allowed
            values = (ahead.name, ahead.replicas, ceiling.name, ceiling.limit, room)
            step = Step(Stage.SIZE, current, allowed, "CeilingReached", _CEILING_TEXT, values)
    return step


def _largest(proposals: list[Proposal]) -> Proposal:
    best = proposals[0]
    for proposal in proposals:
        if proposal.replicas > best.replicas:
            best = proposal
    return best


def _step(current: int, best: Proposal) -> Step:
    reason = _REASON.get(best.name, "MetricAboveTarget" if best.replicas > current else "MetricTarget")
    return Step(Stage.SIZE, current, best.replicas, reason, best.text, best.values)
