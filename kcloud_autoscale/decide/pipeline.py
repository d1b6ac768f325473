"""The order of the rules, which is a contract: hard limits after soft rules, and nothing raises a count after caps.

guard → size → stabilize → place, each workload by itself: place bounds the count by what finds a node (which node is
not chosen here; consolidate has its position and its name in `Stage`). Then caps, whose limits are shared, and stage,
which orders the writes of the whole fleet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from kcloud_autoscale.decide.budget import shared_budgets
from kcloud_autoscale.decide.caps import cap, own_caps
from kcloud_autoscale.decide.counting import count_pods, unchanged
from kcloud_autoscale.decide.guard import RESTORED, Control, guard
from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.decide.rate import events_that_happened
from kcloud_autoscale.decide.record import decision_of, idle_since, missing_target, state_after
from kcloud_autoscale.decide.refusal import forbids, standing
from kcloud_autoscale.decide.room import Room
from kcloud_autoscale.decide.share import share
from kcloud_autoscale.decide.size import size
from kcloud_autoscale.decide.slots import limited, look
from kcloud_autoscale.decide.stabilize import bounded, stabilize
from kcloud_autoscale.decide.stage import stage
from kcloud_autoscale.decide.zero import first_replica, last_replica
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import FleetDecision, Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import NodeObservation, TargetObservation
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.state import DecisionState, ScopeSpend

_NOTHING: Mapping[str, ScopeSpend] = MappingProxyType({})
_NO_NODES: Mapping[str, NodeObservation] = MappingProxyType({})


@frozen
class FleetOutcome:
    """What was decided, and what the rules remember for the next tick, in the order of the cases."""

    fleet: FleetDecision
    states: tuple[DecisionState, ...]


def decide_fleet(
    cases: Sequence[Case],
    policy: FleetPolicy,
    now_seconds: float,
    spends: Mapping[str, ScopeSpend] = _NOTHING,
    nodes: Mapping[str, NodeObservation] = _NO_NODES,
) -> FleetOutcome:
    """Decide for all workloads of one budget scope.

    Args:
        cases: One per workload, with its forecast, capacity and price.
        policy: What they share.
        now_seconds: Unix time of this tick.
        spends: What each of its cost scopes has spent until now; a scope that is not in it has spent nothing.
        nodes: With what is free on each.

    Returns:
        Decisions and states in the order of the cases, and the writes in the order they must be made.
    """
    room = Room(nodes)
    made = [_plan(case, policy, room, now_seconds) for case in cases]
    plans = [plan for plan in made if plan is not None]
    # A budget bounds what is spent in a cycle, not what runs at an instant: the order of the writes need not heed it.
    budgets = shared_budgets(policy.cost_scopes, spends, policy.cycle_seconds, now_seconds)
    share(plans, policy.shared_caps, budgets, room, policy.cycle_seconds)
    for plan in plans:
        if plan.limits:
            plan.caps = [*own_caps(plan, policy.cycle_seconds), *plan.caps]
    actions = stage(plans, policy.shared_caps, now_seconds)
    by_key = {action.key: action for action in actions}
    decisions, states = [], []
    for case, found in zip(cases, made, strict=True):
        if found is None:
            decision, state = missing_target(case, decision_id(case, now_seconds), now_seconds)
        else:
            decision = decision_of(found, by_key.get(case.policy.key), now_seconds)
            state = state_after(found, policy.cycle_seconds, now_seconds)
        decisions.append(decision)
        states.append(state)
    return FleetOutcome(FleetDecision(tuple(decisions), actions), tuple(states))


def decision_id(case: Case, now_seconds: float) -> str:
    """Twelve hexadecimal digits, the same for the same workload and instant: one in 280 million million."""
    key = case.policy.key
    return hashlib.blake2b(f"{key.namespace}/{key.name}@{now_seconds!r}".encode(), digest_size=6).hexdigest()


def _plan(case: Case, fleet: FleetPolicy, room: Room, now_seconds: float) -> Plan | None:
    """One workload by itself, up to its own hard limits; None when its target is unknown."""
    target, state = case.seen.target, case.state.decided
    if not isinstance(target, TargetObservation):
        return None
    current, pods = target.desired_replicas, count_pods(target)
    guarded = guard(case, current, fleet, now_seconds)
    slots = look(case, target, room, fleet.cycle_seconds, now_seconds)
    made_at = decision_id(case, now_seconds)
    plan = Plan(case, target, pods, guarded, slots, current, current, current, current, made_at)
    plan.steps.append(guarded.step)
    plan.recommendations = state.recommendations
    plan.events = events_that_happened(state.scale_events, current, state.last_desired)
    if guarded.sizable:
        _soft_rules(plan, fleet, now_seconds)
    elif guarded.step.reason == RESTORED:
        _restore(plan)
    else:
        _hold(plan)
    plan.replicas = plan.uncapped = plan.steps[-1].after
    found = limited(slots, plan.replicas, case.policy.min_replicas)
    if found is not None and guarded.control is not Control.HANDS_OFF:
        plan.limit(found.after, found)
    # consolidate belongs here.
    cap(plan, fleet, now_seconds)
    _heed_refusal(plan, now_seconds)
    return plan


def _heed_refusal(plan: Plan, now_seconds: float) -> None:
    """A count that was refused a moment ago stays as it is, and others are not promised what it holds."""
    refusal = standing(plan.case.state.decided.refusal, plan.current, now_seconds)
    if refusal is None or not plan.acting:
        return
    if forbids(refusal, plan.replicas):
        plan.refusal = refusal
    elif refusal.to_replicas < refusal.from_replicas:
        plan.least_written = plan.current


def _soft_rules(plan: Plan, fleet: FleetPolicy, now_seconds: float) -> None:
    case, current = plan.case, plan.current
    plan.sized = sized = size(case, plan.guarded.signals, current, plan.pods, fleet)
    plan.steps.append(sized.step)
    stabilized = stabilize(
        sized.wanted,
        current,
        case.policy,
        plan.recommendations,
        plan.events,
        plan.guarded.may_shrink,
        fleet.cycle_seconds,
        now_seconds,
    )
    plan.steps.extend(stabilized.steps)
    _around_zero(plan, sized.wanted, now_seconds)
    # As in HPA, a smaller count that rests on a part of the metrics is not remembered: no up window waits for it.
    if plan.guarded.signals.complete or sized.wanted >= current:
        plan.recommendations = stabilized.recommendations


def _around_zero(plan: Plan, wanted: int, now_seconds: float) -> None:
    """The first replica comes at once, the last one goes after a quiet time."""
    after = plan.steps[-1].after
    if plan.current == 0 and wanted > 0 and after == 0:
        plan.steps.append(first_replica())
    elif plan.current > 0 and after == 0:
        kept = last_replica(plan.case, idle_since(plan, now_seconds), now_seconds)
        if kept is not None:
            plan.steps.append(kept)


def _restore(plan: Plan) -> None:
    """The way back of a deleted optimizer: the count found at adoption, within the bounds; the hard limits follow.

    A workload that was found at 0 was paused by hand, and goes back to that.
    """
    original = plan.case.state.original_replicas or 0
    text = "the optimizer was deleted: its original count is {}"
    plan.steps.append(Step(Stage.SIZE, plan.current, original, RESTORED, text, (original,)))
    limits = bounded(original, plan.case.policy) if original else None
    plan.steps.append(limits or unchanged(Stage.STABILIZE, original, RESTORED))


def _hold(plan: Plan) -> None:
    """Nothing to compute from: the count stays, within the bounds of the spec where it is ours."""
    held = plan.guarded.replicas
    plan.steps.append(unchanged(Stage.SIZE, held, "Held"))
    limits = None if plan.guarded.control is Control.HANDS_OFF else bounded(held, plan.case.policy)
    plan.steps.append(limits or unchanged(Stage.STABILIZE, held, "Held"))
