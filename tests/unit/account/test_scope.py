from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kcloud_autoscale.account.ledger import Account, Entry
from kcloud_autoscale.account.scope import settle_scope
from kcloud_autoscale.domain.policy import CostScope
from kcloud_autoscale.domain.state import Ledger, ScopeSpend, Usage
from kcloud_autoscale.domain.workload import WorkloadKey

A, B, STRANGER = (WorkloadKey("ai", name) for name in ("a", "b", "stranger"))
SCOPE = CostScope("team", frozenset({A, B}))
JULY = datetime(2026, 7, 1, tzinfo=UTC).timestamp()
NOW = JULY + 86_400.0


def spent(usd: float, seconds: float) -> Account:
    """A member whose ledger has grown by ``usd`` in the last ``seconds``."""
    return Account(None, None, None, None, Ledger(NOW, NOW), Entry(seconds, Usage(usd=usd)) if seconds else None)


def test_members_spend_together_and_strangers_do_not():
    spend = settle_scope(None, SCOPE, {}, NOW)
    assert (spend.total_usd, spend.month_usd, spend.month_start_seconds) == (0.0, 0.0, JULY)

    accounts = {A: spent(1.0, 600.0), B: spent(1.0, 600.0), STRANGER: spent(9.0, 600.0)}
    spend = settle_scope(spend, SCOPE, accounts, NOW + 600.0)
    assert (spend.total_usd, spend.month_usd) == pytest.approx((2.0, 2.0))


def test_a_policy_pays_only_for_the_time_it_covered():
    # A's ledger settled a gap of an hour; the policy is ten minutes old. B was adopted five minutes ago.
    accounts = {A: spent(6.0, 3_600.0), B: spent(2.0, 300.0)}
    spend = settle_scope(ScopeSpend(NOW, 10.0, JULY, 5.0), SCOPE, accounts, NOW + 600.0)
    assert spend.total_usd == pytest.approx(10.0 + 1.0 + 2.0)


def test_a_month_begins_at_nothing_and_has_its_part_of_the_interval_that_spans_its_turn():
    june = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    before = ScopeSpend(JULY - 45.0, 900.0, june, 300.0)
    spend = settle_scope(before, SCOPE, {A: spent(1.0, 60.0)}, JULY + 15.0)
    assert spend.total_usd == pytest.approx(901.0)
    assert (spend.month_start_seconds, spend.month_usd) == (JULY, pytest.approx(0.25))


def test_a_month_that_only_a_wrong_clock_saw_takes_nothing_from_the_budget():
    accounts = {A: spent(1.0, 60.0)}
    spend = settle_scope(ScopeSpend(NOW, 10.0, JULY, 5.0), SCOPE, accounts, NOW + 60.0)
    ahead = NOW + 40 * 86_400.0
    # The shell takes the step of its clock out of the interval: a minute passed, whatever the clock says.
    spend = settle_scope(replace(spend, updated_seconds=ahead), SCOPE, accounts, ahead + 60.0)
    spend = settle_scope(replace(spend, updated_seconds=NOW + 120.0), SCOPE, accounts, NOW + 180.0)
    assert (spend.month_start_seconds, spend.month_usd, spend.total_usd) == pytest.approx((JULY, 8.0, 13.0))


def test_time_that_stands_still_spends_nothing():
    before = ScopeSpend(NOW, 10.0, JULY, 5.0)
    assert settle_scope(before, SCOPE, {A: spent(0.0, 0.0)}, NOW) is before
