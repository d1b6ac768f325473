"""The part of an explanation that says what limits a count, in the units of each limit. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kcloud_autoscale.api.workload_status import DecisionCap, LastDecision, WorkloadOptimizerStatus
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
_OWN_CAPS = {
    "maxCostPerHour": ("spec.costConstraints.maxCostPerHour", "$/h"),
    "maxPowerUsage": ("spec.powerConstraints.maxPowerUsage", "W"),
}
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
    return lines + [line for way in _ways_out(status, decision) for line in folded(way)]


def _cap(cap: DecisionCap) -> str:
    used = "use unknown" if cap.used is None else f"{amount(cap, cap.used)} used"
    over = f"; minReplicas alone exceeds it by {amount(cap, cap.floor_excess)}" if cap.floor_excess else ""
    return f"{amount(cap, cap.limit)}, {used}{' - it cut this decision' if cap.binding else ''}{over}"


def amount(cap: DecisionCap, value: float) -> str:
    """A value with the unit of its limit."""
    return f"{value:,.2f} {_UNITS.get(cap.name.rpartition('/')[2], '')}".rstrip()


def _ways_out(status: WorkloadOptimizerStatus, decision: LastDecision) -> Iterator[str]:
    """The smallest change after which everything wanted fits."""
    for step in decision.steps or ():
        if step.reason == "MaxReplicas" and step.before > step.after:
            field = "spec.autoScaling.maxReplicas"
            yield f"To let all {step.before} run: raise {field} from {step.after} to {step.before}."
        if step.reason in _RATE_LIMITS and step.before != step.after == decision.desired_replicas:
            yield f"The way from {step.after} to {step.before} follows in the next cycles, as {step.reason} allows."
    for cap in decision.caps or ():
        field, unit = _OWN_CAPS.get(cap.name, ("", ""))
        needed = _needed(cap, decision, decision.current_replicas if advised(status) else decision.desired_replicas)
        if field and needed is not None:
            yield f"To let all {decision.uncapped_replicas} run: raise {field} from {cap.limit:g} to {needed:g} {unit}."
        if cap.floor_excess:
            yield f"To keep to {cap.name}: raise it by {amount(cap, cap.floor_excess)}, or lower minReplicas."


def _needed(cap: DecisionCap, decision: LastDecision, running: int | None) -> float | None:
    """What the uncapped count takes, rounded up to cents; None where the use of one replica cannot be told.

    A limit is told what will run takes: 8 $/h for 2 are 4 $/h each, so the 5 that were wanted take 20 $/h.
    """
    wanted = decision.uncapped_replicas
    if not cap.binding or cap.used is None or not running or wanted is None:
        return None
    return math.ceil(cap.used / running * wanted * 100.0 - 1e-6) / 100.0
