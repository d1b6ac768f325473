from __future__ import annotations

import pytest

from kcloud_autoscale.decide.rate import down_limit, events_that_happened, up_limit
from kcloud_autoscale.domain.decision import Stage
from kcloud_autoscale.domain.policy import (
    PolicySelect,
    RatePolicy,
    ScalingRules,
    default_scale_down,
    default_scale_up,
)
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.state import Recommendation, ScaleEvent
from tests.builders.deciding import LATENCY, NOW, QUEUE, UNKNOWN, a_case, decide, decide_one, metric, settled, steps_of


def recommended(*pairs: tuple[float, int]):
    """Memory of (seconds ago, count)."""
    return settled(recommendations=tuple(Recommendation(NOW - ago, count) for ago, count in pairs))


@pytest.mark.parametrize(
    ("memory", "expected", "reason"),
    [
        ([(240.0, 3), (60.0, 2)], 3, "ScaleDownStabilized"),  # the largest of the last 300 s
        ([(300.0, 9), (60.0, 2)], 2, "ObservedNeed"),  # one as old as the window is forgotten
        ([(240.0, 9), (60.0, 2)], 6, "ScaleDownStabilized"),  # a larger one never raises the count
    ],
)
def test_a_count_falls_to_the_largest_need_of_the_window(memory, expected, reason):
    decision = decide_one(a_case(20.0, 6, 20.0, state=recommended(*memory)))

    assert (decision.desired_replicas, decision.final_reason) == (expected, reason)


def test_a_forecast_alone_never_lowers_a_count():
    # The load is 30 all along, the forecast falls to 10: the observed need of 3 holds. Then the load falls and the
    # forecast says 50: 5 hold. Only once both were low for 300 s does the count fall.
    state, counts, running = settled(recommendations=()), [], 5
    story = [(30.0, 10.0)] * 2 + [(10.0, 50.0)] * 2 + [(10.0, 10.0)] * 6
    for tick, (demand, peak) in enumerate(story):
        now = NOW + 60.0 * tick
        outcome = decide(a_case(Sample(demand, now), running, peak, state=state), now=now)
        running, state = outcome.fleet.decisions[0].desired_replicas, outcome.states[0]
        counts.append(running)

    assert counts == [5, 5, 5, 5, 5, 5, 5, 5, 1, 1]  # 50 was last forecast at tick 3, and is forgotten at tick 8


def test_growth_waits_for_its_own_window_where_one_is_set():
    rules = ScalingRules(120.0, default_scale_up().policies)
    decision = decide_one(a_case(80.0, 4, 80.0, scale_up=rules, state=recommended((90.0, 6), (30.0, 9))))

    assert (decision.desired_replicas, decision.final_reason) == (6, "ScaleUpStabilized")
    assert steps_of(decision, Stage.STABILIZE)[0].message == "8 wanted; the smallest of the last 120 s is 6"


def test_a_smaller_need_seen_by_some_of_the_metrics_is_not_remembered():
    # The queue of 5 asks for 1 while latency is unknown: 4 stay, and growth to 8 a minute later does not wait for 1.
    rules = ScalingRules(120.0, default_scale_up().policies)
    policy = {"kappa": None, "targets": (QUEUE, LATENCY), "scale_up": rules}
    state = settled(recommendations=(Recommendation(NOW - 600.0, 4),))
    partly = decide(a_case(None, 4, metrics=[metric("queue", 5.0), metric("latency", UNKNOWN)], state=state, **policy))
    assert partly.fleet.decisions[0].desired_replicas == 4

    now = NOW + 60.0
    seen = [metric("queue", Sample(40.0, now)), metric("latency", Sample(0.2, now))]
    later = decide(a_case(None, 4, metrics=seen, state=partly.states[0], **policy), now=now)
    assert later.fleet.decisions[0].desired_replicas == 8


PODS4, DOUBLE = RatePolicy(15.0, pods=4), RatePolicy(15.0, percent=100)
TENTH = RatePolicy(60.0, percent=10)


@pytest.mark.parametrize(
    ("policies", "select", "current", "events", "expected"),
    [
        ((PODS4, DOUBLE), PolicySelect.MAX, 3, (), 7),  # 3 + 4 over 3 * 2
        ((PODS4, DOUBLE), PolicySelect.MAX, 10, (), 20),
        ((PODS4, DOUBLE), PolicySelect.MIN, 10, (), 14),
        ((PODS4, DOUBLE), PolicySelect.DISABLED, 10, (), 10),
        ((TENTH,), PolicySelect.MAX, 5, (), 6),  # 5.5, rounded up or it would never grow
        ((TENTH,), PolicySelect.MAX, 10, (), 11),
        ((TENTH,), PolicySelect.MAX, 100, (), 111),  # 110.00000000000001 in binary, as HPA has it
        ((TENTH,), PolicySelect.MAX, 11, ((30.0, 1),), 11),  # 10 at the start of the minute
        ((TENTH,), PolicySelect.MAX, 11, ((60.0, 1),), 13),  # a minute ago is not within the minute: 12.1
        ((PODS4,), PolicySelect.MAX, 8, ((10.0, 4), (5.0, -2)), 10),  # 8 - 4 + 2 = 6 at the start
    ],
)
def test_how_far_a_count_may_grow(policies, select, current, events, expected):
    rules = ScalingRules(0.0, policies, select)
    happened = tuple(ScaleEvent(NOW - ago, change) for ago, change in events)

    assert up_limit(rules, current, happened, 15.0, NOW) == expected


@pytest.mark.parametrize(
    ("policies", "select", "current", "events", "expected"),
    [
        ((DOUBLE,), PolicySelect.MAX, 7, (), 0),
        ((RatePolicy(60.0, percent=10),), PolicySelect.MAX, 25, (), 22),  # 22.5 cut off
        ((RatePolicy(60.0, percent=80),), PolicySelect.MAX, 10, (), 1),  # 1.9999999999999996 in binary, as HPA has it
        ((RatePolicy(60.0, percent=10), RatePolicy(60.0, pods=5)), PolicySelect.MAX, 25, (), 20),
        ((RatePolicy(60.0, percent=10), RatePolicy(60.0, pods=5)), PolicySelect.MIN, 25, (), 22),
        ((RatePolicy(60.0, pods=2),), PolicySelect.MAX, 8, ((30.0, -2),), 8),  # 10 at the start: both are gone
        ((RatePolicy(60.0, pods=2),), PolicySelect.DISABLED, 8, (), 8),
    ],
)
def test_how_far_a_count_may_fall(policies, select, current, events, expected):
    rules = ScalingRules(0.0, policies, select)
    happened = tuple(ScaleEvent(NOW - ago, change) for ago, change in events)

    assert down_limit(rules, current, happened, NOW) == expected


def test_a_period_shorter_than_the_cycle_is_stretched_to_it():
    # Four looks of 15 s in a minute: 3 + 4 * 4 = 19, 3 * 2^4 = 48.
    assert up_limit(default_scale_up(), 3, (), 60.0, NOW) == 48
    assert up_limit(ScalingRules(0.0, (PODS4,)), 3, (), 60.0, NOW) == 19
    # A tick 20 s after a jump from 3 to 48 finds the minute used up.
    assert up_limit(default_scale_up(), 48, (ScaleEvent(NOW - 20.0, 45),), 60.0, NOW) == 48


def test_the_rate_limit_is_a_step_of_its_own():
    rules = ScalingRules(0.0, (RatePolicy(60.0, pods=2),))
    decision = decide_one(a_case(80.0, 4, 80.0, scale_up=rules))

    assert [(s.before, s.after, s.reason) for s in steps_of(decision, Stage.STABILIZE)] == [
        (8, 8, "AsWanted"),
        (8, 6, "ScaleUpLimit"),
    ]


@pytest.mark.parametrize(
    ("demand", "replicas", "expected", "reason"),
    [(90.0, 4, 6, "MaxReplicas"), (5.0, 4, 2, "MinReplicas"), (5.0, 1, 2, "MinReplicas"), (90.0, 9, 6, "MaxReplicas")],
)
def test_the_bounds_are_steps_that_nothing_delays(demand, replicas, expected, reason):
    rules = ScalingRules(0.0, (RatePolicy(60.0, percent=100),))
    case = a_case(demand, replicas, demand, min_replicas=2, max_replicas=6, scale_up=rules)
    decision = decide_one(case)

    assert (decision.desired_replicas, decision.final_reason) == (expected, reason)


def test_the_bounds_hold_even_when_nothing_is_known():
    assert decide_one(a_case(None, 1, min_replicas=3)).desired_replicas == 3


@pytest.mark.parametrize(
    ("current", "last_desired", "kept"),
    [
        (8, 8, 1),  # asked for 5 to 8, and there are 8
        (5, 8, 0),  # refused: there are still 5
        (6, 8, 1),  # somebody else's hand: ours did happen
        (8, None, 1),
    ],
)
def test_a_change_that_was_refused_is_not_counted(current, last_desired, kept):
    assert len(events_that_happened((ScaleEvent(NOW - 60.0, 3),), current, last_desired)) == kept


def test_a_refused_write_is_asked_for_again_in_full():
    rules = ScalingRules(0.0, (RatePolicy(300.0, pods=2),))
    first = decide(a_case(80.0, 4, 80.0, scale_up=rules))
    assert first.fleet.decisions[0].desired_replicas == 6
    assert first.states[0].scale_events == (ScaleEvent(NOW, 2),)

    later = NOW + 60.0
    refused = decide(a_case(Sample(80.0, later), 4, 80.0, scale_up=rules, state=first.states[0]), now=later)
    assert refused.fleet.decisions[0].desired_replicas == 6
    written = decide(a_case(Sample(80.0, later), 6, 80.0, scale_up=rules, state=first.states[0]), now=later)
    assert written.fleet.decisions[0].desired_replicas == 6  # 2 per 5 minutes are used up
    assert refused.states[0].scale_events == (ScaleEvent(later, 2),)


def test_scale_down_can_be_disabled():
    rules = ScalingRules(300.0, default_scale_down().policies, PolicySelect.DISABLED)
    decision = decide_one(a_case(5.0, 4, 5.0, scale_down=rules))

    assert (decision.desired_replicas, decision.final_reason) == (4, "ScaleDownLimit")
