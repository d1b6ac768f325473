"""A write that the API server refused: what the rules remember of it, and who is held up by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kcloud_autoscale.decide.record import state_after_write
from kcloud_autoscale.decide.refusal import forbids, standing
from kcloud_autoscale.domain.decision import ScaleAction, ScaleOutcome, ScaleResult, Stage
from kcloud_autoscale.domain.state import DecisionState, ScaleEvent, WriteRefusal
from kcloud_autoscale.domain.workload import TargetRef
from tests.builders.deciding import KEY, NOW, a_case, condition, decide, settled, steps_of
from tests.unit.decide.test_share import a_member, counts, watts


def refused(before: int, after: int, times: int = 1, at_seconds: float = NOW - 15.0) -> WriteRefusal:
    return WriteRefusal(at_seconds, times, before, after, "Refused", "admission webhook: no")


def result(outcome: ScaleOutcome, before: int = 5, after: int = 3, **changes: object) -> ScaleResult:
    target = TargetRef("apps/v1", "Deployment", "llm")
    action = ScaleAction(KEY, "d", target, "u", "7", before, after, 1, 100, "Test", (), NOW)
    return replace(ScaleResult(action, outcome, "in words"), **changes)


@pytest.mark.parametrize(("times", "pause_seconds"), [(1, 60.0), (2, 120.0), (3, 240.0), (4, 300.0), (1000, 300.0)])
def test_it_is_tried_again_after_a_growing_pause(times: int, pause_seconds: float):
    refusal = refused(5, 3, times, NOW)
    assert standing(refusal, 5, NOW + pause_seconds - 1.0) is refusal
    assert standing(refusal, 5, NOW + pause_seconds) is None


def test_another_count_is_another_matter():
    assert standing(refused(5, 3), 6, NOW) is None
    assert standing(None, 5, NOW) is None


@pytest.mark.parametrize(
    ("before", "after", "forbidden"),
    [(5, 3, [0, 2, 3, 4, 5]), (5, 9, [9, 10, 50])],
)
def test_growth_to_less_than_was_refused_may_be_tried(before: int, after: int, forbidden: list[int]):
    assert [count for count in (0, 2, 3, 4, 5, 6, 8, 9, 10, 50) if forbids(refused(before, after), count)] == forbidden


def test_a_refused_shrink_holds_its_room_and_others_grow_into_what_is_free():
    # 12 of 700 W fit. `stuck` may not go from 5 to 2, so that 7 are left: `b` gets 6 beside the floor of `c`.
    stuck = a_member("stuck", 2, replicas=5, state=settled(refusal=refused(5, 2)))
    members = (stuck, a_member("b", 8, replicas=1, priority=90), a_member("c", 1, replicas=1))
    outcome = decide(*members, caps=watts(8_400.0, "stuck", "b", "c"))

    assert [(action.key.name, action.to_replicas) for action in outcome.fleet.actions] == [("b", 6)]
    assert steps_of(outcome.fleet.decisions[0], Stage.STAGE)[0].reason == "WriteRefused"
    assert condition(outcome.fleet.decisions[0], "Ready") is False


def test_a_shrink_for_the_sake_of_others_that_was_refused_is_not_asked_for_in_every_cycle():
    # `low` runs 5 and needs them; `high` has priority, but what `low` may not give cannot be shared.
    low = a_member("low", 5, replicas=5, priority=10, state=settled(refusal=refused(5, 1)))
    outcome = decide(a_member("high", 6, replicas=2, priority=80), low, caps=watts(4_900.0, "high", "low"))

    assert counts(outcome) == [2, 1]  # 1 should run, but for the API server
    assert outcome.fleet.actions == ()


def test_a_refused_shrink_that_wants_to_grow_may_not_be_cut_below_what_runs():
    low = a_member("low", 8, replicas=5, priority=10, state=settled(refusal=refused(5, 1)))
    outcome = decide(a_member("high", 6, replicas=2, priority=80), low, caps=watts(5_600.0, "high", "low"))

    assert counts(outcome) == [3, 5]
    assert [(action.key.name, action.to_replicas) for action in outcome.fleet.actions] == [("high", 3)]


def test_refused_growth_takes_no_room_from_others():
    # Both want 6 of 7: `high` was refused a moment ago, so that `low` need not wait for what does not come.
    high = a_member("high", 6, replicas=1, priority=80, state=settled(refusal=refused(1, 6)))
    outcome = decide(high, a_member("low", 6, replicas=1, priority=10), caps=watts(4_900.0, "high", "low"))

    assert [(action.key.name, action.to_replicas) for action in outcome.fleet.actions] == [("low", 6)]


def test_after_the_pause_it_is_tried_again():
    case = a_case(20.0, 5, 20.0, state=settled(refusal=refused(5, 2, at_seconds=NOW - 60.0)))
    assert [action.to_replicas for action in decide(case).fleet.actions] == [2]


def test_a_floor_in_a_broken_limit_needs_the_shrink_that_makes_up_for_it():
    # The floors of 4 and 4 break 7 of 700 W. `b` goes from 7 to 4, and only then `a` from 1 to 4.
    a, b = a_member("a", 4, replicas=1, min_replicas=4), a_member("b", 4, replicas=7, min_replicas=4)
    first, second = decide(a, b, caps=watts(4_900.0, "a", "b")).fleet.actions

    assert (first.key.name, first.to_replicas, first.needs) == ("b", 4, ())
    assert (second.key.name, second.to_replicas, second.needs) == ("a", 4, (first.decision_id,))


def test_a_floor_needs_no_more_shrinks_than_make_up_for_it():
    # Floors of 4, 1 and 1 break 5 of 700 W. 7 run: `b` gives 3 back, which is all that `a` is short of.
    a, b = a_member("a", 4, replicas=1, min_replicas=4), a_member("b", 1, replicas=4)
    c = a_member("c", 1, replicas=2)
    outcome = decide(a, b, c, caps=watts(3_500.0, "a", "b", "c"))
    grow = next(action for action in outcome.fleet.actions if action.key.name == "a")
    ids = {action.key.name: action.decision_id for action in outcome.fleet.actions}
    assert (grow.to_replicas, grow.needs) == (4, (ids["b"],))


def test_a_floor_that_breaks_its_limit_does_not_wait_for_a_shrink_that_was_refused():
    a = a_member("a", 4, replicas=1, min_replicas=4)
    b = a_member("b", 4, replicas=7, min_replicas=4, state=settled(refusal=refused(7, 4)))
    (action,) = decide(a, b, caps=watts(4_900.0, "a", "b")).fleet.actions

    assert (action.key.name, action.to_replicas, action.needs) == ("a", 4, ())


ASKED = DecisionState(
    0.0, scale_events=(ScaleEvent(NOW - 60.0, 1), ScaleEvent(NOW, -2)), last_desired=3, waiting_since_seconds=NOW - 15.0
)


@pytest.mark.parametrize("outcome", list(ScaleOutcome))
def test_what_was_not_written_is_not_remembered_as_done(outcome: ScaleOutcome):
    state = state_after_write(ASKED, result(outcome), True, NOW)
    # One that got no answer may have been made: the next look at the count tells.
    done = outcome in (ScaleOutcome.WRITTEN, ScaleOutcome.FAILED)
    assert [event.change for event in state.scale_events] == ([1, -2] if done else [1])
    assert state.last_desired == (3 if done else 5)
    waits = outcome in (ScaleOutcome.DEFERRED, ScaleOutcome.NOT_LEADER)
    assert (state.waiting_since_seconds, state.tried_seconds) == ((NOW - 15.0, None) if waits else (None, NOW))
    assert (state.refusal is not None) is (outcome in (ScaleOutcome.REFUSED, ScaleOutcome.FAILED))


def test_a_fault_that_all_share_is_nobodys_refusal():
    assert state_after_write(ASKED, result(ScaleOutcome.FAILED), False, NOW).refusal is None
    assert state_after_write(ASKED, result(ScaleOutcome.FAILED, overloaded=True), True, NOW).refusal is None


def test_refusals_in_a_row_are_counted_and_a_write_ends_them():
    state = ASKED
    for times, to_replicas in ((1, 9), (2, 7), (3, 8)):
        state = state_after_write(state, result(ScaleOutcome.REFUSED, 5, to_replicas), True, NOW)
        assert state.refusal is not None
        assert state.refusal.times == times
    assert state.refusal is not None
    assert (state.refusal.to_replicas, state.refusal.message) == (7, "in words")
    assert state_after_write(state, result(ScaleOutcome.STALE), True, NOW).refusal == state.refusal
    assert state_after_write(state, result(ScaleOutcome.WRITTEN), True, NOW).refusal is None


def test_the_place_in_the_line_is_kept_while_a_change_waits():
    """The turn of a workload that could not be written is kept from tick to tick."""
    case = a_case(80.0, 4, 80.0, state=settled(waiting_since_seconds=NOW - 30.0))
    outcome = decide(case)
    assert outcome.fleet.actions[0].waiting_since_seconds == NOW - 30.0
    assert outcome.states[0].waiting_since_seconds == NOW - 30.0
    idle = decide(a_case(40.0, 4, 40.0, state=settled(waiting_since_seconds=NOW - 30.0)))
    assert idle.states[0].waiting_since_seconds is None
