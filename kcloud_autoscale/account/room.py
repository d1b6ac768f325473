"""The world the baseline lives in: the limits of the workload, its share of shared ones, and the slots of the cluster.

An HPA without limits and with devices that nobody has would cost whatever one likes, and every failure of ours would
count as a saving beside it. So the baseline runs what it wants only as far as it could have: within ``maxReplicas``,
the workload's own hard limits, what the members' baselines together may take of a shared limit (floors first, then by
priority, as our own counts are), budgets reckoned with what the *baseline* would have spent of them, and the replicas
that the cluster was seen to have room for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from kcloud_autoscale.account.worth import Worth
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import TargetObservation
from kcloud_autoscale.domain.periods import carried_usd, paced_usd_per_hour, period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod, CapUnit, CostScope, FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, Reading
from kcloud_autoscale.domain.state import BaselineState, Ledger, ScopeSpend, Slots
from kcloud_autoscale.domain.units import SECONDS_PER_DAY
from kcloud_autoscale.domain.workload import WorkloadKey

# Where its scheduler says nothing: a pod is bound within a second or two where there is room for it.
SCHEDULING_SECONDS = 30.0
# Nodes come and go; what was not tried since is believed for a day. Too small a room only understates what was saved.
REMEMBERED_SECONDS = SECONDS_PER_DAY
_ROUNDING = 1e-9


@frozen
class Claim:
    """One workload's baseline, and what bounds it.

    Attributes:
        policy: Its limits, floor and priority.
        target: What runs, and its pods; Missing while unknown.
        baseline: What it wants.
        worth: Price and draw of a replica.
        ledger: What it would have spent so far.
    """

    policy: WorkloadPolicy
    target: TargetObservation | Missing
    baseline: BaselineState
    worth: Worth
    ledger: Ledger | None


def rooms(
    claims: Sequence[Claim], fleet: FleetPolicy, spends: Mapping[str, ScopeSpend], now_seconds: float
) -> dict[WorkloadKey, int]:
    """The most replicas that each baseline could run now; a workload without any limit is absent.

    Args:
        claims: One per workload.
        fleet: Shared limits and the time between ticks.
        spends: What each cost scope has spent, and would have.
        now_seconds: Unix time of this tick.
    """
    found = {claim.policy.key: own for claim in claims if (own := _own(claim, fleet, now_seconds)) is not None}
    limits = [(cap.members, cap.unit, cap.limit) for cap in fleet.shared_caps]
    for scope in fleet.cost_scopes:
        limits += [(scope.members, CapUnit.USD_PER_HOUR, rate) for rate in _rates(scope, fleet, spends, now_seconds)]
    for members, unit, limit in limits:
        _share([claim for claim in claims if claim.policy.key in members], unit, limit, found)
    return found


def seen_slots(before: Slots | None, target: TargetObservation | Missing, now_seconds: float) -> Slots | None:
    """What the cluster has room for, as it shows itself.

    Where pods wait for a node, or a quota refuses more of them, what is bound is all there is.

    What was seen stands until more than that is bound, or for a day.
    """
    if isinstance(target, Missing):
        return before
    bound = target.pods.held
    waiting = [pod for pod in target.pods if pod.node is None and pod.staying]
    refused = target.creation_refused or any(pod.unscheduled for pod in waiting)
    if refused or any(now_seconds - pod.created_seconds >= SCHEDULING_SECONDS for pod in waiting):
        return Slots(bound, now_seconds)
    if before is None or bound > before.replicas or now_seconds - before.seen_seconds > REMEMBERED_SECONDS:
        return None
    return before


def _own(claim: Claim, fleet: FleetPolicy, now_seconds: float) -> int | None:
    """Of its own limits and of the cluster's slots, the tightest; the floor is never cut by money."""
    caps, room = claim.policy.caps, None
    limits = [(CapUnit.USD_PER_HOUR, caps.max_usd_per_hour), (CapUnit.WATTS, caps.max_watts)]
    if caps.budget_usd is not None:
        limits.append((CapUnit.USD_PER_HOUR, _budget_rate(claim, caps.budget_usd, fleet, now_seconds)))
    for unit, limit in limits:
        if limit is not None:
            fits = max(_fits(claim, unit, limit), claim.policy.min_replicas)
            room = fits if room is None else min(room, fits)
    slots = seen_slots(claim.baseline.slots, claim.target, now_seconds)
    if slots is None:
        return room
    return slots.replicas if room is None else min(room, slots.replicas)


def _fits(claim: Claim, unit: CapUnit, limit: float) -> int:
    """Replicas within a limit; where nobody knows what one takes nothing grows, ours nor the baseline."""
    each = _each(claim, unit)
    if isinstance(each, Missing):
        return claim.target.desired_replicas if isinstance(claim.target, TargetObservation) else 0
    return _within(limit, each.value)


def _each(claim: Claim, unit: CapUnit) -> Reading:
    """What one replica of the baseline takes of a limit: it pays on-demand prices."""
    return claim.worth.on_demand_usd_per_hour if unit is CapUnit.USD_PER_HOUR else claim.worth.power.high


def _within(limit: float, each: float) -> int:
    return math.floor(min(max(limit, 0.0) / each + _ROUNDING, 2.0**31)) if each > 0.0 else 2**31


def _budget_rate(claim: Claim, budget_usd: float, fleet: FleetPolicy, now_seconds: float) -> float:
    start, end = period_bounds(claim.policy.caps.budget_period, claim.policy.created_seconds, now_seconds)
    ledger = claim.ledger
    spent = 0.0 if ledger is None else carried_usd(ledger.period_baseline_usd, ledger.period_start_seconds, start)
    return paced_usd_per_hour(budget_usd - spent, end, fleet.cycle_seconds, now_seconds)


def _rates(
    scope: CostScope, fleet: FleetPolicy, spends: Mapping[str, ScopeSpend], now_seconds: float
) -> Iterator[float]:
    """$/h that the baselines of a scope may spend together, for each of its budgets."""
    spend = spends.get(scope.name, ScopeSpend(now_seconds))
    start, end = period_bounds(BudgetPeriod.MONTHLY, 0.0, now_seconds)
    month = carried_usd(spend.baseline_month_usd, spend.month_start_seconds, start)
    for limit, spent, until in (
        (scope.budget_usd, spend.baseline_total_usd, None),
        (scope.monthly_usd, month, end),
    ):
        if limit is not None:
            yield paced_usd_per_hour(limit - spent, until, fleet.cycle_seconds, now_seconds)


def _share(members: Sequence[Claim], unit: CapUnit, limit: float, found: dict[WorkloadKey, int]) -> None:
    """Lower the rooms of those whose baselines together want more than a limit allows."""
    needs = [(claim, _each(claim, unit)) for claim in members]
    taking = [(claim, each.value) for claim, each in needs if not isinstance(each, Missing)]
    wanted = {claim.policy.key: _wants(claim, found) for claim, _ in taking}
    if sum(wanted[claim.policy.key] * each for claim, each in taking) <= limit * (1.0 + _ROUNDING):
        return
    floors = {claim.policy.key: min(wanted[claim.policy.key], claim.policy.min_replicas) for claim, _ in taking}
    left = limit - sum(floors[claim.policy.key] * each for claim, each in taking)
    for claim, each in sorted(taking, key=lambda item: (-item[0].policy.priority, item[0].policy.key)):
        key = claim.policy.key
        more = min(wanted[key] - floors[key], _within(left, each))
        left -= more * each
        found[key] = floors[key] + more


def _wants(claim: Claim, found: Mapping[WorkloadKey, int]) -> int:
    wanted = claim.baseline.replicas or 0
    return min(wanted, found.get(claim.policy.key, wanted))
