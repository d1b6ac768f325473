from __future__ import annotations

from dataclasses import replace

import pytest

from kcloud_autoscale.domain.decision import Stage
from kcloud_autoscale.domain.policy import Caps, Ceiling, Fallback, ScalingRules, default_scale_down
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.state import DecisionState
from kcloud_autoscale.domain.workload import Mode
from tests.builders.deciding import (
    LATENCY,
    NOW,
    UNKNOWN,
    a_case,
    condition,
    decide,
    decide_one,
    metric,
    settled,
    steps_of,
)

NO_WINDOW = ScalingRules(0.0, default_scale_down().policies)


def test_without_a_target_nothing_is_decided_and_the_condition_says_what_was_looked_for():
    case = a_case(10.0)
    gone = Missing(MissingReason.NO_DATA, "no Deployment or StatefulSet shop/llm")
    outcome = decide(replace(case, seen=replace(case.seen, target=gone)))
    decision = outcome.fleet.decisions[0]

    assert (decision.current_replicas, decision.desired_replicas, decision.action) == (None, None, None)
    found = next(fact for fact in decision.conditions if fact.type == "TargetFound")
    assert (found.status, found.message) == (False, "no Deployment or StatefulSet shop/llm")
    assert condition(decision, "PriceKnown") is None
    assert outcome.states[0].good_since_seconds is None


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (a_case(90.0, 2, 90.0, mode=Mode.OFF), "Off"),
        (a_case(90.0, 2, 90.0, conflict="HorizontalPodAutoscaler llm"), "Conflict"),
        (a_case(90.0, 0, 90.0), "Paused"),
        # Nothing of ours applies to a count that is not ours, not even its bounds.
        (a_case(90.0, 2, 90.0, mode=Mode.OFF, min_replicas=5), "Off"),
    ],
)
def test_what_is_not_ours_is_left_alone(case, reason):
    decision = decide_one(case)

    assert decision.hold_reason == decision.final_reason == reason
    assert decision.desired_replicas == decision.current_replicas
    assert decision.action is None
    assert decision.proposals == ()


def test_another_autoscaler_is_named():
    decision = decide_one(a_case(90.0, 2, conflict="ScaledObject llm"))

    fact = next(fact for fact in decision.conditions if fact.type == "Conflict")
    assert (fact.status, fact.message) == (True, "ScaledObject llm scales the same target; hands off")


def test_recommend_computes_everything_and_writes_nothing():
    outcome = decide(a_case(90.0, 2, 120.0, mode=Mode.RECOMMEND))
    decision = outcome.fleet.decisions[0]

    assert decision.desired_replicas == 12
    assert decision.action is None
    assert outcome.fleet.actions == ()
    assert outcome.states[0].scale_events == ()
    assert steps_of(decision, Stage.STAGE)[0].reason == "NotActing"


@pytest.mark.parametrize(
    "demand",
    [UNKNOWN, Missing(MissingReason.NOT_A_NUMBER, "NaN"), Sample(10.0, NOW - 181.0)],
    ids=["source error", "NaN", "181 s old"],
)
def test_unknown_demand_holds_in_both_directions(demand):
    for forecast in (10.0, 900.0):  # neither does a forecast alone move a count while nobody sees the load
        decision = decide_one(a_case(demand, 4, forecast))

        assert (decision.desired_replicas, decision.action) == (4, None)
        assert decision.hold_reason == "MetricsUnknown"
        assert condition(decision, "MetricsAvailable") is False
        assert condition(decision, "Ready") is False


def test_a_reading_of_180_s_is_fresh_enough():
    assert decide_one(a_case(Sample(45.0, NOW - 180.0), 4, 45.0)).desired_replicas == 5


def test_what_is_unknown_is_named_with_its_reason():
    decision = decide_one(a_case(Sample(10.0, NOW - 240.0), 4))

    fact = next(fact for fact in decision.conditions if fact.type == "MetricsAvailable")
    assert fact.message == "demand: 240 s old, at most 180 s is used"
    assert fact.reason == "Stale"


def test_zero_demand_is_known():
    decision = decide_one(a_case(0.0, 4, 0.0, min_replicas=2))

    assert decision.hold_reason == ""
    assert decision.desired_replicas == 2


def test_nan_latency_without_traffic_does_not_hold_the_count():
    nan = Missing(MissingReason.NOT_A_NUMBER, "NaN")
    idle = a_case(0.0, 4, 0.0, targets=(LATENCY,), metrics=[metric("latency", nan)])
    busy = a_case(15.0, 4, 15.0, targets=(LATENCY,), metrics=[metric("latency", nan)])

    assert decide_one(idle).desired_replicas == 1
    assert decide_one(busy).desired_replicas == 4


def test_with_one_metric_unknown_the_known_ones_may_grow_the_count_but_not_lower_it():
    unknown = {"targets": (LATENCY,), "metrics": [metric("latency", UNKNOWN)]}

    assert decide_one(a_case(75.0, 4, 75.0, **unknown)).desired_replicas == 8
    down = decide_one(a_case(15.0, 4, 15.0, **unknown))
    assert down.desired_replicas == 4
    assert down.steps[0].message == "unknown: latency (SourceError); no scale-down"


def test_nothing_to_scale_on_says_so():
    decision = decide_one(a_case(None, 4, kappa=None))

    facts = {fact.type: (fact.status, fact.reason) for fact in decision.conditions}
    assert facts["Ready"] == facts["MetricsAvailable"] == (True, "NothingToScaleOn")
    assert (decision.hold_reason, decision.desired_replicas) == ("NothingToScaleOn", 4)
    unknown_capacity = decide_one(a_case(50.0, 4, 50.0, kappa=None))
    fact = next(fact for fact in unknown_capacity.conditions if fact.type == "MetricsAvailable")
    assert (fact.reason, unknown_capacity.desired_replicas) == ("CapacityUnknown", 4)


@pytest.mark.parametrize(
    ("unknown_for", "replicas", "expected"),
    [
        (119.0, 4, 4),  # not yet
        (120.0, 4, 6),  # at least 6 from then on
        (120.0, 9, 9),  # never fewer than run
    ],
)
def test_the_fallback_runs_at_least_its_replicas_after_a_while(unknown_for, replicas, expected):
    state = settled(good_since_seconds=None, unknown_since_seconds=NOW - unknown_for)
    case = a_case(UNKNOWN, replicas, state=state, fallback=Fallback(6, 120.0))

    assert decide_one(case).desired_replicas == expected


def test_the_unknown_time_runs_from_the_first_unknown_tick():
    first = decide(a_case(UNKNOWN, 4)).states[0]
    assert (first.unknown_since_seconds, first.good_since_seconds) == (NOW, None)
    second = decide(a_case(UNKNOWN, 4, state=first), now=NOW + 60.0).states[0]
    assert second.unknown_since_seconds == NOW
    known = decide(a_case(Sample(30.0, NOW + 120.0), 4, state=second), now=NOW + 120.0).states[0]
    assert (known.unknown_since_seconds, known.good_since_seconds) == (None, NOW + 120.0)


@pytest.mark.parametrize(("after", "expected"), [(0.0, 4), (240.0, 4), (299.0, 4), (300.0, 1)])
def test_after_a_restart_or_an_outage_a_whole_window_of_good_data_is_needed_to_shrink(after, expected):
    restarted = settled(since_seconds=NOW - after)
    recovered = settled(good_since_seconds=NOW - after)

    assert decide_one(a_case(5.0, 4, 5.0, state=recovered)).desired_replicas == expected
    assert decide_one(a_case(5.0, 4, 5.0, state=restarted)).desired_replicas == expected


def test_the_first_cycle_never_shrinks_even_without_a_window():
    first = decide(a_case(5.0, 4, 5.0, state=DecisionState(since_seconds=NOW), scale_down=NO_WINDOW))
    assert first.fleet.decisions[0].desired_replicas == 4

    later = a_case(Sample(5.0, NOW + 60.0), 4, 5.0, state=first.states[0], scale_down=NO_WINDOW)
    assert decide(later, now=NOW + 60.0).fleet.decisions[0].desired_replicas == 1


def test_growth_does_not_wait_for_the_window():
    assert decide_one(a_case(75.0, 4, 75.0, state=DecisionState(since_seconds=NOW))).desired_replicas == 8


def test_a_conflict_breaks_the_run_of_good_data():
    assert decide(a_case(5.0, 4, conflict="HPA llm")).states[0].good_since_seconds is None


def test_limits_alone_hold_the_count_that_was_set_and_give_it_back_when_they_have_room():
    """2 of 1,200 W exceed 2,000 W: one goes. At 900 W both fit again, and the count that was set returns."""
    limited = {"kappa": None, "caps": Caps(max_watts=2_000.0), "ceilings": (Ceiling("power", 1_800.0),)}
    cut = decide(a_case(None, 2, watts=1_200.0, **limited))
    assert [each.desired_replicas for each in cut.fleet.decisions] == [1]
    still = decide(a_case(None, 1, watts=1_200.0, state=cut.states[0], **limited))
    assert still.fleet.decisions[0].desired_replicas == 1
    back = decide(a_case(None, 1, watts=900.0, state=still.states[0], **limited))
    assert back.fleet.decisions[0].desired_replicas == 2
    # A write that did not happen is tried again; what somebody sets by hand is the new count.
    assert (
        decide(a_case(None, 1, watts=900.0, state=back.states[0], **limited)).fleet.decisions[0].desired_replicas == 2
    )
    grown = decide(a_case(None, 2, watts=900.0, state=back.states[0], **limited))
    by_hand = decide(a_case(None, 1, watts=900.0, state=grown.states[0], **limited))
    assert by_hand.fleet.decisions[0].desired_replicas == 1


@pytest.mark.parametrize("unknown", [{"watts": UNKNOWN}, {"usd": UNKNOWN}, {"watts": UNKNOWN, "usd": UNKNOWN}])
def test_limits_alone_take_nothing_while_price_or_draw_is_unknown(unknown: dict[str, Missing]):
    caps = Caps(max_watts=2_000.0, max_usd_per_hour=50.0)
    ceilings = (Ceiling("cost", 40.0), Ceiling("power", 1_800.0))
    decision = decide_one(a_case(None, 2, kappa=None, caps=caps, ceilings=ceilings, **unknown))
    assert (decision.desired_replicas, decision.hold_reason) == (2, "NothingToScaleOn")


def test_a_demand_that_is_looked_for_and_not_found_is_unknown_and_not_nothing():
    decision = decide_one(a_case(Missing(MissingReason.NO_DATA, "no stack names it"), 4, kappa=None))
    assert decision.hold_reason == "MetricsUnknown"
