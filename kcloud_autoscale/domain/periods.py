"""Budget periods in UTC: when the running one began and when it ends."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from kcloud_autoscale.domain.policy import BudgetPeriod
from kcloud_autoscale.domain.units import SECONDS_PER_DAY


def period_bounds(period: BudgetPeriod, created_seconds: float, now_seconds: float) -> tuple[float, float | None]:
    """Start and end of the budget period that `now_seconds` lies in; a ``Total`` budget starts at creation, never ends.

    Days begin at 00:00, weeks on Monday, months on the 1st.
    """
    if period is BudgetPeriod.TOTAL:
        return created_seconds, None
    return _calendar_bounds(period, int(now_seconds // SECONDS_PER_DAY))


@functools.lru_cache(maxsize=64)
def _calendar_bounds(period: BudgetPeriod, day: int) -> tuple[float, float]:
    start = datetime.fromtimestamp(day * SECONDS_PER_DAY, UTC)
    if period is BudgetPeriod.DAILY:
        end = start + timedelta(days=1)
    elif period is BudgetPeriod.WEEKLY:
        start -= timedelta(days=start.weekday())
        end = start + timedelta(days=7)
    else:
        start = start.replace(day=1)
        # The 1st plus 31 days is in the next month, whatever the month.
        end = (start + timedelta(days=31)).replace(day=1)
    return start.timestamp(), end.timestamp()
