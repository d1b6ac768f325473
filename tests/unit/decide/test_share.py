from __future__ import annotations

from dataclasses import replace

import pytest

from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.domain.decision import Stage
from kcloud_autoscale.domain.periods import period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod, Caps, CapUnit, CostScope, SharedCap
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.state import ScopeSpend
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from tests.builders.deciding import NOW, a_case, a_fleet, condition, decide, fresh, pods, steps_of

UNPRICED = Missing(MissingReason.NO_DATA, "h900 has no public price")


def a_member(name: str, wanted: int, replicas: int = 1, priority: int = 50, **knobs):
    key = WorkloadKey("shop", name)
    return a_case(10.0 * wanted, replicas, 10.0 * wanted, key=key, priority=priority, **({"watts": 700.0} | knobs))


def watts(limit: float, *names: str) -> tuple[SharedCap, ...]:
    return (SharedCap("cluster/maxPowerUsage", CapUnit.WATTS, limit, frozenset(WorkloadKey("shop", n) for n in names)),)


def counts(outcome) -> list[int]:
    return [decision.desired_replicas for decision in outcome.fleet.decisions]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (20_000.0, [6, 4, 4]),  # room for all
        (7_000.0, [6, 2, 2]),  # 10 replicas: floors 3, the first 5 more, the rest in turn
        (7_700.0, [6, 3, 2]),  # of equals, the first by name gets the odd one
        (4_200.0, [4, 1, 1]),  # 6 replicas: the lower two keep their floors
        (2_100.0, [1, 1, 1]),
        (700.0, [1, 1, 1]),  # floors stand
    ],
)
def test_floors_first_then_by_priority_and_in_turn_among_equals(limit, expected):
    members = (a_member("a", 6, priority=80), a_member("b", 4), a_member("c", 4))
    outcome = decide(*members, caps=watts(limit, "a", "b", "c"))

    assert counts(outcome) == expected


def test_a_budget_is_shared_as_what_it_allows_until_the_next_tick():
    """10 $ of 1,000 $ are left for a minute: room for 300 replicas at 2 $/h; 0.2 $ are room for six."""
    members = (a_member("a", 6, priority=80), a_member("b", 4))
    keys = frozenset(member.policy.key for member in members)
    scope = CostScope("team", keys, budget_usd=1_000.0)
    fleet = a_fleet(*members, cost_scopes=(scope,))
    for spent, expected in ((990.0, [6, 4]), (999.8, [5, 1]), (1_000.0, [1, 1]), (1_200.0, [1, 1])):
        outcome = decide_fleet(members, fleet, NOW, {"team": ScopeSpend(NOW, spent)})
        assert counts(outcome) == expected
    (cap,) = outcome.fleet.decisions[0].caps
    # What is spent already, and the floors of both for a minute.
    assert (cap.name, cap.limit, cap.binding) == ("team/budgetLimit", 1_000.0, True)
    assert cap.used == pytest.approx(1_200.0 + 4.0 / 60.0)
    assert cap.floor_excess == pytest.approx(200.0 + 4.0 / 60.0)
    assert steps_of(outcome.fleet.decisions[0], Stage.CAPS)[-1].message.startswith("team/budgetLimit is shared")


def test_last_months_spend_does_not_count_in_this():
    scope = CostScope("team", frozenset({(one := a_member("a", 6)).policy.key}), monthly_usd=100_000.0)
    fleet = a_fleet(one, cost_scopes=(scope,))
    month, _ = period_bounds(BudgetPeriod.MONTHLY, 0.0, NOW)
    for began, expected in ((month, 1), (month - 86_400.0, 6)):
        assert counts(decide_fleet((one,), fleet, NOW, {"team": ScopeSpend(NOW, 1e5, began, 1e5)})) == [expected]


def test_the_order_of_the_cases_does_not_matter():
    members = (a_member("a", 6, priority=80), a_member("b", 4), a_member("c", 4))
    outcome = decide(*reversed(members), caps=watts(7_700.0, "a", "b", "c"))

    assert counts(outcome) == [2, 3, 6]


def test_the_step_names_the_cap_and_what_would_serve_all():
    members = (a_member("a", 6, priority=80), a_member("b", 4))
    outcome = decide(*members, caps=watts(4_900.0, "a", "b"))
    low = outcome.fleet.decisions[1]

    assert low.desired_replicas == 1
    assert steps_of(low, Stage.CAPS)[-1].message == (
        "cluster/maxPowerUsage is shared by priority: 4900 W for 2 workloads; 1 of 4 replicas; latency gives way; "
        "+2100.00 W would serve all"
    )
    assert [cap.binding for decision in outcome.fleet.decisions for cap in decision.caps] == [False, True]
    assert low.caps[0].used == 4_900.0


def test_floors_that_break_a_cap_are_reported_to_every_member():
    outcome = decide(a_member("a", 6), a_member("b", 4), caps=watts(1_000.0, "a", "b"))

    for decision in outcome.fleet.decisions:
        assert decision.caps[0].floor_excess == 400.0
        assert condition(decision, "WithinCaps") is False


def test_a_low_priority_shrinks_for_a_high_one():
    members = (a_member("a", 6, replicas=2, priority=80), a_member("b", 5, replicas=5, priority=10))
    outcome = decide(*members, caps=watts(4_900.0, "a", "b"))

    assert counts(outcome) == [6, 1]
    # The growth waits until the other's pods are gone: nothing may be written for it yet.
    assert [(action.key.name, action.to_replicas) for action in outcome.fleet.actions] == [("b", 1)]


def test_counts_that_are_not_ours_take_what_they_have():
    off = a_member("off", 9, replicas=4, mode=Mode.OFF)
    outcome = decide(a_member("a", 6), off, caps=watts(4_900.0, "a", "off"))

    assert counts(outcome) == [3, 4]


def test_what_is_only_recommended_takes_no_room_from_what_acts():
    advised = a_member("advised", 6, replicas=2, priority=90, mode=Mode.RECOMMEND)
    outcome = decide(a_member("a", 6, priority=10), advised, caps=watts(4_900.0, "a", "advised"))

    # 7 replicas fit. Two run unchanged, so 5 are left to act on; were both to act, the first would get 6.
    assert counts(outcome) == [5, 6]
    assert [action.key.name for action in outcome.fleet.actions] == ["a"]


def test_a_member_of_whose_draw_nothing_is_known_bounds_only_itself():
    members = (a_member("a", 6, replicas=2), a_member("b", 5, replicas=3, watts=UNPRICED))
    outcome = decide(*members, caps=watts(50_000.0, "a", "b"))

    assert counts(outcome) == [6, 3]
    first, stranger = outcome.fleet.decisions
    assert (condition(first, "WithinCaps"), condition(stranger, "WithinCaps")) == (True, None)
    assert steps_of(stranger, Stage.CAPS)[-1].message == (
        "what a replica takes of cluster/maxPowerUsage is not known: it may not grow beyond 3"
    )


def test_the_cap_holds_for_all_others_beside_a_stranger():
    members = (a_member("a", 6, replicas=2), a_member("b", 5, replicas=3, watts=UNPRICED, mode=Mode.OFF))

    assert counts(decide(*members, caps=watts(2_800.0, "a", "b"))) == [4, 3]


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.OFF])
def test_what_a_stranger_runs_is_counted_at_its_estimate_and_never_taken_for_it(mode):
    # 5 run at no more than 1,000 W each: 5,000 of 7,200 W, and 3 at 700 W fit beside them.
    stranger = replace(
        a_member("b", 9, replicas=5, watts=UNPRICED, mode=mode, priority=90), most_watts_per_replica=fresh(1_000.0)
    )
    assert counts(decide(a_member("a", 6), stranger, caps=watts(7_200.0, "a", "b")))[0] == 3
    # Their 5,000 W are more than the limit: they stay as they are, and the other keeps what it runs.
    tight = decide(a_member("a", 6, replicas=4), stranger, caps=watts(4_000.0, "a", "b"))
    assert counts(tight)[0] == 4
    assert tight.fleet.actions == ()


def test_a_stranger_grows_last_and_within_its_estimate():
    stranger = replace(a_member("b", 9, replicas=2, watts=UNPRICED, priority=90), most_watts_per_replica=fresh(1_000.0))
    other = a_member("a", 6, replicas=6, priority=10)

    assert counts(decide(other, stranger, caps=watts(7_500.0, "a", "b"))) == [6, 3]


def test_every_cap_of_a_workload_holds():
    both = frozenset({WorkloadKey("shop", "a"), WorkloadKey("shop", "b")})
    caps = (
        SharedCap("p/maxPowerUsage", CapUnit.WATTS, 5_600.0, both),  # 8 replicas in all
        SharedCap("c/costPerHourLimit", CapUnit.USD_PER_HOUR, 6.0, frozenset({WorkloadKey("shop", "a")})),  # 3 of a
    )
    outcome = decide(a_member("a", 6, priority=80), a_member("b", 9), caps=caps)

    assert counts(outcome) == [3, 5]


def test_a_workload_without_a_cap_is_untouched():
    outcome = decide(a_member("a", 6), a_member("free", 9), caps=watts(700.0, "a"))

    assert counts(outcome) == [1, 9]
    assert outcome.fleet.decisions[1].caps == ()


def test_growth_takes_the_room_that_is_free_now_and_waits_for_the_rest():
    # 10 fit. b has shrunk to 2, but 3 of its pods are still going: of the 5 more a wants, 2 may come now.
    b = a_member("b", 2, replicas=2, running=pods(2, leaving=3))
    outcome = decide(a_member("a", 8, replicas=3), b, caps=watts(7_000.0, "a", "b"))

    assert counts(outcome) == [8, 2]
    (action,) = outcome.fleet.actions
    assert (action.key.name, action.from_replicas, action.to_replicas) == ("a", 3, 5)
    step = steps_of(outcome.fleet.decisions[0], Stage.STAGE)[0]
    assert (step.before, step.after, step.reason) == (8, 5, "WaitsForRoom")


def test_free_room_goes_to_the_higher_priority_first():
    members = (a_member("a", 4, replicas=1, priority=10), a_member("b", 4, replicas=1, priority=90))
    gone = a_member("c", 1, replicas=1, running=pods(1, leaving=4))
    outcome = decide(*members, gone, caps=watts(6_300.0, "a", "b", "c"))

    # 9 fit, 7 are held: 2 may come now, both to b.
    assert [(a.key.name, a.to_replicas) for a in outcome.fleet.actions] == [("b", 3)]


def test_growth_that_fits_waits_for_nobody():
    members = (a_member("a", 5, replicas=1, priority=90), a_member("b", 1, replicas=5, priority=90))
    outcome = decide(*members, caps=watts(70_000.0, "a", "b"))

    assert [(action.key.name, action.needs) for action in outcome.fleet.actions] == [("a", ()), ("b", ())]


def test_pods_that_are_still_going_count_against_a_workloads_own_cap():
    case = a_case(80.0, 4, 80.0, running=pods(4, leaving=3), caps=Caps(max_watts=4_000.0))
    outcome = decide(case)  # 8 fit, 7 are held

    assert outcome.fleet.decisions[0].desired_replicas == 8
    assert outcome.fleet.actions[0].to_replicas == 5


def test_pods_beyond_the_count_are_still_there():
    case = a_member("a", 4, replicas=2)
    target = replace(case.seen.target, pods=pods(5))  # told to be 2, and 5 are seen
    members = (replace(case, seen=replace(case.seen, target=target)),)
    outcome = decide(*members, caps=watts(3_500.0, "a"))

    assert outcome.fleet.actions == ()


def test_a_floor_that_breaks_a_cap_is_not_left_waiting():
    outcome = decide(a_member("a", 1, replicas=1, min_replicas=3, max_replicas=9), caps=watts(1_000.0, "a"))

    assert (outcome.fleet.actions[0].to_replicas, outcome.fleet.actions[0].min_replicas) == (3, 3)


def test_a_floor_that_only_has_to_wait_waits():
    low = a_member("low", 6, replicas=6, priority=10)
    outcome = decide(a_member("a", 3, replicas=1, min_replicas=3), low, caps=watts(4_900.0, "a", "low"))

    assert counts(outcome) == [3, 4]
    assert [(action.key.name, action.to_replicas) for action in outcome.fleet.actions] == [("low", 4)]


def test_a_smaller_count_that_is_only_recommended_frees_nothing():
    advised = a_member("advised", 1, replicas=5, priority=90, mode=Mode.RECOMMEND)
    outcome = decide(a_member("a", 6, priority=10), advised, caps=watts(4_900.0, "a", "advised"))

    assert counts(outcome) == [2, 1]
    assert outcome.fleet.decisions[0].caps[0].used == 4_900.0


def test_a_floor_that_has_room_for_a_part_is_not_filled_by_the_writer():
    low = a_member("low", 6, replicas=6, priority=10)
    outcome = decide(a_member("a", 3, replicas=1, min_replicas=3), low, caps=watts(5_600.0, "a", "low"))

    # 8 fit and 7 are held: one more may come now, and whoever writes may not clamp it up to 3.
    grow = next(action for action in outcome.fleet.actions if action.key.name == "a")
    assert (grow.key.name, grow.to_replicas, grow.min_replicas) == ("a", 2, 2)


def test_a_floor_that_breaks_its_own_cap_is_not_left_waiting():
    case = a_case(10.0, 1, 10.0, min_replicas=3, caps=Caps(max_watts=1_000.0), running=pods(1, leaving=2))

    assert decide(case).fleet.actions[0].to_replicas == 3


def test_only_what_was_asked_for_is_remembered_while_the_rest_waits():
    case = a_case(80.0, 4, 80.0, running=pods(4, leaving=3), caps=Caps(max_watts=4_000.0))
    state = decide(case).states[0]

    # 8 are wanted, 5 were asked for: one more, not four, counts against the rate limit.
    assert (state.last_desired, [event.change for event in state.scale_events]) == (5, [1])
