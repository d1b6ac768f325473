from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kcloud_autoscale.domain.periods import period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        (BudgetPeriod.DAILY, "2026-11-24T13:00", "2026-11-24", "2026-11-25"),
        (BudgetPeriod.DAILY, "2026-12-31T23:59:59", "2026-12-31", "2027-01-01"),
        (BudgetPeriod.WEEKLY, "2026-11-24T13:00", "2026-11-23", "2026-11-30"),  # a Tuesday
        (BudgetPeriod.WEEKLY, "2026-11-23T00:00", "2026-11-23", "2026-11-30"),
        (BudgetPeriod.WEEKLY, "2026-11-22T23:59", "2026-11-16", "2026-11-23"),
        (BudgetPeriod.MONTHLY, "2026-11-24T13:00", "2026-11-01", "2026-12-01"),
        (BudgetPeriod.MONTHLY, "2026-02-28T12:00", "2026-02-01", "2026-03-01"),
        (BudgetPeriod.MONTHLY, "2028-02-29T12:00", "2028-02-01", "2028-03-01"),
        (BudgetPeriod.MONTHLY, "2026-12-31T23:59", "2026-12-01", "2027-01-01"),
    ],
)
def test_calendar_periods_in_utc(period: BudgetPeriod, now: str, start: str, end: str):
    assert period_bounds(period, 0.0, at(now)) == (at(start), at(end))


def test_a_total_budget_begins_with_the_optimizer_and_never_ends():
    assert period_bounds(BudgetPeriod.TOTAL, 1_234.0, 9e9) == (1_234.0, None)
