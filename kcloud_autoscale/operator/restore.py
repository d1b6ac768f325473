"""What a new process goes on from: the record, and only where there is none, what the statuses show.

Windows are not restored on purpose: a process that has just started knows nothing of the last minutes, so its first
scale-down waits for a full stabilization window of its own.

Whoever may write an optimizer may write its status. So a status is believed once, by the first process that keeps a
record, and within bounds: a count within those of the spec, money that is finite, no time before the object or ahead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from kcloud_autoscale.account.scope import begun
from kcloud_autoscale.api.conditions import READY
from kcloud_autoscale.api.cost_policy import CostPolicyStatus
from kcloud_autoscale.api.workload_status import MissesStatus, UsageStatus, WorkloadOptimizerStatus
from kcloud_autoscale.decide.guard import PAUSED
from kcloud_autoscale.domain.bounds import MOST_COUNTED
from kcloud_autoscale.domain.periods import period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod, WorkloadPolicy
from kcloud_autoscale.domain.record import FleetRecord
from kcloud_autoscale.domain.state import (
    DecisionState,
    Gap,
    Ledger,
    LevelState,
    Misses,
    ScopeSpend,
    Usage,
    WorkloadState,
)
from kcloud_autoscale.forecast.level import PRICES


def restored_state(
    record: FleetRecord, policy: WorkloadPolicy, status: Mapping[str, Any], now_seconds: float
) -> WorkloadState:
    """A state that holds, with what is on record of the workload and the gap since then.

    Whose zero it is where nothing runs is told by the status.
    """
    state = _recorded_state(record, policy, status, now_seconds)
    return replace(state, decided=replace(state.decided, asleep=_asleep(status)))


def _asleep(status: Mapping[str, Any]) -> bool | None:
    """Whether the earlier process had decided on 0 replicas; None where it left no word of it."""
    try:
        read = WorkloadOptimizerStatus.model_validate(status)
    except ValidationError:
        return None
    if read.desired_replicas is None:
        return None
    by_hand = any(each.type == READY and each.reason == PAUSED for each in read.conditions or ())
    return read.desired_replicas == 0 and not by_hand


def _recorded_state(
    record: FleetRecord, policy: WorkloadPolicy, status: Mapping[str, Any], now_seconds: float
) -> WorkloadState:
    one = record.workloads.get(policy.uid)
    if one is not None:
        ledger = None if one.ledger is None else _not_ahead(one.ledger, now_seconds)
        level = None if one.misses is None else _level(one.misses)
        decided = DecisionState(now_seconds, held=one.held)
        return WorkloadState(decided, one.original_replicas, level=level, ledger=ledger, gap=one.gap)
    state = WorkloadState(DecisionState(now_seconds), gap=Gap())
    if record.is_new:
        state = _shown_state(policy, status, now_seconds)
    if state.ledger is None:
        # Created since the last cycle, or while no process came to the end of one.
        begin = _between(policy.created_seconds, record.since_seconds, now_seconds)
        start, _ = period_bounds(policy.caps.budget_period, policy.created_seconds, begin)
        state = replace(state, ledger=Ledger(begin, begin, period_start_seconds=start))
    return state


def restored_spend(
    record: FleetRecord, uid: str, created_seconds: float, status: Mapping[str, Any], now_seconds: float
) -> ScopeSpend:
    """What the workloads of a CostPolicy had spent; one that is new to the record counts from its creation."""
    spend = record.spends.get(uid)
    if spend is not None:
        return replace(spend, updated_seconds=min(spend.updated_seconds, now_seconds))
    shown = _shown_spend(status, created_seconds, now_seconds) if record.is_new else None
    if shown is not None:
        return shown
    return begun(_between(created_seconds, record.since_seconds, now_seconds))


def _not_ahead(ledger: Ledger, now_seconds: float) -> Ledger:
    """One dated ahead of our clock goes on from now, or nothing would be spent of a budget until then."""
    return replace(ledger, updated_seconds=min(ledger.updated_seconds, now_seconds))


def _shown_state(policy: WorkloadPolicy, status: Mapping[str, Any], now_seconds: float) -> WorkloadState:
    """What a status shows, within bounds. One that cannot be read shows nothing."""
    try:
        read = WorkloadOptimizerStatus.model_validate(status)
    except ValidationError:
        return WorkloadState(DecisionState(now_seconds), gap=Gap())
    original = read.original_replicas
    if original is not None:
        original = min(max(original, policy.min_replicas), policy.max_replicas)
    ledger = _shown_ledger(read, policy.created_seconds, now_seconds)
    misses = None if read.misses is None else _shown_misses(read.misses)
    return WorkloadState(
        DecisionState(now_seconds),
        original,
        level=None if misses is None else _level(misses),
        ledger=ledger,
        gap=Gap(),
    )


def _shown_spend(status: Mapping[str, Any], created_seconds: float, now_seconds: float) -> ScopeSpend | None:
    try:
        read = CostPolicyStatus.model_validate(status)
    except ValidationError:
        return None
    total, month = read.current_spend, read.monthly_spend
    if read.last_updated is None or total is None or month is None or not 0.0 <= month <= total < math.inf:
        return None
    updated = _between(created_seconds, read.last_updated.timestamp(), now_seconds)
    start, _ = period_bounds(BudgetPeriod.MONTHLY, 0.0, updated)
    return ScopeSpend(updated, total, start, month)


def _shown_misses(status: MissesStatus) -> Misses:
    return Misses(status.steps, status.own, status.baseline, np.array(status.by_price))


def _level(misses: Misses) -> LevelState | None:
    """The counts of an earlier process; None where they were made on another ladder of prices, or cannot be true."""
    counts = misses.by_price
    if len(counts) != len(PRICES) or not np.all((counts >= 0.0) & (counts <= misses.steps)):
        return None
    if max(misses.own, misses.baseline) > misses.steps:
        return None
    return LevelState.beginning(misses)


def _shown_ledger(status: WorkloadOptimizerStatus, created_seconds: float, now_seconds: float) -> Ledger | None:
    savings, budget = status.savings, status.budget
    if savings is None or savings.since is None or savings.updated is None:
        return None
    # An earlier version wrote down what was compared alone, as actual, and what was spent beside it.
    compared = _usage(savings.actual if savings.compared is None else savings.compared)
    actual = _usage(savings.actual) if savings.compared else replace(compared, usd=savings.spent_usd or compared.usd)
    sides = _countable(actual, compared, _usage(savings.baseline_usage), _usage(savings.unproven))
    period = (budget.spent if budget else None) or 0.0
    if sides is None or not 0.0 <= period <= MOST_COUNTED:
        return None
    updated = _between(created_seconds, savings.updated.timestamp(), now_seconds)
    since = _between(created_seconds, savings.since.timestamp(), updated)
    start = budget.period_start_time.timestamp() if budget and budget.period_start_time else 0.0
    # All of a period that is shown was spent, whatever total is shown beside it.
    actual = replace(sides[0], usd=max(sides[0].usd, period))
    _, compared, baseline, unproven = sides
    return Ledger(since, updated, actual, compared, baseline, unproven, start, period)


def _countable(*sides: Usage) -> tuple[Usage, ...] | None:
    """Sums that can be true; None where one is negative or none at all.

    A quantity that an older version let grow beyond all counting begins anew on all sides, or it would stay so.
    """
    names = [item.name for item in fields(Usage)]
    if not all(0.0 <= getattr(side, name) < math.inf for side in sides for name in names):
        return None
    beyond = {name: 0.0 for name in names if any(getattr(side, name) > MOST_COUNTED for side in sides)}
    return tuple(replace(side, **beyond) for side in sides)


def _between(least: float, value: float, most: float) -> float:
    """``value``, no less than ``least`` and in any case no more than ``most``."""
    return min(max(least, value), most)


def _usage(status: UsageStatus | None) -> Usage:
    if status is None:
        return Usage()
    return Usage(**{name: getattr(status, name) or 0.0 for name in Usage.__dataclass_fields__})
