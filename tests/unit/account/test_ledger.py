from __future__ import annotations

import math
from dataclasses import astuple, replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.account.ledger import (
    Entry,
    Interval,
    Running,
    Savings,
    baseline_watts,
    budget,
    extended,
    record,
    savings,
)
from kcloud_autoscale.account.service import needed_replicas
from kcloud_autoscale.domain.policy import BudgetPeriod, Caps
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample, times, value_or_none
from kcloud_autoscale.domain.state import Ledger, Usage

UNKNOWN = Missing(MissingReason.NO_DATA)
NO_CAPS = Caps()
NOTHING = Interval(None, None, UNKNOWN, None, 2, UNKNOWN)


def sample(value: float) -> Reading:
    return Sample(value, 0.0)


def running(replicas: int, ready: int | None = None, usd: Reading = UNKNOWN, watts: Reading = UNKNOWN) -> Running:
    return Running(replicas, replicas if ready is None else ready, usd, watts)


def recorded(
    actual: Running | None,
    baseline: Running | None,
    demand: Reading = UNKNOWN,
    kappa: float | None = 10.0,
    seconds: float = 60.0,
    carbon: Reading = UNKNOWN,
    caps: Caps = NO_CAPS,
    before: Ledger | None = None,
    idle: Reading = UNKNOWN,
) -> Ledger:
    start = before or record(None, NOTHING, caps, 0.0, 0.0)[0]
    interval = Interval(actual, baseline, demand, kappa, 2, carbon, idle)
    return record(start, interval, caps, 0.0, start.updated_seconds + seconds)[0]


def test_one_minute_by_hand():
    # Ours: 4 replicas, 4 ready, 6.88 $/h and 1,000 W each; baseline: 6 replicas, 5 ready, 6.88 $/h, 5,273 W in all.
    # Demand 45/s at 10/s per replica: ours serve 40/s, the baseline's five ready serve all 45/s.
    ledger = recorded(
        running(4, 4, sample(6.88), sample(4_000.0)),
        running(6, 5, sample(6.88), sample(5_273.0)),
        sample(45.0),
        carbon=sample(425.0),
    )
    ours, theirs = ledger.actual, ledger.baseline
    assert (ours.replica_seconds, theirs.replica_seconds) == (240.0, 360.0)
    assert (ours.accelerator_seconds, theirs.accelerator_seconds) == (480.0, 720.0)
    assert ours.usd == pytest.approx(4 * 6.88 / 60)
    assert theirs.usd == pytest.approx(6 * 6.88 / 60)
    assert (ours.joules, theirs.joules) == (240_000.0, 316_380.0)
    assert ours.grams_co2e == pytest.approx(240_000 / 3.6e6 * 425)
    assert (ours.demand_served, ours.demand_missed) == (2_400.0, 300.0)
    assert (theirs.demand_served, theirs.demand_missed) == (2_700.0, 0.0)
    saved = savings(ledger)
    # 2 replicas' worth were not spent, but one that serves was lacking: nothing is saved.
    assert (saved.usd, saved.joules, saved.replica_seconds) == (0.0, 0.0, 0.0)
    assert ledger.unproven.usd == pytest.approx(2 * 6.88 / 60)
    assert ledger.unproven.demand_missed == 300.0
    assert saved.demand_missed == -300.0
    assert ledger.spent_usd == pytest.approx(4 * 6.88 / 60)


def test_savings_may_be_negative():
    ledger = recorded(running(6, usd=sample(1.0)), running(4, usd=sample(1.0)))
    assert savings(ledger).usd == pytest.approx(-2 / 60)


@pytest.mark.parametrize("unknown", ["price", "watts", "carbon", "baseline", "demand"])
def test_what_is_unknown_saves_nothing(unknown: str):
    ours = running(4, usd=UNKNOWN if unknown == "price" else sample(1.0), watts=sample(1_000.0))
    watts = UNKNOWN if unknown == "watts" else sample(1_500.0)
    theirs = None if unknown == "baseline" else running(6, usd=sample(1.0), watts=watts)
    carbon = UNKNOWN if unknown == "carbon" else sample(400.0)
    saved = savings(recorded(ours, theirs, UNKNOWN if unknown == "demand" else sample(40.0), carbon=carbon))
    assert (saved.usd == 0.0) == (unknown in ("price", "baseline", "demand"))
    assert (saved.joules == 0.0) == (unknown in ("watts", "baseline", "demand"))
    assert (saved.grams_co2e == 0.0) == (unknown in ("watts", "carbon", "baseline", "demand"))


def test_money_is_spent_whether_or_not_there_is_a_baseline():
    assert recorded(running(4, usd=sample(3.0)), None).spent_usd == pytest.approx(0.2)


def test_an_unknown_target_spends_and_saves_nothing_known():
    ledger = recorded(None, running(6, usd=sample(1.0)))
    assert (ledger.spent_usd, savings(ledger)) == (0.0, Savings(0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert ledger.updated_seconds == 60.0


def test_hours_nobody_watched_are_paid_for_but_not_compared():
    ledger = recorded(running(4, usd=sample(3.0)), running(6, usd=sample(3.0)), seconds=7_200.0)
    assert ledger.spent_usd == pytest.approx(24.0)
    assert savings(ledger).usd == 0.0


def test_a_clock_that_stands_still_or_runs_back_changes_nothing():
    ledger = recorded(running(4, usd=sample(3.0)), None)
    assert recorded(running(4, usd=sample(3.0)), None, seconds=0.0, before=ledger) is ledger
    assert recorded(running(4, usd=sample(3.0)), None, seconds=-30.0, before=ledger) is ledger


def test_a_baseline_of_more_replicas_draws_their_idle_power_more():
    # 4 replicas at 1,000 W in all; two more that idle at 136.5 W.
    watts = baseline_watts(running(4, watts=sample(1_000.0)), 6, sample(136.5))
    assert isinstance(watts, Sample)
    assert watts.value == pytest.approx(1_273.0)


def test_a_baseline_of_fewer_replicas_draws_at_least_their_idle_power():
    watts = baseline_watts(running(10, watts=sample(1_000.0)), 2, sample(136.5))
    assert isinstance(watts, Sample)
    assert watts.value == pytest.approx(273.0)


def test_unknown_power_of_either_side_is_unknown():
    assert isinstance(baseline_watts(running(4), 6, sample(136.5)), Missing)
    assert isinstance(baseline_watts(running(4, watts=sample(1.0)), 6, UNKNOWN), Missing)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_period_begins_with_its_part_of_the_interval():
    caps = Caps(budget_usd=100.0, budget_period=BudgetPeriod.DAILY)
    before, _ = record(None, NOTHING, caps, 0.0, at("2026-11-24T23:58"))
    ours = running(4, usd=sample(15.0))  # 1 $ a minute
    alone = Interval(ours, None, UNKNOWN, None, 2, UNKNOWN)
    before, _ = record(before, alone, caps, 0.0, at("2026-11-24T23:59"))
    assert before.period_spent_usd == pytest.approx(1.0)
    after, _ = record(before, alone, caps, 0.0, at("2026-11-25T00:03"))
    assert after.period_spent_usd == pytest.approx(3.0)  # 00:00 to 00:03
    assert after.spent_usd == pytest.approx(5.0)
    assert after.period_start_seconds == at("2026-11-25")


def test_a_budget_runs_out_at_the_present_rate():
    caps = Caps(budget_usd=100.0)
    ledger = Ledger(0.0, 1_000.0, period_spent_usd=90.0)
    got = budget(ledger, caps, sample(5.0), 0.0, 1_000.0)
    assert got is not None
    assert got.remaining_usd == pytest.approx(10.0)
    assert got.exhausted_at_seconds == pytest.approx(1_000.0 + 7_200.0)


def test_a_budget_that_outlasts_its_period_is_not_projected_to_run_out():
    caps = Caps(budget_usd=100.0, budget_period=BudgetPeriod.DAILY)
    now = at("2026-11-24T22:30")
    ledger = Ledger(0.0, now, period_start_seconds=at("2026-11-24"), period_spent_usd=90.0)
    got = budget(ledger, caps, sample(5.0), 0.0, now)
    assert got is not None
    assert got.exhausted_at_seconds is None
    assert got.period_end_seconds == at("2026-11-25")


def test_yesterdays_spend_is_not_todays():
    caps = Caps(budget_usd=100.0, budget_period=BudgetPeriod.DAILY)
    ledger = Ledger(0.0, 0.0, period_start_seconds=at("2026-11-23"), period_spent_usd=90.0)
    got = budget(ledger, caps, UNKNOWN, 0.0, at("2026-11-24T01:00"))
    assert got is not None
    assert (got.spent_usd, got.remaining_usd, got.exhausted_at_seconds) == (0.0, 100.0, None)


def test_a_spent_budget_is_exhausted_now_and_never_negative():
    got = budget(Ledger(0.0, 0.0, period_spent_usd=120.0), Caps(budget_usd=100.0), UNKNOWN, 0.0, 50.0)
    assert got is not None
    assert (got.remaining_usd, got.exhausted_at_seconds) == (0.0, 50.0)


def test_no_budget_is_none():
    assert budget(Ledger(0.0, 0.0), NO_CAPS, UNKNOWN, 0.0, 50.0) is None


def spend(ledger: Ledger, usd: float, caps: Caps, created_seconds: float, now_seconds: float) -> Ledger:
    """The ledger with the money of the time since its last update."""
    added = Entry(now_seconds - ledger.updated_seconds, Usage(usd=usd))
    return extended(ledger, added, caps, created_seconds, now_seconds)


def test_a_period_that_only_a_wrong_clock_saw_takes_nothing_from_the_budget():
    # 60 $/h for ten minutes of the 24th; then the clock is a day ahead for a minute, and right again.
    caps = Caps(budget_usd=100.0, budget_period=BudgetPeriod.DAILY)
    now = at("2026-11-24T13:00")
    ledger = Ledger(
        at("2026-11-20"), now, period_start_seconds=at("2026-11-24"), actual=Usage(usd=500.0), period_spent_usd=5.0
    )
    ledger = spend(ledger, 10.0, caps, 0.0, now + 600.0)
    ahead = replace(ledger, updated_seconds=ledger.updated_seconds + 86_400.0)
    ahead = spend(ahead, 1.0, caps, 0.0, ahead.updated_seconds + 60.0)
    assert (ahead.period_start_seconds, ahead.period_spent_usd) == (at("2026-11-25"), 1.0)
    back = spend(replace(ahead, updated_seconds=now + 660.0), 1.0, caps, 0.0, now + 720.0)
    assert (back.period_start_seconds, back.period_spent_usd) == (at("2026-11-24"), 17.0)
    # The 25th begins in time, whatever has been said of it.
    next_day = spend(back, 30.0, caps, 0.0, at("2026-11-25T00:10"))
    seconds = at("2026-11-25T00:10") - back.updated_seconds
    assert next_day.period_spent_usd == pytest.approx(30.0 * 600.0 / seconds)


def test_a_clock_that_was_behind_forgets_nothing_of_today():
    caps = Caps(budget_usd=100.0, budget_period=BudgetPeriod.DAILY)
    now = at("2026-11-24T13:00")
    ledger = Ledger(
        at("2026-11-20"), now, period_start_seconds=at("2026-11-24"), actual=Usage(usd=500.0), period_spent_usd=5.0
    )
    ledger = spend(ledger, 0.0, caps, 0.0, now + 60.0)
    behind = spend(replace(ledger, updated_seconds=now - 86_400.0), 1.0, caps, 0.0, now - 86_340.0)
    assert (behind.period_start_seconds, behind.period_spent_usd) == (at("2026-11-23"), 6.0)
    right = spend(replace(behind, updated_seconds=now + 120.0), 1.0, caps, 0.0, now + 180.0)
    assert (right.period_start_seconds, right.period_spent_usd) == (at("2026-11-24"), 7.0)


def test_a_ledger_begun_by_a_clock_that_was_ahead_heals():
    caps = Caps(budget_usd=100.0, budget_period=BudgetPeriod.DAILY)
    now = at("2026-11-24T13:00")
    wrong = Ledger(now + 30 * 86_400.0, now + 30 * 86_400.0, period_start_seconds=at("2026-12-24"))
    ledger = spend(replace(wrong, updated_seconds=now), 4.0, caps, 0.0, now + 60.0)
    assert (ledger.since_seconds, ledger.period_spent_usd) == (now + 60.0, 4.0)
    tomorrow = spend(ledger, 0.0, caps, 0.0, at("2026-11-25T13:00"))
    assert tomorrow.period_spent_usd == 0.0


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 86_400.0, -86_400.0, 3_600.0, 31 * 86_400.0]), st.floats(0.0, 50.0)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(list(BudgetPeriod)),
)
def test_whatever_the_clock_did_in_between_the_running_period_costs_what_was_spent(
    minutes: list[tuple[float, float]], period: BudgetPeriod
):
    caps = Caps(budget_usd=100.0, budget_period=period)
    noon = at("2026-11-18T12:00")
    before = Ledger(at("2026-11-18T06:00"), noon)
    ledger, set_by = spend(before, 3.0, caps, at("2026-11-18T06:00"), noon + 60.0), 0.0
    for number, (error, usd) in enumerate(minutes):
        moved = replace(ledger, updated_seconds=ledger.updated_seconds + error - set_by)
        true_now = noon + 120.0 + 60.0 * number
        ledger, set_by = spend(moved, usd, caps, at("2026-11-18T06:00"), true_now + error), error
    healed = replace(ledger, updated_seconds=ledger.updated_seconds - set_by)
    healed = spend(healed, 0.0, caps, at("2026-11-18T06:00"), healed.updated_seconds + 60.0)
    assert healed.period_spent_usd == pytest.approx(3.0 + sum(usd for _, usd in minutes))
    assert healed.period_spent_usd == pytest.approx(healed.spent_usd)


def test_what_ran_is_counted_whatever_the_baseline_knows():
    # Training has no demand, no capacity and so no shadow HPA: 4 replicas of 2 devices at 3 $/h and 1 kW for a minute.
    ledger = recorded(running(4, usd=sample(3.0), watts=sample(4_000.0)), None, kappa=None, carbon=sample(360.0))
    assert ledger.actual.usd == pytest.approx(0.2)
    assert (ledger.actual.replica_seconds, ledger.actual.accelerator_seconds) == (240.0, 480.0)
    assert (ledger.actual.joules, ledger.actual.grams_co2e) == (240_000.0, pytest.approx(24.0))
    assert ledger.compared == ledger.baseline == ledger.unproven == Usage()
    served = recorded(running(4), None, sample(45.0))
    assert (served.actual.demand_served, served.actual.demand_missed) == (2_400.0, 300.0)


def test_what_would_not_fit_a_sum_is_not_counted():
    ledger = recorded(running(4, usd=sample(1e308), watts=sample(1e308)), running(6, usd=sample(1e308)), sample(1e308))
    assert ledger.actual == Usage(replica_seconds=240.0, accelerator_seconds=480.0, demand_served=2_400.0)
    assert all(math.isfinite(value) for value in numbers(ledger))


def numbers(ledger: Ledger) -> list[float]:
    """Every sum of it."""
    sides = (ledger.actual, ledger.compared, ledger.baseline, ledger.unproven)
    own = (ledger.updated_seconds, ledger.period_spent_usd, ledger.period_baseline_usd, ledger.baseline_spent_usd)
    return [*(value for side in sides for value in astuple(side)), *own]


rates = st.one_of(st.just(UNKNOWN), st.floats(0.0, 1e4).map(sample))
Minute = tuple[int, int, int, int, Reading, Reading, Reading, Reading]
minutes_of = st.lists(
    st.tuples(
        st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), rates, rates, rates, rates
    ),
    max_size=20,
)


def told(minutes: list[Minute]) -> Ledger:
    """The ledger after minutes of (ours, not ready of them, theirs, not ready of them, $/h, W each, demand, carbon)."""
    ledger = recorded(None, None)
    for ours, starting, theirs, their_starting, usd, watts, demand, carbon in minutes:
        actual = running(ours, max(0, ours - starting), usd, times(watts, ours))
        idle = times(watts, 0.3)
        baseline = running(theirs, max(0, theirs - their_starting), usd, baseline_watts(actual, theirs, idle))
        ledger = recorded(actual, baseline, demand, carbon=carbon, before=ledger, idle=idle)
    return ledger


@given(minutes_of)
def test_nothing_shrinks_and_savings_never_exceed_the_baseline(minutes: list[Minute]):
    ledgers = [told(minutes[:count]) for count in range(len(minutes) + 1)]
    for before, after in pairwise(ledgers):
        assert all(new >= old for old, new in zip(numbers(before), numbers(after), strict=True))
    saved = savings(ledgers[-1])
    theirs = ledgers[-1].baseline
    for name in ("replica_seconds", "accelerator_seconds", "usd", "joules", "grams_co2e"):
        assert getattr(saved, name) <= getattr(theirs, name) * (1.0 + 1e-9)


def assert_never_more(lazy: Savings, honest: Savings) -> None:
    for name in ("replica_seconds", "accelerator_seconds", "usd", "joules", "grams_co2e"):
        assert getattr(lazy, name) <= getattr(honest, name) + 1e-6 * (1.0 + abs(getattr(honest, name)))


losses = st.lists(st.integers(0, 5), min_size=20, max_size=20)


@given(minutes_of, losses)
def test_fewer_ready_replicas_at_the_same_load_never_raise_what_was_saved(minutes: list[Minute], gone: list[int]):
    worse = [(ours, starting + lost, *rest) for (ours, starting, *rest), lost in zip(minutes, gone, strict=False)]
    assert_never_more(savings(told(worse)), savings(told(minutes)))  # type: ignore[arg-type]


@given(minutes_of, losses)
def test_not_running_replicas_that_are_needed_never_raises_what_was_saved(minutes: list[Minute], gone: list[int]):
    """Even though they are not paid for. Beyond what is needed, or the baseline has, less is saved rightly."""
    worse = []
    for (ours, starting, theirs, their_starting, usd, watts, demand, carbon), lost in zip(minutes, gone, strict=False):
        needed = needed_replicas(value_or_none(demand), 10.0)
        their_ready = max(0, theirs - their_starting)
        ready = max(0, ours - starting)
        surplus = ready > (their_ready if needed is None else min(needed, their_ready))
        fewer = ours if surplus else ours - min(ready, lost)
        worse.append((fewer, starting, theirs, their_starting, usd, watts, demand, carbon))
    assert_never_more(savings(told(worse)), savings(told(minutes)))


def test_failing_service_is_no_saving():
    # 300/s at 10/s each need 30; 4 run of 24 that an HPA with a cluster of its own would have: 20 x 16 $/h not spent.
    ledger = recorded(running(4, usd=sample(16.0)), running(24, usd=sample(16.0)), sample(300.0))
    assert savings(ledger).usd == 0.0
    assert ledger.unproven.usd == pytest.approx(20 * 16.0 / 60.0)
    # And what costs more than the baseline is not the cheaper for failing: 30 $/h beside 24, with 5 more lacking.
    dear = recorded(running(3, 1, sample(10.0)), running(6, 6, sample(4.0)), sample(60.0))
    assert savings(dear).usd == pytest.approx((24.0 - 30.0 - 5 * 4.0) / 60.0)
