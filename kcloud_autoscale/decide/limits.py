"""The hard limits alone, over counts that something else has decided: what any autoscaler could run under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kcloud_autoscale.decide.budget import shared_budgets
from kcloud_autoscale.decide.caps import cap
from kcloud_autoscale.decide.counting import count_pods, unchanged
from kcloud_autoscale.decide.guard import CLEAR, Control, Guarded
from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.decide.room import Room
from kcloud_autoscale.decide.share import share
from kcloud_autoscale.decide.signals import Signals
from kcloud_autoscale.decide.slots import unbounded
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import TargetObservation
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.state import ScopeSpend
from kcloud_autoscale.domain.workload import WorkloadKey

_NOTHING = Signals(None, (), (), complete=False, usable=False)


@frozen
class Limited:
    """A count within every limit, and the step that lowered it last; None where none did."""

    replicas: int
    step: Step | None


def limited_counts(
    cases: Sequence[Case],
    wanted: Mapping[WorkloadKey, int],
    policy: FleetPolicy,
    spends: Mapping[str, ScopeSpend],
    now_seconds: float,
) -> dict[WorkloadKey, Limited]:
    """What is left of the wanted counts: own limits first, then the shared ones by priority, as in every decision.

    Args:
        cases: One per workload, with its price, draw and ledger; its target is known.
        wanted: Within the bounds of each.
        policy: Limits that are shared, and the time between decisions.
        spends: What each cost scope has spent until now.
        now_seconds: Unix time.
    """
    plans = [_plan(case, wanted[case.policy.key]) for case in cases]
    for plan in plans:
        cap(plan, policy, now_seconds)
    budgets = shared_budgets(policy.cost_scopes, spends, policy.cycle_seconds, now_seconds)
    share(plans, policy.shared_caps, budgets, Room({}), policy.cycle_seconds)
    return {plan.case.policy.key: _limited(plan) for plan in plans}


def _plan(case: Case, wanted: int) -> Plan:
    target = case.seen.target
    if not isinstance(target, TargetObservation):
        raise TypeError(f"{case.policy.key}: the target is not known")
    current = target.desired_replicas
    clear = unchanged(Stage.GUARD, current, CLEAR)
    guarded = Guarded(current, Control.ACT, True, True, "", _NOTHING, None, None, clear)
    return Plan(case, target, count_pods(target), guarded, unbounded(target), current, wanted, wanted, wanted, "")


def _limited(plan: Plan) -> Limited:
    lowered = [step for step in plan.steps if step.after < step.before]
    return Limited(plan.replicas, lowered[-1] if lowered else None)
