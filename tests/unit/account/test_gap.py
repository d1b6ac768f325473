from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.account.gap import settle_gap
from kcloud_autoscale.account.ledger import Interval, Running
from kcloud_autoscale.domain.policy import BudgetPeriod, Caps
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.state import Gap, Ledger, Usage
from tests.builders.accounting import NOW, a_policy

UNPRICED = Missing(MissingReason.NO_DATA, "no price")
TEN = Sample(10.0, NOW)
HOUR = 3_600.0


def after(gap: Gap, replicas: int | None, price: Reading = TEN, hours: float = 2.0) -> Ledger:
    ledger = Ledger(NOW - 10 * HOUR, NOW - hours * HOUR, Usage(usd=100.0))
    return settle_gap(ledger, gap, a_policy(), running(replicas), price, NOW)[0]


def running(replicas: int | None) -> Interval:
    """What runs now: replicas of two devices."""
    actual = None if replicas is None else Running(replicas, replicas, TEN, UNPRICED)
    return Interval(actual, None, UNPRICED, None, 2, UNPRICED)


def test_what_prometheus_saw_is_billed_as_seen_and_the_rest_at_the_larger_count():
    ledger = after(Gap(2, 9.0, 3.0, 0.5), 5)
    assert (ledger.spent_usd, ledger.estimated_usd) == (100.0 + 30.0 + 50.0, 50.0)
    assert ledger.updated_seconds == NOW


@pytest.mark.parametrize(("before", "now", "usd"), [(2, 5, 100.0), (5, 2, 100.0), (5, None, 100.0), (None, 2, 40.0)])
def test_without_readings_the_larger_of_the_counts_ran(before: int | None, now: int | None, usd: float):
    ledger = after(Gap(before, 9.0), now)
    assert (ledger.spent_usd, ledger.estimated_usd) == (100.0 + usd, usd)


def test_the_last_price_stands_while_there_is_none():
    assert after(Gap(2, 9.0), 2, UNPRICED).spent_usd == 136.0


def test_what_never_had_a_price_costs_nothing_and_the_time_is_over():
    ledger = after(Gap(2, None), 2, UNPRICED)
    assert (ledger.spent_usd, ledger.updated_seconds) == (100.0, NOW)


def test_nothing_is_saved_in_a_gap():
    ledger = after(Gap(2, 9.0), 2)
    assert ledger.compared == ledger.baseline == ledger.unproven == Usage()
    assert (ledger.actual.replica_seconds, ledger.actual.accelerator_seconds) == (4 * HOUR, 8 * HOUR)


def test_a_short_gap_between_equal_counts_is_an_interval_like_any_other():
    actual, baseline = (Running(count, count, TEN, UNPRICED) for count in (2, 3))
    now = Interval(actual, baseline, Sample(20.0, NOW), 10.0, 2, UNPRICED)
    ledger = Ledger(NOW - HOUR, NOW - 360.0)
    same = settle_gap(ledger, Gap(2, 10.0), a_policy(), now, TEN, NOW)[0]
    assert (same.actual.usd, same.compared.usd, same.baseline.usd) == pytest.approx((2.0, 2.0, 3.0))
    assert same.estimated_usd == pytest.approx(2.0)
    for other in (Gap(1, 10.0), Gap(2, 10.0, 1.5, 0.5)):
        changed = settle_gap(ledger, other, a_policy(), now, TEN, NOW)[0]
        assert changed.baseline == Usage()


def test_a_clock_that_is_behind_pays_nothing_twice():
    ledger = Ledger(NOW, NOW + HOUR, actual=Usage(usd=100.0))
    assert settle_gap(ledger, Gap(2, 9.0), a_policy(), running(2), TEN, NOW) == (ledger, None)


def test_a_gap_across_the_turn_of_a_period_gives_each_side_its_part():
    midnight = 86_400.0 * 20_000
    policy = a_policy(caps=Caps(budget_usd=100.0, budget_period=BudgetPeriod.DAILY))
    ledger = Ledger(midnight - 10 * HOUR, midnight - HOUR, Usage(usd=7.0), period_spent_usd=7.0)
    paid = settle_gap(ledger, Gap(2, 9.0), policy, running(2), TEN, midnight + 2 * HOUR)[0]
    assert (paid.spent_usd, paid.period_spent_usd) == pytest.approx((67.0, 40.0))


@given(st.lists(st.floats(0.0, 3_000.0), min_size=1, max_size=10))
def test_a_gap_costs_the_same_in_one_piece_and_in_many(pieces: list[float]):
    whole = after(Gap(3, 10.0), 3, hours=sum(pieces) / HOUR)
    ledger = Ledger(NOW - 10 * HOUR, NOW - sum(pieces), actual=Usage(usd=100.0))
    for seconds in pieces:
        now = ledger.updated_seconds + seconds
        ledger = settle_gap(ledger, Gap(3, 10.0), a_policy(), running(3), TEN, now)[0]
    assert ledger.spent_usd == pytest.approx(whole.spent_usd)
