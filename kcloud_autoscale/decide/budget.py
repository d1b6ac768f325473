"""How fast a budget may be spent now, so that it lasts to the end of its period."""

from __future__ import annotations

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.periods import period_bounds
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.state import Ledger
from kcloud_autoscale.domain.units import SECONDS_PER_HOUR

# Of the even pace from here on. Twice, because the load of a day peaks at about twice its mean.
PACE_ALLOWANCE = 2.0


@frozen
class Allowance:
    """What a budget allows.

    Attributes:
        usd_per_hour: Largest rate until the next tick.
        spent_usd: In the running period.
    """

    usd_per_hour: float
    spent_usd: float


def allowance(
    policy: WorkloadPolicy, ledger: Ledger | None, budget_usd: float, cycle_seconds: float, now_seconds: float
) -> Allowance:
    """The rate a budget allows until the next tick: twice the even pace of what is left, and never more than is left.

    240 $ a day are 10 $/h. At midnight 20 $/h are allowed. A night of 8 h at 5 $/h leaves 200 $ for 16 h, and 25 $/h
    are allowed; a rush of 8 h at 20 $/h then leaves 40 $ for 8 h, and 10 $/h are allowed. Whoever takes all that is
    allowed has spent three quarters by noon, then less and less, and never runs dry: what is left falls with the
    square of the time left. A ``Total`` budget has no end to be paced to; it is spent as needed, to the last cycle.
    """
    start, end = period_bounds(policy.caps.budget_period, policy.created_seconds, now_seconds)
    spent = ledger.period_spent_usd if ledger is not None and ledger.period_start_seconds >= start else 0.0
    left = max(0.0, budget_usd - spent)
    rate = left / cycle_seconds * SECONDS_PER_HOUR
    if end is not None:
        rate = min(rate, PACE_ALLOWANCE * left / (end - now_seconds) * SECONDS_PER_HOUR)
    return Allowance(rate, spent)
