"""The part of an explanation that says what limits a count, in the units of each limit. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kcloud_autoscale.api.workload_status import DecisionCap, LastDecision, WorkloadOptimizerStatus
from kcloud_autoscale.domain.capacity import AT_LEAST
from kcloud_autoscale.report.advice import advised
from kcloud_autoscale.report.phrases import clock, folded, replicas, table

# Of the limits of a workload, and of those it shares, which are named as in POLICY/LIMIT.
_UNITS = {
    "maxCostPerHour": "$/h",
    "costPerHourLimit": "$/h",
    "maxPowerUsage": "W",
    "budgetLimit": "$",
    "monthlyBudget": "$",
}
_OWN_RATES = ("maxCostPerHour", "maxPowerUsage")
_RATE_LIMITS = ("ScaleUpLimit", "ScaleDownLimit", "WaitsForRoom")


def limits(status: WorkloadOptimizerStatus, decision: LastDecision) -> list[str]:
    """How what will run stands to each limit, and what they took."""
    rows = [(cap.name, _cap(cap)) for cap in decision.caps or ()]
    if status.budget is not None and status.budget.spent is not None:
        left = f", {status.budget.remaining:,.2f} left" if status.budget.remaining is not None else ""
        out = status.budget.projected_exhaustion_time
        gone = f"; at this rate it is spent at {clock(out)}" if out is not None else ""
        rows.append((f"budget ({status.budget.period or 'Total'})", f"{status.budget.spent:,.2f} $ spent{left}{gone}"))
    lines = table(rows)
    wanted, got = decision.uncapped_replicas, decision.desired_replicas
    if wanted is not None and got is not None and wanted > got:
        lines += folded(f"They took {replicas(wanted - got)}: {wanted} without them, {got} with them.")
    return lines + [line for remark in _remarks(decision) for line in folded(remark)]


def _cap(cap: DecisionCap) -> str:
    used = "use unknown" if cap.used is None else f"{amount(cap, cap.used)} used"
    over = f"; minReplicas alone exceeds it by {amount(cap, cap.floor_excess)}" if cap.floor_excess else ""
    return f"{amount(cap, cap.limit)}, {used}{' - it cut this decision' if cap.binding else ''}{over}"


def amount(cap: DecisionCap, value: float) -> str:
    """A value with the unit of its limit."""
    return f"{value:,.2f} {_UNITS.get(cap.name.rpartition('/')[2], '')}".rstrip()


def _remarks(decision: LastDecision) -> Iterator[str]:
    """What comes by itself, and what no count can mend."""
    for step in decision.steps or ():
        if step.reason in _RATE_LIMITS and step.before != step.after == decision.desired_replicas:
            yield f"The way from {step.after} to {step.before} follows in the next cycles, as {step.reason} allows."
    for cap in decision.caps or ():
        if cap.floor_excess:
            yield f"To keep to {cap.name}: raise it by {amount(cap, cap.floor_excess)}, or lower minReplicas."


def held_back(status: WorkloadOptimizerStatus, decision: LastDecision) -> Iterator[tuple[str, str]]:
    """What limits leave of the replicas that are wanted, and the smallest change that lets all of them run."""
    price = "" if advised(status) else _price(decision)
    for step in decision.steps or ():
        if step.reason == "MaxReplicas" and step.before > step.after:
            field = "spec.autoScaling.maxReplicas"
            left = f"maxReplicas leaves {step.after} of the {replicas(step.before)} that are wanted{price}."
            yield left, f"To let all {step.before} run: raise {field} from {step.after} to {step.before}."
    binding = [cap for cap in decision.caps or () if cap.binding]
    if binding:
        names, leave = " and ".join(cap.name for cap in binding), "leave" if len(binding) > 1 else "leaves"
        wanted, got = decision.uncapped_replicas, decision.desired_replicas
        left = f"{names} {leave} {got} of the {wanted} replicas that are wanted{price}."
        yield left, " ".join(_way_out(cap, status, decision) for cap in binding)


def _price(decision: LastDecision) -> str:
    """What goes without: at 10 per second each, 2 replicas serve 20 of 45 per second, and requests wait."""
    seen = next((one for one in decision.inputs or () if one.name == "demand_per_second"), None)
    each, count = decision.capacity_per_replica, decision.desired_replicas
    if seen is None or seen.value is None or each is None or count is None or decision.capacity_source == AT_LEAST:
        return ""
    demand, bound = seen.value, "at least " if seen.at_least else ""
    if demand > each * count * (1.0 + 1e-9):  # 0.3 is not above 3 * 0.1
        return f"; {bound}{demand:g} per second meet a capacity of {each * count:g}: latency gives way"
    if bound:
        return ""  # whether all that comes is served, nobody knows
    return f"; the {demand:g} per second of now are served: headroom gives way"


def _way_out(cap: DecisionCap, status: WorkloadOptimizerStatus, decision: LastDecision) -> str:
    if cap.used is None:
        return f"What a replica takes of {cap.name} is not known, so nothing grows: see PriceKnown and PowerKnown."
    policy, _, limit = cap.name.rpartition("/")
    all_run = f"To let all {decision.uncapped_replicas} run: raise"
    running = decision.current_replicas if advised(status) else decision.desired_replicas
    needed = _needed(cap, decision, running) if cap.name in _OWN_RATES else None
    if needed is not None:
        return f"{all_run} {_field(cap)} from {cap.limit:g} to {needed:g} {_UNITS[limit]}."
    priority = ", or this workload's spec.priority" if policy else ""
    told = [step.message for step in decision.steps or () if step.message and cap.name in step.message]
    how_much = f" ({told[-1]})" if told else ""
    return f"{all_run} {_field(cap)} above {amount(cap, cap.limit)}{priority}{how_much}."


def _field(cap: DecisionCap) -> str:
    """Where the limit is set."""
    policy, _, limit = cap.name.rpartition("/")
    if policy:
        return f"spec.{limit} of the {'PowerPolicy' if limit == 'maxPowerUsage' else 'CostPolicy'} {policy}"
    return f"spec.{'powerConstraints' if limit == 'maxPowerUsage' else 'costConstraints'}.{limit}"


def _needed(cap: DecisionCap, decision: LastDecision, running: int | None) -> float | None:
    """What the uncapped count takes, rounded up to cents; None where the use of one replica cannot be told.

    A limit is told what will run takes: 8 $/h for 2 are 4 $/h each, so the 5 that were wanted take 20 $/h.
    """
    wanted = decision.uncapped_replicas
    if cap.used is None or not running or wanted is None:
        return None
    return math.ceil(cap.used / running * wanted * 100.0 - 1e-6) / 100.0
