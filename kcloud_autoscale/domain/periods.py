"""Budget periods in UTC: when the running one began and when it ends."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.policy import BudgetPeriod
from kcloud_autoscale.domain.state import Mark
from kcloud_autoscale.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

# Of the even pace from here on. Twice, because the load of a day peaks at about twice its mean.
PACE_ALLOWANCE = 2.0
# A clock that errs in both directions, and back, passes through that many periods.
MOST_MARKS = 4


def period_bounds(period: BudgetPeriod, created_seconds: float, now_seconds: float) -> tuple[float, float | None]:
    """Start and end of the budget period that `now_seconds` lies in; a ``Total`` budget starts at creation, never ends.

    Days begin at 00:00, weeks on Monday, months on the 1st.
    """
    if period is BudgetPeriod.TOTAL:
        return created_seconds, None
    return _calendar_bounds(period, int(now_seconds // SECONDS_PER_DAY))


def carried_usd(spent_usd: float, began_seconds: float, start_seconds: float) -> float:
    """What was spent in the period that began at ``start_seconds``, of a count that began at ``began_seconds``."""
    return spent_usd if began_seconds >= start_seconds else 0.0


@frozen
class Addition:
    """What the last interval added to two totals, ours and the baseline's.

    Attributes:
        usd: Our total before it.
        baseline_usd: The baseline's before it.
        more_usd: Of ours in the interval.
        more_baseline_usd: Of the baseline's.
        seconds: Length of the interval.
        now_seconds: Its end.
    """

    usd: float
    baseline_usd: float
    more_usd: float
    more_baseline_usd: float
    seconds: float
    now_seconds: float

    def mark(self, start_seconds: float) -> Mark:
        """What had been spent at an instant of the interval; before all of it for one outside."""
        inside_seconds = self.now_seconds - start_seconds
        share = 1.0 - inside_seconds / self.seconds if 0.0 <= inside_seconds < self.seconds else 0.0
        usd, baseline_usd = self.usd + self.more_usd * share, self.baseline_usd + self.more_baseline_usd * share
        return Mark(start_seconds, usd, baseline_usd)


def marked(marks: tuple[Mark, ...], since_seconds: float, start_seconds: float, added: Addition) -> tuple[Mark, ...]:
    """The marks of the last periods, the running one last: what has been added since its mark is its cost.

    Totals only grow, whatever the clock says. So a clock that was set a day ahead, and back, finds today's mark as it
    was: 30 $ at midnight, 100 $ now, 70 $ spent today, though tomorrow had begun meanwhile.

    Args:
        marks: Before the interval.
        since_seconds: When counting began; all of the total belongs to a period that began before.
        start_seconds: Of the running period.
        added: The last interval; one that spans the turn of the period gives each side its part.
    """
    others = tuple(each for each in marks if each.start_seconds != start_seconds)
    known = next((each for each in marks if each.start_seconds == start_seconds), None)
    if start_seconds <= since_seconds:
        running = Mark(start_seconds, 0.0)
    elif 0.0 <= added.now_seconds - start_seconds < added.seconds:
        running = added.mark(start_seconds)  # it began just now, whatever a wrong clock has said of it before
    elif known is not None:
        running = known
    else:  # nothing saw it begin: it has at least what the periods after it have
        later = [each for each in others if each.start_seconds > start_seconds]
        first = min(later, key=lambda each: each.usd, default=added.mark(start_seconds))
        running = Mark(start_seconds, first.usd, first.baseline_usd)
    return (*others, running)[-MOST_MARKS:]


def paced_usd_per_hour(left_usd: float, end_seconds: float | None, cycle_seconds: float, now_seconds: float) -> float:
    """$/h until the next tick: twice the even pace of what is left, and never more than is left.

    240 $ a day are 10 $/h. At midnight 20 $/h are allowed. A night of 8 h at 5 $/h leaves 200 $ for 16 h, and 25 $/h
    are allowed; a rush of 8 h at 20 $/h then leaves 40 $ for 8 h, and 10 $/h are allowed. Whoever takes all that is
    allowed has spent three quarters by noon, then less and less, and never runs dry: what is left falls with the
    square of the time left. A ``Total`` budget has no end to be paced to; it is spent as needed, to the last cycle.
    """
    left = max(0.0, left_usd)
    rate = left / cycle_seconds * SECONDS_PER_HOUR
    if end_seconds is not None:
        rate = min(rate, PACE_ALLOWANCE * left / (end_seconds - now_seconds) * SECONDS_PER_HOUR)
    return rate


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
