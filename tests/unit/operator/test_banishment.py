"""A model whose fits kill the process is left alone, longer each time."""

from __future__ import annotations

from kcloud_autoscale.forecast.fitting import Wanted
from kcloud_autoscale.operator.banishment import Banishment

HOUR = 3_600.0


def wanted(model: str = "ETS", cutoff: int = 9) -> Wanted:
    return Wanted("ai/chat", model, 0, cutoff)


def test_the_first_death_is_bad_luck_and_the_second_costs_an_hour() -> None:
    banished = Banishment()
    assert not banished.died(wanted(), "took longer than 60 s", 0.0)
    assert banished.reason(wanted(), 1.0) == ""
    assert banished.died(wanted(cutoff=10), "took longer than 60 s", 100.0)
    assert banished.reason(wanted(cutoff=11), HOUR + 99.0) == "took longer than 60 s"
    assert banished.reason(wanted(cutoff=11), HOUR + 100.0) == ""


def test_each_further_death_costs_twice_as_long_up_to_a_day() -> None:
    banished, now, hours = Banishment(), 0.0, []
    banished.died(wanted(), "died", now)
    for _ in range(7):
        banished.died(wanted(), "died", now)
        began = now
        while banished.reason(wanted(), now):
            now += HOUR
        hours.append((now - began) / HOUR)
    assert hours == [1, 2, 4, 8, 16, 24, 24]


def test_a_fit_that_succeeds_is_forgiven_and_another_model_is_another_matter() -> None:
    banished = Banishment()
    for _ in range(2):
        banished.died(wanted(), "died", 0.0)
    assert banished.reason(wanted("AutoReg"), 1.0) == ""
    banished.forgive(wanted())
    assert banished.reason(wanted(), 1.0) == ""
    assert not banished.died(wanted(), "died", 2.0)
