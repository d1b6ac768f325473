"""How many replicas find a node: deadlines, what is given back, pauses, and what the conditions say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.decide.slots import deadline_seconds
from kcloud_autoscale.domain.decision import Stage
from kcloud_autoscale.domain.observation import NodeObservation, PodNeeds, Pods
from kcloud_autoscale.domain.policy import CapUnit, SharedCap
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.state import SlotState
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from tests.builders.deciding import (
    NO_GPU,
    NOW,
    UNKNOWN,
    a_case,
    a_fleet,
    condition,
    decide_one,
    pods,
    settled,
    steps_of,
)

DEADLINE = 600.0  # twice the builder's lead time of 300 s
GPUS = PodNeeds((("nvidia.com/gpu", 8.0),))


def ghosts(placed: int = 4, waiting: int = 20, waited: float = DEADLINE, now: float = NOW, demand: float = 240.0, **k):
    """24 wanted and ordered, 4 on nodes."""
    running = pods(placed, waiting=waiting, waited=waited - (now - NOW))
    return a_case(demand, placed + waiting, demand, running=running, **k)


def after(outcome_state, **knobs):
    return settled(slots=outcome_state.slots, **knobs)


def one(case, now: float = NOW, nodes=None):
    outcome = decide_fleet((case,), a_fleet(case), now, nodes=nodes or {})
    return outcome.fleet.decisions[0], outcome.states[0]


def fact(decision, name):
    return next(fact for fact in decision.conditions if fact.type == name)


@pytest.mark.parametrize(
    ("lead", "cycle", "expected"),
    [(300.0, 60.0, 600.0), (90.0, 60.0, 180.0), (2.0, 2.0, 4.0), (10.0, 60.0, 120.0), (3_000.0, 60.0, 900.0)],
)
def test_the_deadline_is_twice_the_lead_time_within_bounds(lead, cycle, expected):
    assert deadline_seconds(lead, cycle) == expected


def test_what_waits_within_its_deadline_stays_ordered_and_is_said():
    decision, state = one(ghosts(waited=DEADLINE - 1.0))

    assert (decision.desired_replicas, decision.action) == (24, None)
    assert (decision.pending_replicas, decision.schedulable_replicas) == (20, 4)
    assert fact(decision, "Schedulable").message == f"20 of 24 replicas wait: {NO_GPU}"
    assert (fact(decision, "Ready").status, fact(decision, "Ready").reason) == (False, "Unschedulable")
    assert (state.slots.schedulable, state.slots.fits) == (None, 4)


def test_past_its_deadline_it_is_given_back_and_the_step_says_when_it_is_tried_again():
    decision, state = one(ghosts())

    assert (decision.desired_replicas, decision.uncapped_replicas) == (4, 24)
    assert decision.action is not None
    assert (decision.action.to_replicas, decision.action.min_replicas) == (4, 1)
    step = steps_of(decision, Stage.PLACE)[0]
    assert (step.before, step.after, step.reason) == (24, 4, "Unschedulable")
    assert step.message == (
        f"24 wanted, 4 ordered, the rest found no node: {NO_GPU}; one more is tried at 2027-01-15T08:10:00Z"
    )
    assert (state.slots.schedulable, state.slots.retry_seconds) == (4, NOW + DEADLINE)


def test_minimum_replicas_stay_ordered():
    decision, _ = one(ghosts(min_replicas=6))

    assert decision.desired_replicas == 6


def test_unknown_demand_gives_back_what_cannot_run_and_takes_nobody_who_serves():
    decision, _ = one(replace_demand(ghosts(), UNKNOWN))

    assert decision.desired_replicas == 4


def replace_demand(case, demand):
    return replace(case, seen=replace(case.seen, demand=demand), forecast=None)


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.RECOMMEND])
def test_counts_that_are_not_ours_are_only_told(mode):
    decision, _ = one(ghosts(mode=mode))

    assert decision.action is None
    assert condition(decision, "Schedulable") is False
    assert decision.desired_replicas == (24 if mode is Mode.OFF else 4)


def at(now: float, replicas: int, running: Pods, state) -> tuple:
    return one(a_case(Sample(240.0, now), replicas, 240.0, running=running, state=after(state)), now)


def test_pauses_grow_and_one_replica_is_tried_after_each():
    _, state = one(ghosts())
    now, pauses = NOW, []
    for _ in range(5):
        pauses.append(state.slots.retry_seconds - now)
        held, state = at(now + pauses[-1] - 1.0, 4, pods(4), state)
        assert held.desired_replicas == 4
        assert (condition(held, "Schedulable"), condition(held, "Ready")) == (False, False)
        now += pauses[-1]
        tried, state = at(now, 4, pods(4), state)
        assert tried.desired_replicas == 5
        probe = pods(4, waiting=1, waited=NOW - now)
        waits, state = at(now + 60.0, 5, probe, state)
        assert waits.desired_replicas == 5
        now += DEADLINE
        given_back, state = at(now, 5, probe, state)
        assert given_back.desired_replicas == 4
    assert pauses == [600.0, 1_200.0, 2_400.0, 3_600.0, 3_600.0]


def test_a_try_that_finds_a_node_lifts_the_limit():
    known = SlotState(4, 4, NO_GPU, 600.0, NOW - 60.0, NOW - 60.0, 4)
    decision, state = one(a_case(240.0, 5, 240.0, running=pods(4, starting=1), state=settled(slots=known)))

    assert decision.desired_replicas == 24
    assert state.slots == SlotState(placed=5)
    assert condition(decision, "Schedulable") is True


def node(name: str, free: float, **labels: str) -> NodeObservation:
    return NodeObservation(name, labels, allocatable={"nvidia.com/gpu": 8.0}, free={"nvidia.com/gpu": free})


def with_needs(case, needs=GPUS):
    return replace(case, seen=replace(case.seen, pod_needs=needs))


def test_slots_that_become_free_are_ordered_at_once_and_the_pauses_begin_anew():
    nodes = {f"n{i}": node(f"n{i}", 0.0) for i in range(4)}
    known = SlotState(4, 4, NO_GPU, 2_400.0, NOW + 2_000.0, None, 4, 0)
    case = with_needs(a_case(240.0, 4, 240.0, running=pods(4), state=settled(slots=known)))
    assert one(case, nodes=nodes)[0].desired_replicas == 4

    decision, state = one(case, nodes=nodes | {"new": node("new", 8.0), "part": node("part", 7.0)})
    assert decision.desired_replicas == 5
    assert (state.slots.pause_seconds, state.slots.free_slots) == (600.0, 1)


def test_a_node_of_another_pool_is_no_slot():
    needs = PodNeeds((("nvidia.com/gpu", 8.0),), (("pool", "big"),))
    known = SlotState(4, 4, NO_GPU, 2_400.0, NOW + 2_000.0, None, 4, 0)
    case = with_needs(a_case(240.0, 4, 240.0, running=pods(4), state=settled(slots=known)), needs)
    nodes = {"a": node("a", 0.0, pool="big"), "b": node("b", 8.0, pool="small")}

    assert one(case, nodes=nodes)[0].desired_replicas == 4
    assert one(case, nodes=nodes | {"c": node("c", 8.0, pool="big")})[0].desired_replicas == 5


def test_pods_that_a_quota_refuses_are_waited_for_and_given_back():
    case = a_case(240.0, 24, 240.0, running=pods(4))
    told = replace(case.seen.target, existing_replicas=4, creation_refused='pods "llm-x" is forbidden: exceeded quota')
    case = replace(case, seen=replace(case.seen, target=told))
    first, state = one(case)
    assert first.desired_replicas == 24
    assert fact(first, "Schedulable").reason == "FailedCreate"
    assert "exceeded quota" in fact(first, "Schedulable").message

    later = replace(case, state=replace(case.state, decided=after(state)))
    assert one(later, NOW + DEADLINE)[0].desired_replicas == 4


def test_pods_that_nobody_sees_are_not_taken_for_missing():
    case = a_case(240.0, 24, 240.0, running=Pods(), state=settled(slots=SlotState(waiting_since_seconds=NOW - 9e3)))
    told = replace(case.seen.target, existing_replicas=24)

    assert one(replace(case, seen=replace(case.seen, target=told)))[0].desired_replicas == 24


def test_a_stateful_set_that_makes_one_pod_after_the_other_is_refused_nothing():
    case = a_case(240.0, 24, 240.0, running=pods(1, starting=1), state=settled(slots=SlotState(placed=2)))
    told = replace(case.seen.target, existing_replicas=2)
    decision, state = one(replace(case, seen=replace(case.seen, target=told)))

    assert (decision.desired_replicas, state.slots.waiting_since_seconds) == (24, None)


def test_a_rollout_whose_new_pods_wait_is_left_alone():
    case = a_case(40.0, 4, 40.0, running=pods(3, waiting=2, waited=9_000.0))

    assert decide_one(case).desired_replicas == 4


def test_the_wait_begins_anew_whenever_one_finds_a_node():
    known = SlotState(placed=3, waiting_since_seconds=NOW - 599.0)
    decision, state = one(ghosts(waited=700.0, state=settled(slots=known)))

    assert (decision.desired_replicas, state.slots.waiting_since_seconds) == (24, NOW)


def test_a_limit_nobody_has_met_for_a_further_pause_is_forgotten():
    known = SlotState(4, 4, NO_GPU, 600.0, NOW - 600.0, None, 2)
    _, state = one(a_case(20.0, 2, 20.0, running=pods(2), state=settled(slots=known)))

    assert state.slots == SlotState(placed=2)


def both(high, low, limit: float = 400.0, nodes=None):
    keys = frozenset((high.policy.key, low.policy.key))
    caps = (SharedCap("p/costPerHourLimit", CapUnit.USD_PER_HOUR, limit, keys),)
    return decide_fleet((high, low), a_fleet(high, low, caps=caps), NOW, nodes=nodes or {})


def low_priority(replicas: int, wanted: int = 12):
    return a_case(10.0 * wanted, replicas, 10.0 * wanted, key=WorkloadKey("shop", "small"), priority=10, usd=2.0)


def test_nobody_who_serves_is_cut_for_somebody_pending():
    # 24 x 16 $/h and 12 x 2 $/h are 8 $/h over 400 $/h: the highest that waits goes, not the lowest that serve.
    outcome = both(ghosts(waited=30.0, priority=90, usd=16.0), low_priority(12))
    high, low = outcome.fleet.decisions

    assert (high.desired_replicas, low.desired_replicas) == (23, 12)


def test_what_waits_holds_its_room_against_growth_of_a_lower_priority():
    outcome = both(ghosts(waited=30.0, priority=90, usd=16.0), low_priority(4))
    high, low = outcome.fleet.decisions

    assert (high.desired_replicas, low.desired_replicas) == (24, 8)


def test_what_is_given_back_is_there_for_others_in_the_same_tick():
    outcome = both(ghosts(priority=90, usd=16.0), low_priority(4))

    given_back, growth = outcome.fleet.actions
    assert [(a.key.name, a.to_replicas) for a in (given_back, growth)] == [("llm", 4), ("small", 12)]
    # Until the one is written the pods that wait may start: the other is written only after it.
    assert growth.needs == (given_back.decision_id,)


def test_a_higher_priority_takes_room_from_those_who_serve_only_for_slots_that_are_seen():
    # One runs, 24 are wanted, 3 more slots are free: room for 4 x 16 $/h is taken, the rest grows into what is left.
    nodes = {f"n{i}": node(f"n{i}", 8.0 if i else 0.0) for i in range(4)}
    high = with_needs(a_case(240.0, 1, 240.0, priority=90, usd=16.0))

    for limit, expected in ((82.0, [4, 9]), (70.0, [4, 3]), (120.0, [6, 12])):
        outcome = both(high, low_priority(12), limit, nodes)
        assert [decision.desired_replicas for decision in outcome.fleet.decisions] == expected


def test_slots_that_a_lower_priority_would_leave_are_slots():
    nodes = {"n1": node("n1", 0.0)}
    high = with_needs(a_case(40.0, 1, 40.0, priority=90, usd=2.0), PodNeeds((("nvidia.com/gpu", 1.0),)))
    low = with_needs(low_priority(5, 5), PodNeeds((("nvidia.com/gpu", 1.0),)))

    assert [d.desired_replicas for d in both(high, low, 12.0, nodes).fleet.decisions] == [4, 2]


def test_a_floor_that_found_no_node_takes_nothing_from_those_who_serve():
    known = SlotState(4, 4, NO_GPU, 600.0, NOW + 300.0, NOW - 900.0, 4)
    case = a_case(240.0, 6, 240.0, running=pods(4, waiting=2, waited=900.0), min_replicas=6, priority=90, usd=16.0,
                  state=settled(slots=known))  # fmt: skip

    outcome = both(case, low_priority(12), 90.0)
    assert [d.desired_replicas for d in outcome.fleet.decisions] == [4, 12]
    assert [d.desired_replicas for d in both(case, low_priority(12), 120.0).fleet.decisions] == [6, 12]


def test_pending_pods_of_a_count_that_is_not_ours_are_counted_and_cost_nobody_who_serves():
    off = ghosts(waited=30.0, usd=16.0, mode=Mode.OFF)
    assert both(off, low_priority(12), 100.0).fleet.decisions[1].desired_replicas == 12
    assert both(off, low_priority(4), 392.0).fleet.decisions[1].desired_replicas == 4
