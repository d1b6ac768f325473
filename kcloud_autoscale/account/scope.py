"""What the workloads of a CostPolicy spend together, added up from interval to interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kcloud_autoscale.account.ledger import Account
from kcloud_autoscale.domain.periods import period_bounds, period_spent_usd
from kcloud_autoscale.domain.policy import BudgetPeriod, CostScope
from kcloud_autoscale.domain.reading import Missing, Reading
from kcloud_autoscale.domain.state import ScopeSpend
from kcloud_autoscale.domain.units import usd
from kcloud_autoscale.domain.workload import WorkloadKey


def settle_scope(
    spend: ScopeSpend | None, scope: CostScope, accounts: Mapping[WorkloadKey, Account], now_seconds: float
) -> ScopeSpend:
    """The spend with the interval since the last tick, at what its members cost at the end of it.

    A member without a price adds nothing; the limit then lets nobody grow, and a condition names the member.

    Args:
        spend: Up to the last tick; None begins to count now.
        scope: Whose workloads.
        accounts: Of this tick.
        now_seconds: Unix time of this tick.
    """
    start, _ = period_bounds(BudgetPeriod.MONTHLY, 0.0, now_seconds)
    if spend is None:
        return ScopeSpend(now_seconds, month_start_seconds=start)
    seconds = now_seconds - spend.updated_seconds
    if seconds <= 0.0:
        return spend
    spent = usd(_usd_per_hour(scope, accounts), seconds)
    month = period_spent_usd(spend.month_usd, spend.month_start_seconds, start, spent, seconds, now_seconds)
    theirs = usd(_baseline_usd_per_hour(scope, accounts), seconds)
    baseline_month = period_spent_usd(
        spend.baseline_month_usd, spend.month_start_seconds, start, theirs, seconds, now_seconds
    )
    return ScopeSpend(
        now_seconds,
        spend.total_usd + spent,
        start,
        month,
        spend.baseline_total_usd + theirs,
        baseline_month,
    )


def _usd_per_hour(scope: CostScope, accounts: Mapping[WorkloadKey, Account]) -> float:
    return _sum(accounts[key].usd_per_hour for key in scope.members if key in accounts)


def _baseline_usd_per_hour(scope: CostScope, accounts: Mapping[WorkloadKey, Account]) -> float:
    """What the baselines cost; where one is unknown, what runs: a budget that was spent is spent for it too."""
    return _sum(
        account.usd_per_hour if account.baseline is None else account.baseline.usd_per_hour
        for key in scope.members
        if (account := accounts.get(key)) is not None
    )


def _sum(rates: Iterable[Reading]) -> float:
    return sum(rate.value for rate in rates if not isinstance(rate, Missing))
