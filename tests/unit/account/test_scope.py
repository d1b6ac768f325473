from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kcloud_autoscale.account.ledger import Account, Running
from kcloud_autoscale.account.scope import settle_scope
from kcloud_autoscale.domain.policy import CostScope
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.state import Ledger, ScopeSpend
from kcloud_autoscale.domain.workload import WorkloadKey

A, B, STRANGER = (WorkloadKey("ai", name) for name in ("a", "b", "stranger"))
SCOPE = CostScope("team", frozenset({A, B}))
JULY = datetime(2026, 7, 1, tzinfo=UTC).timestamp()
NOW = JULY + 86_400.0


def running(replicas: int, usd: float | None) -> Account:
    price: Reading = Missing(MissingReason.NO_DATA, "no price") if usd is None else Sample(usd, NOW)
    actual = Running(replicas, replicas, price, Sample(0.0, NOW))
    return Account(actual, None, None, None, Ledger(NOW, NOW))


def test_members_spend_together_and_strangers_do_not():
    spend = settle_scope(None, SCOPE, {}, NOW)
    assert (spend.total_usd, spend.month_usd, spend.month_start_seconds) == (0.0, 0.0, JULY)

    accounts = {A: running(2, 3.0), B: running(1, 6.0), STRANGER: running(9, 9.0)}
    spend = settle_scope(spend, SCOPE, accounts, NOW + 600.0)
    # 12 $/h for ten minutes.
    assert (spend.total_usd, spend.month_usd) == pytest.approx((2.0, 2.0))


def test_a_member_without_a_price_adds_nothing():
    accounts = {A: running(2, 3.0), B: running(4, None)}
    spend = settle_scope(ScopeSpend(NOW, 10.0, JULY, 5.0), SCOPE, accounts, NOW + 3_600.0)
    assert spend.total_usd == pytest.approx(16.0)


def test_a_month_begins_at_nothing_and_has_its_part_of_the_interval_that_spans_its_turn():
    june = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    before = ScopeSpend(JULY - 45.0, 900.0, june, 300.0)
    spend = settle_scope(before, SCOPE, {A: running(1, 60.0)}, JULY + 15.0)
    assert spend.total_usd == pytest.approx(901.0)
    assert (spend.month_start_seconds, spend.month_usd) == (JULY, pytest.approx(0.25))


def test_time_that_stands_still_spends_nothing():
    before = ScopeSpend(NOW, 10.0, JULY, 5.0)
    assert settle_scope(before, SCOPE, {A: running(2, 3.0)}, NOW) is before
