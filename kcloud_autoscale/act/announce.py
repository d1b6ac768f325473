"""Which Events a cycle's outcome is worth. Pure: what was true before is read from the last status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kcloud_autoscale.act.events import Event, ObjectRef
from kcloud_autoscale.act.status import Outcome, is_blind, looked_at_before, phase_of
from kcloud_autoscale.act.status_decision import why
from kcloud_autoscale.api.conditions import (
    CONFLICT,
    FORECAST_TRUSTED,
    METRICS_AVAILABLE,
    SCHEDULABLE,
    TARGET_FOUND,
    find_condition,
    rfc3339,
)
from kcloud_autoscale.decide.guard import UNKNOWN
from kcloud_autoscale.domain.decision import ConditionFact, Decision, ScaleOutcome, ScaleResult

_REFUSALS = (ScaleOutcome.REFUSED, ScaleOutcome.FAILED)


def events_of(
    ref: ObjectRef, outcome: Outcome, result: ScaleResult | None, previous: Mapping[str, Any]
) -> Iterator[Event]:
    """The Events of one workload in one cycle.

    Args:
        ref: The optimizer.
        outcome: What was decided and what it is worth.
        result: What became of the action; None when there was none.
        previous: Status before this cycle.
    """
    decision = outcome.decision
    facts = {fact.type: fact for fact in decision.conditions}
    if result is not None:
        yield from _scaling(ref, decision, result)
    if phase_of(outcome, previous) == "Optimized" and previous.get("phase") != "Optimized":
        yield Event(ref, "WorkloadOptimized", _with_id(f"{decision.desired_replicas} replicas, as decided.", decision))
    yield from _lasting(ref, facts.get(CONFLICT), True, decision)
    yield from _lasting(ref, facts.get(TARGET_FOUND), False, decision)
    yield from _lasting(ref, facts.get(SCHEDULABLE), False, decision)
    yield from _uncounted(ref, decision)
    yield from _blind(ref, facts.get(METRICS_AVAILABLE), previous, decision)
    yield from _caps(ref, decision)
    yield from _fallback(ref, facts.get(FORECAST_TRUSTED), previous, decision)
    yield from _model(ref, previous, decision)
    yield from _budget(ref, outcome)


def _scaling(ref: ObjectRef, decision: Decision, result: ScaleResult) -> Iterator[Event]:
    action = result.action
    if result.written and result.replicas is not None:
        up = result.replicas > action.from_replicas
        change = f"{action.target}: {action.from_replicas} -> {result.replicas} replicas. {why(result, decision)}"
        yield Event(ref, "ScaledUp" if up else "ScaledDown", _with_id(change, decision), "Scale")
    elif result.outcome in _REFUSALS:
        note = f"{action.target} could not be scaled to {action.to_replicas}: {result.message}"
        yield Event(ref, "ScaleFailed", _with_id(note, decision), "Scale", warning=True, lasting=True)


def _lasting(ref: ObjectRef, fact: ConditionFact | None, bad: bool, decision: Decision) -> Iterator[Event]:
    """A state that is wrong while it lasts, named as its condition: ``Conflict``, ``TargetNotFound``."""
    if fact is not None and fact.status is bad:
        reason = fact.type if bad else fact.reason
        yield Event(ref, reason, _with_id(fact.message, decision), warning=True, lasting=True)


def _blind(
    ref: ObjectRef, fact: ConditionFact | None, previous: Mapping[str, Any], decision: Decision
) -> Iterator[Event]:
    """A decision without data, for as long as there are none; the fallback, once it applies, is part of it."""
    if fact is not None and is_blind(decision) and looked_at_before(previous):
        note = f"{decision.desired_replicas} replicas are held, {fact.reason}: {fact.message}"
        yield Event(ref, UNKNOWN, _with_id(note, decision), warning=True, lasting=True)


def _caps(ref: ObjectRef, decision: Decision) -> Iterator[Event]:
    binding = [cap for cap in decision.caps if cap.binding]
    if not binding:
        return
    named = ", ".join(f"{cap.name} {cap.limit:g}" for cap in binding)
    note = f"{decision.desired_replicas} replicas instead of {decision.uncapped_replicas}: {named}."
    broken = any(cap.floor_excess > 0.0 for cap in binding)
    yield Event(ref, "CapReached", _with_id(note, decision), warning=broken, lasting=True)


def _uncounted(ref: ObjectRef, decision: Decision) -> Iterator[Event]:
    """What it takes of a limit is not known at all: it may not grow, and the limit holds without it."""
    strange = [cap.name for cap in decision.caps if cap.used is None]
    if strange:
        note = f"What a replica takes of {', '.join(strange)} is not known: it may not grow; set a price or a power."
        yield Event(ref, "UseUnknown", _with_id(note, decision), warning=True, lasting=True)


def _fallback(
    ref: ObjectRef, fact: ConditionFact | None, previous: Mapping[str, Any], decision: Decision
) -> Iterator[Event]:
    """Only when a forecast that was trusted no longer is: a young workload has not fallen back on anything."""
    before = find_condition(previous.get("conditions", []), FORECAST_TRUSTED)
    if fact is not None and fact.status is False and before is not None and before.get("status") == "True":
        yield Event(ref, "ForecastFallback", _with_id(fact.message, decision), warning=True)


def _model(ref: ObjectRef, previous: Mapping[str, Any], decision: Decision) -> Iterator[Event]:
    """Only when the model that is asked for has spoken and a fit fails: a young workload has too little history yet."""
    before = previous.get("forecast", {}).get("asked", {})
    asked = decision.forecast.asked if decision.forecast else None
    if asked is None or not asked.message or before.get("model") != asked.model:
        return
    if before.get("fitted") and not before.get("message"):
        still = "its last fit is still heard" if asked.fitted else "it is silent"
        note = f"{asked.model} could not be fitted, {still}: {asked.message}"
        yield Event(ref, "ModelFitFailed", _with_id(note, decision), warning=True)


def _budget(ref: ObjectRef, outcome: Outcome) -> Iterator[Event]:
    budget = outcome.account.budget if outcome.account else None
    if budget is not None and budget.exhausted_at_seconds is not None:
        when = rfc3339(budget.exhausted_at_seconds)
        note = f"At the present rate the budget of ${budget.limit_usd:g} is spent at {when}."
        yield Event(ref, "BudgetProjected", _with_id(note, outcome.decision), warning=True, lasting=True)


def _with_id(note: str, decision: Decision) -> str:
    return f"{note.strip()} (decision {decision.id})"
