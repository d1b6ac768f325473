"""What was decided, written down: the Decision for people and machines, the state for the next tick."""

from __future__ import annotations

from dataclasses import replace

from kcloud_autoscale.decide import refusal
from kcloud_autoscale.decide.conditions import facts, facts_without_target
from kcloud_autoscale.decide.guard import NOTHING, PAUSED
from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.decide.rate import remembered
from kcloud_autoscale.decide.zero import NO_SIGNAL, asleep_after, idle
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import Decision, Input, ScaleAction, ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.observation import TargetObservation
from kcloud_autoscale.domain.reading import AtLeast, BoundedReading, Missing, MissingReason
from kcloud_autoscale.domain.state import DecisionState, HeldCount, ScaleEvent

_UNIT = {"latency": "latency_seconds", "requests": "requests_per_second", "queue": "queue_waiting"}


def decision_of(plan: Plan, action: ScaleAction | None, now_seconds: float) -> Decision:
    """The whole story of one workload's tick."""
    case, sized = plan.case, plan.sized
    return Decision(
        id=plan.decision_id,
        key=case.policy.key,
        at_seconds=now_seconds,
        current_replicas=plan.current,
        desired_replicas=plan.replicas,
        uncapped_replicas=plan.uncapped,
        ready_replicas=plan.pods.ready,
        steps=tuple(plan.steps),
        inputs=_inputs(plan, now_seconds),
        proposals=sized.proposals if sized is not None else (),
        forecast=case.forecast,
        level=sized.level if sized is not None else None,
        lead_time_seconds=case.lead_time_seconds,
        lead_time_source=case.lead_time_source,
        capacity=case.capacity,
        usd_per_replica_hour=case.usd_per_replica_hour,
        watts_per_replica=case.watts_per_replica,
        caps=tuple(plan.caps),
        pending_replicas=plan.slots.waiting,
        schedulable_replicas=plan.slots.state.fits,
        hold_reason=plan.guarded.hold_reason,
        conditions=facts(plan),
        action=action,
    )


def state_after(plan: Plan, cycle_seconds: float, now_seconds: float) -> DecisionState:
    """The memory for the next tick. A change is noted when asked for; the next look at the count confirms it."""
    guarded = plan.guarded
    events = remembered(plan.events, plan.case.policy, cycle_seconds, now_seconds)
    if plan.asked != plan.current:
        events = (*events, ScaleEvent(now_seconds, plan.asked - plan.current))
    return DecisionState(
        since_seconds=plan.case.state.decided.since_seconds,
        good_since_seconds=guarded.good_since_seconds,
        unknown_since_seconds=guarded.unknown_since_seconds,
        recommendations=plan.recommendations,
        scale_events=events,
        last_desired=plan.asked,
        asleep=asleep_after(guarded.hold_reason == PAUSED, plan.asked),
        idle_since_seconds=idle_since(plan, now_seconds),
        kept_awake_generation=_kept_awake(plan),
        waiting_since_seconds=plan.waiting_since_seconds,
        tried_seconds=plan.case.state.decided.tried_seconds,
        refusal=plan.case.state.decided.refusal,
        held=HeldCount(guarded.replicas, plan.current, plan.asked) if guarded.hold_reason == NOTHING else None,
        slots=plan.slots.state,
    )


def idle_since(plan: Plan, now_seconds: float) -> float | None:
    """Since when nobody has asked anything; None where somebody does, or where it is not known."""
    signals = plan.guarded.signals
    values = {target.name: value for target, _, value in signals.metrics}
    if not idle(plan.case, signals.demand, signals.complete, values):
        return None
    before = plan.case.state.decided.idle_since_seconds
    return now_seconds if before is None else before


def _kept_awake(plan: Plan) -> int | None:
    """The generation of a spec whose signal was found to go with the pods."""
    if plan.guarded.step.reason == NO_SIGNAL:
        return plan.case.policy.generation
    return plan.case.state.decided.kept_awake_generation


def state_after_write(
    state: DecisionState, result: ScaleResult, others_written: bool, now_seconds: float
) -> DecisionState:
    """The same memory once it is known what became of the write: what was not done is not remembered as done.

    A write that got no answer may have been made all the same: the next look at the count tells.

    Args:
        state: As the tick left it, the write taken as made.
        result: Of the write.
        others_written: Whether another write of the cycle was made.
        now_seconds: Unix time of the tick.
    """
    if result.outcome is not ScaleOutcome.WRITTEN and result.outcome is not ScaleOutcome.FAILED:
        state = _undone(state, result.action, now_seconds)
    if result.outcome is not ScaleOutcome.WRITTEN and result.action.from_replicas == 0:
        state = replace(state, asleep=True)  # its wake-up did not come through, as far as anybody knows
    if result.outcome.tried:
        state = replace(state, waiting_since_seconds=None, tried_seconds=now_seconds)
    return replace(state, refusal=refusal.after(state.refusal, result, others_written, now_seconds))


def _undone(state: DecisionState, action: ScaleAction, now_seconds: float) -> DecisionState:
    events = state.scale_events
    if events and events[-1] == ScaleEvent(now_seconds, action.to_replicas - action.from_replicas):
        events = events[:-1]
    return replace(state, scale_events=events, last_desired=action.from_replicas, asleep=action.from_replicas == 0)


def missing_target(case: Case, decision_id: str, now_seconds: float) -> tuple[Decision, DecisionState]:
    """No target, no decision, and the run of good data is broken."""
    missing = case.seen.target
    if isinstance(missing, TargetObservation):
        raise TypeError("the target is known")
    decision = Decision(
        id=decision_id,
        key=case.policy.key,
        at_seconds=now_seconds,
        current_replicas=None,
        desired_replicas=None,
        forecast=case.forecast,
        lead_time_seconds=case.lead_time_seconds,
        lead_time_source=case.lead_time_source,
        capacity=case.capacity,
        usd_per_replica_hour=case.usd_per_replica_hour,
        watts_per_replica=case.watts_per_replica,
        hold_reason="TargetNotFound",
        conditions=facts_without_target(missing),
    )
    return decision, DecisionState(case.state.decided.since_seconds, slots=case.state.decided.slots)


def _inputs(plan: Plan, now_seconds: float) -> tuple[Input, ...]:
    """The numbers a decision rests on, with their ages; what nobody asked for is left out."""
    seen, pods = plan.case.seen, plan.pods
    inputs = [_input("demand_per_second", seen.demand, now_seconds)] if _asked(seen.demand) else []
    inputs += [_input(_UNIT.get(m.name, f"{m.name}_fraction"), m.total, now_seconds) for m in seen.metrics]
    starting = pods.placed - pods.ready
    if starting:
        inputs.append(Input("starting_replicas", float(starting), 0.0))
    if plan.slots.waiting:
        inputs.append(Input("pending_replicas", float(plan.slots.waiting), 0.0))
    if pods.leaving:
        inputs.append(Input("leaving_replicas", float(pods.leaving), 0.0))
    return tuple(inputs)


def _asked(reading: BoundedReading) -> bool:
    return not (isinstance(reading, Missing) and reading.reason is MissingReason.NOT_CONFIGURED)


def _input(name: str, reading: BoundedReading, now_seconds: float) -> Input:
    if isinstance(reading, Missing):
        return Input(name, None, None, reading.message or reading.reason.value)
    if isinstance(reading, AtLeast):
        return Input(name, reading.value, max(0.0, now_seconds - reading.at_seconds), reading.message, at_least=True)
    return Input(name, reading.value, reading.age_seconds(now_seconds), reading.source)
