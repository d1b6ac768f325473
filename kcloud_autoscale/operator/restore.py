"""What a new process goes on from: books, misses and original replicas, as the status has them. The rest is relearned.

Windows are not restored on purpose: a process that has just started knows nothing of the last minutes, so its first
scale-down waits for a full stabilization window of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from kcloud_autoscale.account import ledger as books
from kcloud_autoscale.api.cost_policy import CostPolicyStatus
from kcloud_autoscale.api.workload_status import MissesStatus, SavingsStatus, UsageStatus, WorkloadOptimizerStatus
from kcloud_autoscale.domain.periods import period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod
from kcloud_autoscale.domain.state import DecisionState, Ledger, LevelState, Misses, ScopeSpend, Usage, WorkloadState
from kcloud_autoscale.forecast.level import PRICES


def restored_state(status: Mapping[str, Any], now_seconds: float) -> WorkloadState:
    """A state that holds, with what the status remembers. A status that cannot be read remembers nothing."""
    try:
        read = WorkloadOptimizerStatus.model_validate(status)
    except ValidationError:
        return WorkloadState(DecisionState(now_seconds))
    return WorkloadState(
        DecisionState(now_seconds),
        read.original_replicas,
        level=_level(read.misses),
        ledger=_ledger(read, now_seconds),
    )


def restored_spend(status: Mapping[str, Any], now_seconds: float) -> ScopeSpend | None:
    """What the workloads of a CostPolicy had spent; None where its status does not say.

    A status dated ahead of our clock goes on from now, or nothing would be spent of a budget until then.
    """
    try:
        read = CostPolicyStatus.model_validate(status)
    except ValidationError:
        return None
    if read.last_updated is None or read.current_spend is None or read.monthly_spend is None:
        return None
    if not 0.0 <= read.monthly_spend <= read.current_spend:
        return None
    updated = min(read.last_updated.timestamp(), now_seconds)
    start, _ = period_bounds(BudgetPeriod.MONTHLY, 0.0, updated)
    return ScopeSpend(updated, read.current_spend, start, read.monthly_spend)


def _level(status: MissesStatus | None) -> LevelState | None:
    """The counts of an earlier process; None where they were made on another ladder of prices, or cannot be true."""
    if status is None or len(status.by_price) != len(PRICES):
        return None
    counts = np.array(status.by_price)
    if not np.all((counts >= 0.0) & (counts <= status.steps)) or max(status.own, status.baseline) > status.steps:
        return None
    return LevelState.beginning(Misses(status.steps, status.own, status.baseline, counts))


def _ledger(status: WorkloadOptimizerStatus, now_seconds: float) -> Ledger | None:
    """The books; those dated ahead of our clock go on from now, or nothing would be spent of a budget until then."""
    savings = status.savings
    if savings is None or savings.since is None or savings.updated is None:
        return None
    budget = status.budget
    # An earlier version wrote down what was compared alone, as actual, and what was spent beside it.
    compared = _usage(savings.actual if savings.compared is None else savings.compared)
    actual = _usage(savings.actual) if savings.compared else replace(compared, usd=_spent(savings, compared))
    numbers = {
        "since_seconds": savings.since.timestamp(),
        "updated_seconds": min(savings.updated.timestamp(), now_seconds),
        "period_start_seconds": budget.period_start_time.timestamp() if budget and budget.period_start_time else 0.0,
        "period_spent_usd": (budget.spent if budget else None) or 0.0,
    }
    sides = {
        "actual": actual,
        "compared": compared,
        "baseline": _usage(savings.baseline_usage),
        "unproven": _usage(savings.unproven),
    }
    for side, usage in sides.items():
        numbers |= {f"{side}_{name}": getattr(usage, name) for name in Usage.__dataclass_fields__}
    return books.restore(numbers)


def _usage(status: UsageStatus | None) -> Usage:
    if status is None:
        return Usage()
    return Usage(**{name: getattr(status, name) or 0.0 for name in Usage.__dataclass_fields__})


def _spent(savings: SavingsStatus, ours: Usage) -> float:
    """Everything that was spent is at least what was compared."""
    return ours.usd if savings.spent_usd is None else savings.spent_usd
