"""What is only "at least" raises a count, lowers none, and is learned from by nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.domain.decision import Decision
from kcloud_autoscale.domain.policy import MetricKind, MetricTarget, ScalingRules, default_scale_down
from kcloud_autoscale.domain.reading import AtLeast, MissingReason, Sample, as_lower_bound, exactly, value_or_none
from tests.builders.deciding import LATENCY, NOW, QUEUE, a_case, condition, decide, decide_one, metric, settled

AT_ONCE = ScalingRules(0.0, default_scale_down().policies)
REQUESTS = MetricTarget("requests", MetricKind.AVERAGE_VALUE, 10.0)


def at_least(value: float) -> AtLeast:
    return AtLeast(value, NOW, "demand (vllm)", MissingReason.PARTIAL_SAMPLES, "4 of 6 Ready pods have samples")


def fact(decision: Decision, name: str):
    return next(fact for fact in decision.conditions if fact.type == name)


@pytest.mark.parametrize("forecast", [None, 5.0, 26.6])
def test_what_four_of_six_pods_tell_does_not_shrink_six(forecast):
    """40/s at 10 each need 4 to 6; two pods in the dark leave 26.6, which would be 3 at once."""
    decision = decide_one(a_case(at_least(26.6), 6, forecast, scale_down=AT_ONCE))

    assert decision.desired_replicas == 6
    available = fact(decision, "MetricsAvailable")
    assert (available.status, available.reason) == (False, "PartialSamples")
    assert available.message == "demand: at least 26.6: 4 of 6 Ready pods have samples"
    (given_,) = decision.inputs
    assert (given_.value, given_.at_least) == (26.6, True)


@pytest.mark.parametrize("forecast", [None, 5.0, 95.0])
def test_a_bound_that_asks_for_more_grows(forecast):
    assert decide_one(a_case(at_least(90.0), 6, forecast)).desired_replicas >= 9


def test_a_forecast_grows_over_a_bound():
    assert decide_one(a_case(at_least(26.6), 6, 95.0)).desired_replicas == 10


def test_a_need_that_was_only_bounded_has_not_been_low():
    """Known again, a whole scale-down window must pass: nobody knows what was asked for in the dark."""
    dark = decide(a_case(at_least(10.0), 6))
    assert dark.states[0].good_since_seconds is None
    lit = decide(a_case(10.0, 6, state=dark.states[0]), now=NOW + 60.0)
    assert lit.fleet.decisions[0].desired_replicas == 6


@pytest.mark.parametrize(("target", "low", "high"), [(LATENCY, 0.05, 0.4), (QUEUE, 5.0, 60.0), (REQUESTS, 20.0, 95.0)])
def test_a_bound_of_a_metric_grows_and_does_not_shrink(target, low, high):
    def count(value: float) -> int | None:
        seen = metric(target.name, at_least(value))
        return decide_one(a_case(None, 6, kappa=None, metrics=[seen], targets=(target,))).desired_replicas

    assert count(low) == 6
    assert (count(high) or 0) > 6


def test_no_load_in_the_pods_that_are_scraped_is_not_idleness():
    """0 of at least 0: the latency that is missing may be that of the pods in the dark."""
    nan = metric("latency", as_lower_bound(Sample(0.0, NOW), MissingReason.PARTIAL_SAMPLES, ""))
    decision = decide_one(a_case(at_least(0.0), 6, metrics=[nan], targets=(LATENCY,)))
    assert decision.desired_replicas == 6
    assert condition(decision, "MetricsAvailable") is False


@given(
    st.floats(0.0, 500.0), st.integers(1, 40), st.none() | st.floats(0.0, 500.0), st.booleans(), st.floats(0.0, 600.0)
)
def test_no_bound_ever_lowers_a_count_and_none_asks_for_more_than_the_value(load, replicas, forecast, at_once, good):
    rules = AT_ONCE if at_once else default_scale_down()
    knobs = {"scale_down": rules, "state": settled(good_since_seconds=NOW - good)}
    bounded = decide_one(a_case(at_least(load), replicas, forecast, **knobs)).desired_replicas
    known = decide_one(a_case(load, replicas, forecast, **knobs)).desired_replicas
    assert bounded == max(known or 0, replicas)


def test_a_bound_is_no_value_where_a_value_is_needed():
    bound = at_least(7.0)
    assert value_or_none(bound) is None
    missing = exactly(bound)
    assert (missing.reason, missing.message) == (bound.reason, bound.message)
    assert exactly(Sample(7.0, NOW)) == Sample(7.0, NOW)
