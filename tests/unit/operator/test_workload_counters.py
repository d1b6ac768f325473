from dataclasses import replace

import pytest

from kcloud_autoscale.account.ledger import Account, Entry
from kcloud_autoscale.domain.state import Usage
from kcloud_autoscale.operator.workload_counters import WorkloadCounters
from tests.unit.act.outcomes import KEY, NOW, account


def cycle(until: float, seconds: float = 60.0, usd: float = 1.0) -> Account:
    """An account after an interval that cost so much."""
    made = account()
    return replace(made, ledger=replace(made.ledger, updated_seconds=until), entry=Entry(seconds, Usage(usd=usd)))


def spent(counters: WorkloadCounters) -> float:
    return counters.shown()[KEY]["actual", "usd"]


def test_a_series_is_nothing_until_it_was_scraped_once():
    counters = WorkloadCounters()
    counters.take({KEY: cycle(NOW)})
    counters.scaled(KEY, "up")
    assert (spent(counters), spent(counters)) == (0.0, 1.0)
    assert counters.shown()[KEY]["scaled", "up"] == 1.0


def test_cycles_add_up():
    counters = WorkloadCounters()
    for minute in range(3):
        counters.take({KEY: cycle(NOW + 60.0 * minute)})
    counters.shown()
    assert spent(counters) == 3.0


def test_what_is_accounted_anew_after_a_failed_cycle_is_counted_once():
    counters = WorkloadCounters()
    counters.take({KEY: cycle(NOW)})
    counters.take({KEY: cycle(NOW)})  # the same instant
    # The ledger was read back as of two minutes ago: of three minutes that cost 3 $ one is new.
    counters.take({KEY: cycle(NOW + 60.0, seconds=180.0, usd=3.0)})
    counters.shown()
    assert spent(counters) == pytest.approx(2.0)


def test_the_deleted_and_those_of_another_leader_are_gone():
    counters = WorkloadCounters()
    counters.take({KEY: cycle(NOW)})
    counters.take({})
    assert counters.shown() == {}
    counters.take({KEY: cycle(NOW)})
    counters.clear()
    assert counters.shown() == {}
    counters.take({KEY: cycle(NOW)})
    counters.forget([KEY])
    assert counters.shown() == {}


def test_without_an_account_there_is_a_series_of_nothing():
    counters = WorkloadCounters()
    counters.take({KEY: None})
    assert spent(counters) == 0.0
