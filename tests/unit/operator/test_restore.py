"""What a new process believes: the record; without one the status, within bounds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from kcloud_autoscale.account.ledger import Account
from kcloud_autoscale.act.status import workload_status
from kcloud_autoscale.domain.plain import from_plain, to_plain
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.record import FleetRecord, WorkloadRecord, workload_record
from kcloud_autoscale.domain.state import DecisionState, Gap, HeldCount, Ledger, ScopeSpend, Usage, WorkloadState
from kcloud_autoscale.forecast.level import PRICES
from kcloud_autoscale.operator.restore import restored_spend, restored_state
from tests.unit.act.outcomes import KEY, NOW, account, outcome, remembered

POLICY = WorkloadPolicy(KEY, uid="u1", min_replicas=2, max_replicas=10, created_seconds=NOW - 7_200.0)
FORGED = {
    "originalReplicas": 40,
    "misses": {"steps": 1e6, "own": 1e6, "baseline": 0.0, "byPrice": [1e6] * len(PRICES)},
    "savings": {"since": "2020-01-01T00:00:00Z", "updated": "2020-01-01T00:00:00Z", "spentUsd": 0.0},
    "budget": {"spent": 0.0},
}
NEW = FleetRecord(NOW - 3_600.0, is_new=True)


def from_status(status: dict[str, Any], now: float = NOW) -> WorkloadState:
    return restored_state(NEW, POLICY, status, now)


def test_a_forged_status_moves_nothing_that_is_on_record():
    state = replace(remembered(3), ledger=account().ledger)
    record = FleetRecord(NOW - 9_000.0, {"u1": workload_record(KEY, state, 2, 10.0)})
    restored = restored_state(record, POLICY, FORGED, NOW + 60.0)
    assert (restored.original_replicas, restored.ledger) == (3, account().ledger)
    assert restored.gap == Gap(2, 10.0)
    assert restored.level is not None
    assert restored.level.misses.steps == 1_440.0


def test_a_count_that_a_limit_has_cut_is_given_back_by_the_next_process_too():
    held = HeldCount(2, 2, 1)
    state = replace(remembered(3), decided=DecisionState(NOW, held=held))
    kept = from_plain(WorkloadRecord, to_plain(workload_record(KEY, state, 2, 10.0)))
    record = FleetRecord(NOW - 9_000.0, {"u1": kept})
    assert restored_state(record, POLICY, {}, NOW + 60.0).decided == DecisionState(NOW + 60.0, held=held)


@pytest.mark.parametrize(("created", "begin"), [(NOW - 600.0, NOW - 600.0), (NOW - 86_400.0, NOW - 3_600.0)])
def test_one_that_is_new_to_the_record_counts_from_its_creation_and_its_status_is_not_looked_at(
    created: float, begin: float
):
    policy = replace(POLICY, created_seconds=created)
    state = restored_state(FleetRecord(NOW - 3_600.0), policy, FORGED, NOW)
    assert (state.original_replicas, state.level, state.gap) == (None, None, Gap())
    assert state.ledger is not None
    assert (state.ledger.since_seconds, state.ledger.updated_seconds, state.ledger.spent_usd) == (begin, begin, 0.0)


@pytest.mark.parametrize(("shown", "believed"), [(40, 10), (0, 2), (-5, 2), (7, 7)])
def test_before_there_is_a_record_a_status_is_believed_within_the_bounds_of_the_spec(shown: int, believed: int):
    assert from_status({"originalReplicas": shown}).original_replicas == believed


@pytest.mark.parametrize("updated", ["1970-01-01T00:00:01Z", "2999-01-01T00:00:00Z"])
def test_a_shown_ledger_is_dated_between_the_creation_and_now(updated: str):
    savings = {"since": "1999-01-01T00:00:00Z", "updated": updated, "spentUsd": 5.0}
    ledger = from_status({"savings": savings}).ledger
    assert ledger is not None
    assert POLICY.created_seconds <= ledger.since_seconds <= ledger.updated_seconds <= NOW


@pytest.mark.parametrize("usd", [float("inf"), float("nan"), -1.0])
def test_a_shown_sum_that_cannot_be_true_is_not_believed(usd: float):
    stamp = datetime.fromtimestamp(NOW - 60.0, UTC).isoformat()
    ledger = from_status({"savings": {"since": stamp, "updated": stamp, "spentUsd": usd}}).ledger
    assert ledger is not None
    assert (ledger.spent_usd, ledger.updated_seconds) == (0.0, NOW - 3_600.0)


def test_a_sum_that_an_older_version_let_overflow_begins_anew_on_all_sides():
    status = workload_status(outcome(), {}, remembered(3))
    status["savings"]["actual"]["demandMissed"] = 1.7e308
    status["savings"]["baselineUsage"]["demandMissed"] = 3.0
    ledger = from_status(status).ledger
    assert ledger is not None
    assert (ledger.actual.demand_missed, ledger.baseline.demand_missed) == (0.0, 0.0)
    assert (ledger.compared, ledger.baseline) == (account().ledger.compared, account().ledger.baseline)


def test_a_first_process_goes_on_from_what_the_status_shows():
    kept: Account = account()
    state = from_status(workload_status(outcome(), {}, remembered(3)), NOW + 30.0)
    assert state.original_replicas == 3
    assert state.decided == DecisionState(NOW + 30.0, asleep=False)
    assert state.ledger is not None
    assert (state.ledger.compared, state.ledger.baseline) == (kept.ledger.compared, kept.ledger.baseline)
    # 40 $ are shown of the period beside 6 $ in all: the larger is believed.
    assert (state.ledger.spent_usd, state.ledger.period_spent_usd) == (40.0, 40.0)
    assert state.level is not None
    misses = state.level.misses
    assert (misses.steps, misses.own, misses.baseline) == (1_440.0, 12.0, 30.0)
    assert misses.by_price == pytest.approx(100.0 / PRICES, abs=0.005)


@pytest.mark.parametrize(
    "change",
    [
        {"byPrice": [1.0, 2.0]},  # of another ladder of prices
        {"byPrice": [9_000.0] * len(PRICES)},  # more missed than there were
        {"own": 9_000.0},
        {"steps": -1.0},
        {"byPrice": None},
    ],
)
def test_misses_that_cannot_be_true_are_not_believed(change: dict[str, Any]):
    status = workload_status(outcome(), {}, remembered(1))
    assert from_status(status).level is not None
    status["misses"] |= change
    assert from_status(status).level is None


def test_misses_on_another_ladder_of_prices_are_not_taken_from_the_record():
    misses = replace(remembered(1).level.misses, by_price=np.ones(3))  # type: ignore[union-attr]
    record = FleetRecord(NOW, {"u1": WorkloadRecord("shop", 3, misses=misses)})
    assert restored_state(record, POLICY, {}, NOW).level is None


def test_a_record_that_is_dated_ahead_goes_on_from_now():
    record = FleetRecord(NOW, {"u1": WorkloadRecord("shop", 3, Ledger(NOW, NOW + 86_400.0, actual=Usage(usd=6.0)))})
    ledger = restored_state(record, POLICY, {}, NOW).ledger
    assert ledger is not None
    assert (ledger.updated_seconds, ledger.spent_usd) == (NOW, 6.0)


SPENT = {"currentSpend": 750.0, "monthlySpend": 90.0, "lastUpdated": "2026-07-02T00:00:00Z"}
TOLD = datetime(2026, 7, 2, tzinfo=UTC).timestamp()
JULY = datetime(2026, 7, 1, tzinfo=UTC).timestamp()


def test_the_spend_of_a_policy_is_that_on_record():
    record = FleetRecord(JULY, spends={"p1": ScopeSpend(TOLD, 800.0, JULY, 100.0)})
    assert restored_spend(record, "p1", JULY, SPENT, TOLD + 60.0) == record.spends["p1"]


def test_before_there_is_a_record_it_is_the_one_shown():
    assert restored_spend(NEW, "p1", JULY, SPENT, TOLD + 60.0) == ScopeSpend(TOLD, 750.0, JULY, 90.0)
    # Dated ahead of our clock it goes on from now.
    assert restored_spend(NEW, "p1", JULY, SPENT, TOLD - 60.0).updated_seconds == TOLD - 60.0


@pytest.mark.parametrize(
    "change", [{"currentSpend": None}, {"monthlySpend": 800.0}, {"monthlySpend": -1.0}, {"lastUpdated": "yesterday"}]
)
def test_a_shown_spend_that_cannot_be_true_counts_from_the_beginning(change: dict[str, Any]):
    spend = restored_spend(FleetRecord(JULY, is_new=True), "p1", TOLD, SPENT | change, TOLD + 60.0)
    assert (spend.total_usd, spend.updated_seconds, spend.month_start_seconds) == (0.0, TOLD, JULY)


@pytest.mark.parametrize("status", [{}, {"savings": "gone"}, {"originalReplicas": "many"}, {"savings": {"usd": 1}}])
def test_a_status_that_cannot_be_read_shows_nothing(status: dict[str, Any]):
    state = from_status(status)
    begin = NOW - 3_600.0
    assert state.original_replicas is None
    assert state.ledger == Ledger(begin, begin, period_start_seconds=POLICY.created_seconds)
