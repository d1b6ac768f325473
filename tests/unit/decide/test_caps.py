from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kcloud_autoscale.decide.budget import allowance
from kcloud_autoscale.domain.decision import Stage
from kcloud_autoscale.domain.policy import (
    BudgetPeriod,
    Caps,
    CapUnit,
    ScalingRules,
    SharedCap,
    WorkloadPolicy,
    default_scale_down,
)
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.state import DecisionState, Ledger
from kcloud_autoscale.domain.workload import Mode
from tests.builders.deciding import KEY, NOW, UNKNOWN, a_case, condition, decide, decide_one, steps_of

UNPRICED = Missing(MissingReason.NO_DATA, "h900 has no public price")
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
HOUR = 3600.0


@pytest.mark.parametrize(
    ("caps", "expected", "reason"),
    [
        (Caps(max_usd_per_hour=10.0), 5, "MaxCostPerHour"),  # 2 $/h each
        (Caps(max_watts=3400.0), 6, "MaxPowerUsage"),  # 500 W each
        (Caps(max_usd_per_hour=10.0, max_watts=3400.0), 5, "MaxCostPerHour"),  # the tightest is named
        (Caps(max_usd_per_hour=100.0), 8, "ForecastNeed"),
    ],
)
def test_a_cap_limits_the_count_and_says_so(caps, expected, reason):
    decision = decide_one(a_case(45.0, 4, 75.0, caps=caps))

    assert (decision.desired_replicas, decision.uncapped_replicas) == (expected, 8)
    assert decision.final_reason == reason
    assert condition(decision, "WithinCaps") is True


def test_the_step_says_what_gives_way_and_what_would_make_room():
    headroom = decide_one(a_case(45.0, 4, 75.0, caps=Caps(max_usd_per_hour=10.0)))
    assert steps_of(headroom, Stage.CAPS)[0].message == (
        "8 replicas need 16.00 $/h, maxCostPerHour allows 10.00: 5 fit; headroom gives way; +6.00 $/h would make room"
    )
    latency = decide_one(a_case(72.0, 4, 75.0, caps=Caps(max_watts=3000.0)))
    assert "6 fit; latency gives way; +1000.00 W would make room" in steps_of(latency, Stage.CAPS)[0].message


def test_every_cap_is_listed_with_what_the_final_count_takes():
    decision = decide_one(a_case(45.0, 4, 75.0, caps=Caps(max_usd_per_hour=10.0, max_watts=9000.0)))

    assert [(c.name, c.limit, c.used, c.binding, c.floor_excess) for c in decision.caps] == [
        ("maxCostPerHour", 10.0, 10.0, True, 0.0),
        ("maxPowerUsage", 9000.0, 2500.0, False, 0.0),
    ]


def test_a_cap_shrinks_at_once_whatever_the_windows_say():
    slow = ScalingRules(3600.0, default_scale_down().policies)
    for demand in (75.0, UNKNOWN):  # even while nothing is known of the load
        case = a_case(demand, 8, 75.0, caps=Caps(max_watts=3000.0), scale_down=slow, state=DecisionState(NOW))
        assert decide_one(case).desired_replicas == 6


def test_min_replicas_is_never_cut_by_money_and_the_excess_is_named():
    decision = decide_one(a_case(45.0, 6, 75.0, caps=Caps(max_usd_per_hour=5.0), min_replicas=4))

    assert decision.desired_replicas == 4
    assert decision.caps[0].floor_excess == 3.0  # 4 * 2 $/h over 5 $/h
    fact = next(fact for fact in decision.conditions if fact.type == "WithinCaps")
    assert (fact.status, fact.message) == (False, "minReplicas alone exceeds maxCostPerHour 5 by 3.00")
    assert steps_of(decision, Stage.CAPS)[0].message == (
        "minReplicas 4 alone exceeds maxCostPerHour by 3.00 $/h; 8 replicas were wanted"
    )


@pytest.mark.parametrize(("replicas", "expected"), [(4, 4), (9, 8)])
def test_with_an_unknown_price_nothing_grows_beyond_what_runs(replicas, expected):
    decision = decide_one(a_case(75.0, replicas, 75.0, usd=UNPRICED, caps=Caps(max_usd_per_hour=100.0)))

    assert decision.desired_replicas == expected
    assert decision.caps[0].used is None
    assert condition(decision, "WithinCaps") is None
    assert condition(decision, "PriceKnown") is False


def test_an_unknown_price_without_a_cap_limits_nothing():
    assert decide_one(a_case(75.0, 4, 75.0, usd=UNPRICED)).desired_replicas == 8


def test_what_is_not_ours_is_not_cut_but_seen_to_exceed():
    decision = decide_one(a_case(75.0, 8, mode=Mode.OFF, caps=Caps(max_watts=3000.0)))

    assert decision.desired_replicas == 8
    assert condition(decision, "WithinCaps") is False
    assert decision.caps[0].used == 4000.0


def daily(spent: float, hour: float, cycle: float = 60.0) -> float:
    policy = WorkloadPolicy(KEY, caps=Caps(budget_usd=240.0, budget_period=BudgetPeriod.DAILY))
    ledger = Ledger(MIDNIGHT, MIDNIGHT, period_start_seconds=MIDNIGHT, period_spent_usd=spent)
    return allowance(policy, ledger, 240.0, cycle, MIDNIGHT + hour * HOUR).usd_per_hour


@pytest.mark.parametrize(
    ("spent", "hour", "expected"),
    [
        (0.0, 0.0, 20.0),  # twice 240 / 24
        (40.0, 8.0, 25.0),  # a quiet night: twice 200 / 16
        (200.0, 16.0, 10.0),  # after a rush: twice 40 / 8
        (240.0, 20.0, 0.0),
        (250.0, 20.0, 0.0),  # floors may have gone beyond
    ],
)
def test_a_budget_is_paced_at_twice_what_is_left_per_hour_left(spent, hour, expected):
    assert daily(spent, hour) == pytest.approx(expected)


def test_taking_all_that_is_allowed_spends_three_quarters_by_noon_and_never_all():
    spent, spent_by_noon = 0.0, 0.0
    for minute in range(24 * 60):
        if minute == 12 * 60:
            spent_by_noon = spent
        spent += daily(spent, minute / 60.0) / 60.0

    assert spent_by_noon == pytest.approx(180.0, rel=0.01)
    assert 239.0 < spent <= 240.0 + 1e-9


def test_a_total_budget_is_spent_as_needed_and_never_crossed_by_the_next_tick():
    policy = WorkloadPolicy(KEY, caps=Caps(budget_usd=100.0), created_seconds=MIDNIGHT)
    ledger = Ledger(MIDNIGHT, MIDNIGHT, period_start_seconds=MIDNIGHT, period_spent_usd=99.9)

    # 0.10 $ are left for a cycle of 60 s: 6 $/h.
    assert allowance(policy, ledger, 100.0, 60.0, MIDNIGHT + HOUR).usd_per_hour == pytest.approx(6.0)


def test_yesterdays_spend_does_not_count_today():
    policy = WorkloadPolicy(KEY, caps=Caps(budget_usd=240.0, budget_period=BudgetPeriod.DAILY))
    ledger = Ledger(MIDNIGHT, MIDNIGHT, period_start_seconds=MIDNIGHT, period_spent_usd=240.0)

    next_day = allowance(policy, ledger, 240.0, 60.0, MIDNIGHT + 24 * HOUR)
    assert (next_day.spent_usd, next_day.usd_per_hour) == (0.0, 20.0)


def test_a_spent_budget_leaves_min_replicas():
    ledger = Ledger(MIDNIGHT, NOW, period_start_seconds=MIDNIGHT, period_spent_usd=101.0)
    total = {"caps": Caps(budget_usd=100.0), "created_seconds": MIDNIGHT}
    case = a_case(75.0, 8, 75.0, ledger=ledger, min_replicas=2, **total)
    decision = decide_one(case)

    assert (decision.desired_replicas, decision.final_reason) == (2, "BudgetLimit")
    # Two replicas at 2 $/h spend 0.067 $ more until the next tick.
    assert decision.caps[0].floor_excess == pytest.approx(101.0 + 4.0 / 60.0 - 100.0)


def test_a_budget_without_a_ledger_has_all_of_itself_left():
    case = a_case(Sample(75.0, MIDNIGHT), 4, 75.0, created_seconds=MIDNIGHT, caps=Caps(budget_usd=100.0))
    assert decide_one(case, MIDNIGHT).caps[0].used == pytest.approx(16.0 / 60.0)


def test_three_at_a_tenth_are_within_three_tenths():
    decision = decide_one(a_case(25.0, 3, 30.0, usd=0.1, min_replicas=3, caps=Caps(max_usd_per_hour=0.3)))

    assert decision.desired_replicas == 3
    assert (decision.caps[0].floor_excess, condition(decision, "WithinCaps")) == (0.0, True)


def test_the_use_of_a_limit_is_that_of_the_final_count():
    alone = frozenset({KEY})
    caps = (SharedCap("p/maxPowerUsage", CapUnit.WATTS, 1_500.0, alone),)
    decision = decide(a_case(75.0, 1, 75.0, caps=Caps(max_watts=2_500.0)), caps=caps).fleet.decisions[0]

    assert decision.desired_replicas == 3
    assert [(c.name, c.used, c.binding) for c in decision.caps] == [
        ("maxPowerUsage", 1_500.0, True),
        ("p/maxPowerUsage", 1_500.0, True),
    ]
