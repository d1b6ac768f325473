"""Whose write comes first; ten per second and replica, so that a load of 80 wants 8."""

from __future__ import annotations

from kcloud_autoscale.decide.pipeline import FleetOutcome
from kcloud_autoscale.decide.record import state_after_write
from kcloud_autoscale.domain.decision import ScaleOutcome, ScaleResult
from tests.builders.deciding import NOW, decide, settled
from tests.unit.decide.test_share import a_member, watts


def order(outcome: FleetOutcome) -> list[str]:
    return [action.key.name for action in outcome.fleet.actions]


def test_who_misses_more_of_what_should_run_comes_first():
    outcome = decide(a_member("a", 10, replicas=9), a_member("b", 8, replicas=2), a_member("c", 4, replicas=2))
    assert order(outcome) == ["b", "c", "a"]


def test_a_higher_priority_comes_before_a_larger_shortage():
    assert order(decide(a_member("a", 10, replicas=1), a_member("b", 10, replicas=9, priority=90))) == ["b", "a"]


def test_who_has_waited_longer_comes_before_who_misses_more():
    waited = a_member("waited", 10, replicas=9, state=settled(waiting_since_seconds=NOW - 15.0))
    assert order(decide(a_member("new", 10, replicas=1, priority=90), waited)) == ["waited", "new"]


def test_nobody_has_a_second_turn_before_everybody_has_had_the_first():
    shrinks = a_member("shrinks", 1, replicas=5, state=settled(waiting_since_seconds=NOW - 15.0))
    second = a_member("second", 10, replicas=1, state=settled(tried_seconds=NOW - 15.0))
    first = a_member("first", 10, replicas=9, state=settled(tried_seconds=NOW - 600.0))
    assert order(decide(second, shrinks, first)) == ["first", "shrinks", "second"]


def test_a_shrink_gives_way_to_growth_that_was_decided_up_to_a_minute_after_it():
    for waited, expected in ((59.0, ["grows", "shrinks"]), (61.0, ["shrinks", "grows"])):
        shrinks = a_member("shrinks", 1, replicas=5, state=settled(waiting_since_seconds=NOW - waited))
        assert order(decide(a_member("grows", 5, replicas=4), shrinks)) == expected


def test_a_shrink_that_others_wait_for_gives_way_to_nobody():
    # 8 of 700 W fit and 7 run: one more of `a` may come now, the rest when `low` has shrunk.
    low = a_member("low", 5, replicas=5, priority=10)
    fleet = (a_member("a", 7, replicas=2), low, a_member("other", 9, replicas=8, priority=5))
    outcome = decide(*fleet, caps=watts(5_600.0, "a", "low"))
    assert order(outcome) == ["a", "low", "other"]


def test_a_step_of_everybodys_load_is_served_in_rounds():
    """40 workloads double twice; 15 writes fit a cycle: everybody's first comes before anybody's second."""
    names = [f"w{number:02}" for number in range(40)]
    replicas = dict.fromkeys(names, 1)
    states = {name: settled() for name in names}
    story: list[str] = []
    for cycle in range(6):
        now = NOW + 15.0 * cycle
        members = [
            a_member(name, min(4, 2 * replicas[name]), replicas=replicas[name], state=states[name]) for name in names
        ]
        outcome = decide(*members, now=now)
        states = dict(zip(names, outcome.states, strict=True))
        results = [
            ScaleResult(action, ScaleOutcome.WRITTEN if place < 15 else ScaleOutcome.DEFERRED, "", action.to_replicas)
            for place, action in enumerate(outcome.fleet.actions)
        ]
        for result in results:
            key = result.action.key.name
            states[key] = state_after_write(states[key], result, True, now)
            if result.written:
                story.append(result.action.key.name)
                replicas[result.action.key.name] = result.action.to_replicas
    assert sorted(story[:40]) == names
    assert sorted(story[40:80]) == names
    assert set(replicas.values()) == {4}
