"""Hard limits of one workload: $/h, watts and the budget. After this nothing raises the count."""

from __future__ import annotations

from collections.abc import Iterator

from kcloud_autoscale.decide.budget import allowance
from kcloud_autoscale.decide.counting import excess, replicas_within, unchanged
from kcloud_autoscale.decide.guard import Control
from kcloud_autoscale.decide.plan import Cap, Plan
from kcloud_autoscale.domain.decision import CapState, Stage, Step
from kcloud_autoscale.domain.policy import Caps, CapUnit, FleetPolicy
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.units import usd

NO_CAPS = Caps()
MAX_COST, MAX_POWER, BUDGET = "maxCostPerHour", "maxPowerUsage", "budgetLimit"
UNIT_TEXT = {CapUnit.USD_PER_HOUR: "$/h", CapUnit.WATTS: "W"}
_CAP_TEXT = "{} replicas need {:.2f} {}, {} allows {:.2f}: {} fit; {} gives way; {:+.2f} {} would make room"
_FLOOR_TEXT = "minReplicas {} alone exceeds {} by {:.2f} {}; {} replicas were wanted"
_UNKNOWN_TEXT = "what a replica takes of {} is not known ({}): no growth beyond {}"


def cap(plan: Plan, fleet: FleetPolicy, now_seconds: float) -> None:
    """Lower the count of one workload to what its own limits allow.

    Args:
        plan: Of the workload; its count, its step and its limits are filled in.
        fleet: The time between ticks, for the budget.
        now_seconds: Unix time of this tick.
    """
    if plan.case.policy.caps == NO_CAPS:
        plan.steps.append(unchanged(Stage.CAPS, plan.replicas, "NoCaps"))
        return
    before, tightest = plan.replicas, None
    allowed: list[tuple[Cap, int | None]] = []
    for limit in _caps(plan, fleet, now_seconds):
        fits = _fits(plan, limit, fleet)
        allowed.append((limit, fits))
        step = _step(plan, limit, fits)
        if step is not None and (tightest is None or step.after < tightest.after):
            tightest = step
    if plan.guarded.control is Control.HANDS_OFF:
        tightest = None
    plan.steps.append(tightest or unchanged(Stage.CAPS, before, "WithinCaps"))
    plan.replicas = plan.steps[-1].after
    for limit, fits in allowed:
        plan.limits.append((limit, tightest is not None and _allows(plan, fits) < before))


def own_caps(plan: Plan, cycle_seconds: float) -> list[CapState]:
    """How what will run stands to the workload's own limits, once nothing lowers the count any more."""
    return [_state(plan, limit, cycle_seconds, binding) for limit, binding in plan.limits]


def gives_way(plan: Plan, replicas: int) -> str:
    """What a workload goes without at a count."""
    observed = plan.sized.observed_need if plan.sized is not None else None
    if observed is None:
        return "the load"
    return "latency" if replicas < observed else "headroom"


def _caps(plan: Plan, fleet: FleetPolicy, now_seconds: float) -> Iterator[Cap]:
    caps = plan.case.policy.caps
    if caps.max_usd_per_hour is not None:
        yield Cap(MAX_COST, CapUnit.USD_PER_HOUR, caps.max_usd_per_hour)
    if caps.max_watts is not None:
        yield Cap(MAX_POWER, CapUnit.WATTS, caps.max_watts)
    if caps.budget_usd is not None:
        ledger, cycle = plan.case.ledger, fleet.cycle_seconds
        allowed = allowance(plan.case.policy, ledger, caps.budget_usd, cycle, now_seconds)
        yield Cap(BUDGET, CapUnit.USD_PER_HOUR, allowed.usd_per_hour, caps.budget_usd, allowed.spent_usd)


def _fits(plan: Plan, limit: Cap, fleet: FleetPolicy) -> int | None:
    """Replicas that a limit has room for, and a note of it for the transition; None where nobody knows."""
    each = plan.most(limit.unit)
    if isinstance(each, Missing):
        return None
    fits = replicas_within(limit.rate, each.value)
    if isinstance(plan.each(limit.unit), Missing):
        fits = max(fits, plan.current)  # an estimate from above bounds growth; it is no reason to take what runs
    if limit.budget_usd is None:
        plan.own_room = fits if plan.own_room is None else min(plan.own_room, fits)
    return fits


def _allows(plan: Plan, fits: int | None) -> int:
    """minReplicas is never cut; where the need of a replica is unknown, nothing grows."""
    return max(plan.current if fits is None else fits, plan.case.policy.min_replicas)


def _step(plan: Plan, limit: Cap, fits: int | None) -> Step | None:
    wanted, allowed, least = plan.replicas, _allows(plan, fits), plan.case.policy.min_replicas
    each = plan.most(limit.unit)
    reason = limit.name[0].upper() + limit.name[1:]
    if wanted <= allowed:
        return None
    if fits is None or isinstance(each, Missing):
        why = each.message if isinstance(each, Missing) else ""
        return Step(Stage.CAPS, wanted, allowed, reason, _UNKNOWN_TEXT, (limit.name, why, allowed))
    unit = UNIT_TEXT[limit.unit]
    if fits < least:
        over = least * each.value - limit.rate
        return Step(Stage.CAPS, wanted, allowed, reason, _FLOOR_TEXT, (least, limit.name, over, unit, wanted))
    need = wanted * each.value
    values = (wanted, need, unit, limit.name, limit.rate, fits, gives_way(plan, allowed), need - limit.rate, unit)
    return Step(Stage.CAPS, wanted, allowed, reason, _CAP_TEXT, values)


def _state(plan: Plan, limit: Cap, cycle_seconds: float, binding: bool) -> CapState:
    """How what will run stands to a limit; a budget is looked at as it will stand at the next tick."""
    each = plan.most(limit.unit)
    shown = limit.rate if limit.budget_usd is None else limit.budget_usd
    if isinstance(each, Missing):
        return CapState(limit.name, shown, None, binding)
    used, floor = plan.will_run * each.value, plan.floor * each.value
    if limit.budget_usd is not None:
        used, floor = limit.spent_usd + usd(used, cycle_seconds), limit.spent_usd + usd(floor, cycle_seconds)
    return CapState(limit.name, shown, used, binding, excess(floor, shown))
