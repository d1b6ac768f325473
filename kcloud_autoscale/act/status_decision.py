"""A decision as ``status.lastDecision`` shows it: inputs with ages, proposals, each step with before and after."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from kcloud_autoscale.api.workload_status import (
    DecisionCap,
    DecisionInput,
    DecisionProposal,
    DecisionStep,
    LastDecision,
)
from kcloud_autoscale.decide.guard import RESTORED
from kcloud_autoscale.decide.stage import WRITE_REFUSED
from kcloud_autoscale.domain.capacity import UNKNOWN
from kcloud_autoscale.domain.decision import CapState, Decision, Input, ScaleResult, Stage, Step
from kcloud_autoscale.domain.state import WriteRefusal

# The schema's bounds; more inputs than that cannot come from one optimizer's metrics.
MAX_INPUTS = 64
MAX_ITEMS = 32
MAX_MESSAGE = 1024


def last_decision(
    decision: Decision, result: ScaleResult | None = None, refusal: WriteRefusal | None = None
) -> LastDecision:
    """All of it, in the order it was made, and what became of it.

    Args:
        decision: Of this cycle.
        result: What became of its action; None where there was nothing to write.
        refusal: Of an earlier write, which may be why there was nothing to write.
    """
    told, written = _outcome(decision, result, refusal)
    serves = decision.capacity
    return LastDecision(
        id=decision.id,
        time=datetime.fromtimestamp(int(decision.at_seconds), UTC),
        current_replicas=decision.current_replicas,
        desired_replicas=decision.desired_replicas,
        uncapped_replicas=decision.uncapped_replicas,
        reason=decision.final_reason or None,
        message=final_message(decision) or None,
        hold_reason=decision.hold_reason or None,
        outcome=told[0],
        outcome_message=told[1],
        written_replicas=written,
        quantile=_finite(decision.level),
        lead_time_seconds=_finite(decision.lead_time_seconds),
        lead_time_source=decision.lead_time_source,
        capacity_per_replica=_finite(serves.per_replica) if serves else None,
        capacity_source=serves.source if serves else UNKNOWN,
        inputs=[_input(one) for one in decision.inputs[:MAX_INPUTS]] or None,
        proposals=[
            DecisionProposal(name=one.name, replicas=one.replicas, message=one.message or None)
            for one in decision.proposals[:MAX_ITEMS]
        ]
        or None,
        steps=[_step(step) for step in decision.steps[:MAX_ITEMS]] or None,
        caps=[_cap(cap) for cap in decision.caps[:MAX_ITEMS]] or None,
    )


def _outcome(
    decision: Decision, result: ScaleResult | None, refusal: WriteRefusal | None
) -> tuple[tuple[str | None, str | None], int | None]:
    """The outcome with its sentence, and the count that was written."""
    if result is not None:
        action = result.action
        change = f"{action.from_replicas} -> {action.to_replicas} replicas"
        message = f"{change}: {result.message}" if result.message else change
        return (result.outcome.value, message[:MAX_MESSAGE]), result.replicas if result.written else None
    if refusal is not None and any(step.reason == WRITE_REFUSED for step in decision.steps):
        change = f"{refusal.from_replicas} -> {refusal.to_replicas} replicas"
        return (refusal.outcome, f"{change}, not tried again yet: {refusal.message}"[:MAX_MESSAGE]), None
    return (None, None), None


def final_message(decision: Decision) -> str:
    """The sentence of the step whose reason stands for the decision."""
    return next((step.message for step in reversed(decision.steps) if step.reason == decision.final_reason), "")


def why(result: ScaleResult, decision: Decision) -> str:
    """The sentence of what an action was for."""
    if any(step.reason == RESTORED for step in decision.steps):
        now = "is restored" if result.written else "is to be restored"
        limited = "" if result.action.reason == RESTORED else f", as far as it may be: {final_message(decision)}"
        return f"The optimizer was deleted: its original count of {_original(decision)} {now}{limited}"
    return final_message(decision)


def _original(decision: Decision) -> int:
    """What a restoration aims at, whatever limits it."""
    return next(step.after for step in decision.steps if step.stage is Stage.SIZE)


def _input(given: Input) -> DecisionInput:
    return DecisionInput(
        name=given.name,
        value=_finite(given.value),
        at_least=given.at_least or None,
        age_seconds=_finite(given.age_seconds),
        note=given.note or None,
    )


def _step(step: Step) -> DecisionStep:
    return DecisionStep(
        stage=step.stage.value, before=step.before, after=step.after, reason=step.reason, message=step.message or None
    )


def _cap(cap: CapState) -> DecisionCap:
    return DecisionCap(
        name=cap.name,
        limit=cap.limit,
        used=_finite(cap.used),
        binding=cap.binding,
        floor_excess=_finite(cap.floor_excess) if cap.floor_excess else None,
    )


def _finite(value: float | None) -> float | None:
    """JSON has no infinity; six significant digits are enough for people."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
