"""What the workloads of a CostPolicy spend together, added up from interval to interval."""

from __future__ import annotations

import math
from collections.abc import Mapping

from kcloud_autoscale.account.ledger import Account, Entry
from kcloud_autoscale.domain.periods import Addition, marked, period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod, CostScope
from kcloud_autoscale.domain.state import Mark, ScopeSpend
from kcloud_autoscale.domain.workload import WorkloadKey


def settle_scope(
    spend: ScopeSpend | None, scope: CostScope, accounts: Mapping[WorkloadKey, Account], now_seconds: float
) -> ScopeSpend:
    """The spend with the interval since the last tick: what the ledgers of its members added in it.

    A member without a price adds nothing; the limit then lets nobody grow, and a condition names the member.

    Args:
        spend: Up to the last tick; None begins to count now.
        scope: Whose workloads.
        accounts: Of this tick.
        now_seconds: Unix time of this tick.
    """
    start, _ = period_bounds(BudgetPeriod.MONTHLY, 0.0, now_seconds)
    if spend is None:
        return begun(now_seconds)
    seconds = now_seconds - spend.updated_seconds
    if seconds <= 0.0:
        return spend
    entries = [account.entry for key in scope.members if (account := accounts.get(key)) is not None]
    parts = [(each, _covered(each, seconds)) for each in entries if each is not None]
    spent = sum(part * each.actual.usd for each, part in parts)
    theirs = sum(part * each.baseline_spent_usd for each, part in parts)
    addition = Addition(spend.total_usd, spend.baseline_total_usd, spent, theirs, seconds, now_seconds)
    marks = marked(spend.month_marks or _unmarked(spend), -math.inf, start, addition)
    total, baseline_total = spend.total_usd + spent, spend.baseline_total_usd + theirs
    month, baseline_month = max(0.0, total - marks[-1].usd), max(0.0, baseline_total - marks[-1].baseline_usd)
    return ScopeSpend(now_seconds, total, start, month, baseline_total, baseline_month, marks)


def begun(at_seconds: float) -> ScopeSpend:
    """Nothing spent yet."""
    start, _ = period_bounds(BudgetPeriod.MONTHLY, 0.0, at_seconds)
    return ScopeSpend(at_seconds, month_start_seconds=start, month_marks=(Mark(start, 0.0),))


def _unmarked(spend: ScopeSpend) -> tuple[Mark, ...]:
    """Of one that was counted before there were marks: it goes on from its month's part."""
    usd, theirs = spend.total_usd - spend.month_usd, spend.baseline_total_usd - spend.baseline_month_usd
    return (Mark(spend.month_start_seconds, usd, theirs),)


def _covered(entry: Entry, seconds: float) -> float:
    """Which part of a member's interval lies in the last ``seconds``: a gap it settled may reach further back."""
    return min(1.0, seconds / entry.seconds)
