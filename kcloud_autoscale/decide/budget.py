"""How fast a budget may be spent now, so that it lasts to the end of its period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.periods import carried_usd, paced_usd_per_hour, period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod, CapUnit, CostScope, SharedCap, WorkloadPolicy
from kcloud_autoscale.domain.state import Ledger, ScopeSpend


@frozen
class Allowance:
    """What a budget allows.

    Attributes:
        usd_per_hour: Largest rate until the next tick.
        spent_usd: In the running period.
    """

    usd_per_hour: float
    spent_usd: float


@frozen
class SharedBudget:
    """A budget that several workloads share, as a limit on their rate until the next tick.

    Attributes:
        cap: The rate, and who shares it.
        budget_usd: Of the period.
        spent_usd: In it.
    """

    cap: SharedCap
    budget_usd: float
    spent_usd: float


def allowance(
    policy: WorkloadPolicy, ledger: Ledger | None, budget_usd: float, cycle_seconds: float, now_seconds: float
) -> Allowance:
    """What the budget of one workload allows until the next tick."""
    start, end = period_bounds(policy.caps.budget_period, policy.created_seconds, now_seconds)
    spent = 0.0 if ledger is None else carried_usd(ledger.period_spent_usd, ledger.period_start_seconds, start)
    return Allowance(paced_usd_per_hour(budget_usd - spent, end, cycle_seconds, now_seconds), spent)


def shared_budgets(
    scopes: Sequence[CostScope], spends: Mapping[str, ScopeSpend], cycle_seconds: float, now_seconds: float
) -> tuple[SharedBudget, ...]:
    """The budgets of all scopes that have any, each as what it allows until the next tick."""
    return tuple(
        budget
        for scope in scopes
        for budget in _of_scope(scope, spends.get(scope.name, ScopeSpend(now_seconds)), cycle_seconds, now_seconds)
    )


def _of_scope(scope: CostScope, spend: ScopeSpend, cycle_seconds: float, now_seconds: float) -> Iterator[SharedBudget]:
    start, end = period_bounds(BudgetPeriod.MONTHLY, 0.0, now_seconds)
    this_month = carried_usd(spend.month_usd, spend.month_start_seconds, start)
    for limit, budget_usd, spent, until in (
        ("budgetLimit", scope.budget_usd, spend.total_usd, None),
        ("monthlyBudget", scope.monthly_usd, this_month, end),
    ):
        if budget_usd is not None and scope.members:
            rate = paced_usd_per_hour(budget_usd - spent, until, cycle_seconds, now_seconds)
            cap = SharedCap(f"{scope.name}/{limit}", CapUnit.USD_PER_HOUR, rate, scope.members)
            yield SharedBudget(cap, budget_usd, spent)
