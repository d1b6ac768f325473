"""Outcome -> points of one metric: (extra labels, value) each; nothing where there is no source."""

from __future__ import annotations

import math
from collections.abc import Callable

from kcloud_autoscale.account.ledger import savings
from kcloud_autoscale.act.status import Outcome
from kcloud_autoscale.domain.capacity import CapacityAtLeast, KnownCapacity
from kcloud_autoscale.domain.decision import CapState
from kcloud_autoscale.domain.reading import AtLeast, BoundedReading, value_or_none

_SCORES = ("coverage", "mase", "pinball", "pinball_last_value")

Points = list[tuple[tuple[str, ...], float]]


def _one(value: float | None, *labels: str) -> Points:
    return [] if value is None or not math.isfinite(value) else [(labels, float(value))]


def _reading(reading: BoundedReading | None) -> Points:
    return [] if reading is None else _one(value_or_none(reading))


def lifetime(side: str, field: str) -> Callable[[Outcome], Points]:
    """A sum of the ledger, with when it began: one that begins anew is another series."""

    def points(outcome: Outcome) -> Points:
        if outcome.account is None:
            return []
        ledger = outcome.account.ledger
        return _one(getattr(getattr(ledger, side), field), f"{ledger.since_seconds:.0f}")

    return points


def saved(field: str) -> Callable[[Outcome], Points]:
    """What was saved of a quantity, as far as it counts."""
    return lambda outcome: _one(getattr(savings(outcome.account.ledger), field)) if outcome.account else []


def watts_saved_now(outcome: Outcome) -> Points:
    return _one(outcome.account.watts_saved) if outcome.account else []


def lacking(outcome: Outcome) -> Points:
    account = outcome.account
    return _one(account.lacking) if account and account.actual and account.baseline else []


def score(outcome: Outcome) -> Points:
    return _one(outcome.account.score) if outcome.account else []


def usd_per_hour(outcome: Outcome) -> Points:
    return _reading(outcome.account.usd_per_hour) if outcome.account else []


def watts(outcome: Outcome) -> Points:
    return _reading(outcome.account.watts) if outcome.account else []


def baseline_replicas(outcome: Outcome) -> Points:
    running = outcome.account.baseline if outcome.account else None
    return _one(running.replicas) if running else []


def desired(outcome: Outcome) -> Points:
    return _one(outcome.decision.desired_replicas)


def current(outcome: Outcome) -> Points:
    return _one(outcome.decision.current_replicas)


def ready(outcome: Outcome) -> Points:
    return _one(outcome.decision.ready_replicas)


def pending(outcome: Outcome) -> Points:
    return _one(outcome.decision.pending_replicas) if outcome.decision.current_replicas is not None else []


def schedulable(outcome: Outcome) -> Points:
    return _one(outcome.decision.schedulable_replicas)


def uncapped(outcome: Outcome) -> Points:
    return _one(outcome.decision.uncapped_replicas)


def demand(outcome: Outcome) -> Points:
    return _reading(outcome.seen.demand) if outcome.seen else []


def demand_at_least(outcome: Outcome) -> Points:
    """Only while no more than a lower bound is known."""
    demand = outcome.seen.demand if outcome.seen else None
    return _one(demand.value) if isinstance(demand, AtLeast) else []


def quantiles(outcome: Outcome) -> Points:
    forecast = outcome.decision.forecast
    if forecast is None:
        return []
    pairs = zip(forecast.levels, forecast.values, strict=True)
    return [point for level, value in pairs for point in _one(value, f"{level:g}")]


def level(outcome: Outcome) -> Points:
    return _one(outcome.decision.level)


def needed(outcome: Outcome) -> Points:
    forecast, at = outcome.decision.forecast, outcome.decision.level
    return _one(forecast.at(at)) if forecast is not None and at is not None else []


def replica_watts(outcome: Outcome) -> Points:
    return _reading(outcome.decision.watts_per_replica)


def replica_price(outcome: Outcome) -> Points:
    return _reading(outcome.decision.usd_per_replica_hour)


def limits(outcome: Outcome) -> Points:
    return [point for cap in outcome.decision.caps for point in _one(cap.limit, cap.name)]


def errors(outcome: Outcome) -> Points:
    forecast = outcome.decision.forecast
    scores = forecast.scores if forecast else None
    return [] if scores is None else [point for name in _SCORES for point in _one(getattr(scores, name), name)]


def weights(outcome: Outcome) -> Points:
    forecast = outcome.decision.forecast
    return [point for name, value in (forecast.weights if forecast else ()) for point in _one(value, name)]


def asked(outcome: Outcome) -> Points:
    found = outcome.decision.forecast.asked if outcome.decision.forecast else None
    return _one(float(found.fitted), found.model) if found else []


def trusted(outcome: Outcome) -> Points:
    forecast = outcome.decision.forecast
    return _one(float(forecast.trusted)) if forecast else []


def lead_time(outcome: Outcome) -> Points:
    return _one(outcome.decision.lead_time_seconds, outcome.decision.lead_time_source)


def capacity(outcome: Outcome) -> Points:
    serves = outcome.decision.capacity
    return _one(serves.per_replica, serves.source) if isinstance(serves, KnownCapacity) else []


def capacity_at_least(outcome: Outcome) -> Points:
    serves = outcome.decision.capacity
    return _one(serves.per_replica) if isinstance(serves, CapacityAtLeast) else []


def headroom(outcome: Outcome) -> Points:
    return [point for cap in outcome.decision.caps for point in _one(_headroom(cap), cap.name)]


def _headroom(cap: CapState) -> float | None:
    """30 $/h used of 40 $/h leave 0.25."""
    return None if cap.used is None or cap.limit <= 0.0 else 1.0 - cap.used / cap.limit


def budget_remaining(outcome: Outcome) -> Points:
    budget = outcome.account.budget if outcome.account else None
    return _one(budget.remaining_usd) if budget else []


def budget_exhaustion(outcome: Outcome) -> Points:
    budget = outcome.account.budget if outcome.account else None
    return _one(budget.exhausted_at_seconds) if budget else []


def reason(outcome: Outcome) -> Points:
    return _one(1.0, outcome.decision.final_reason or "None")


def conditions(outcome: Outcome) -> Points:
    names = {True: "True", False: "False", None: "Unknown"}
    facts = {fact.type: fact for fact in (*outcome.decision.conditions, *outcome.facts)}
    return [((fact.type, names[fact.status]), 1.0) for fact in facts.values()]
