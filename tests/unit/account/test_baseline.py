from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.account.baseline import advance, matured, wanted_replicas
from kcloud_autoscale.domain.policy import BaselineKind, FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.state import BaselineState
from tests.builders.accounting import KEY, a_policy

POLICY = a_policy()
FLEET = FleetPolicy({KEY: POLICY})
DAY = 86_400.0


@pytest.mark.parametrize(
    ("load", "current", "ready", "expected"),
    [
        (7.6, 10, 10, 10),  # 1.086 is within the tolerance
        (7.7, 10, 10, 10),  # 1.1 exactly still is
        (7.8, 10, 10, 12),  # 1.114: ceil(11.14)
        (8.4, 10, 10, 12),
        (6.4, 10, 10, 10),  # 0.914
        (6.2, 10, 10, 9),  # 0.886: ceil(8.86)
        (0.0, 10, 10, 0),
        (8.4, 12, 10, 12),  # 1.2 on the ready ones, 1.0 on all: the two that start are enough
        (10.5, 12, 10, 15),  # 1.5 on the ready ones, 1.25 on all 12
        (3.5, 12, 10, 5),  # scaling down looks at the ready ones: ratio 0.5 of 10
        (50.0, 3, 0, 3),  # nothing is ready, so there is no metric
    ],
)
def test_the_proportional_rule(load: float, current: int, ready: int, expected: int):
    assert wanted_replicas(load, current, ready) == expected


def run(
    demands: list[float | None], policy: WorkloadPolicy = POLICY, lead: float = 120.0, kappa: float | None = 10.0
) -> list[BaselineState]:
    """The baseline's state after each minute."""
    states, state = [], BaselineState()
    for minute, demand in enumerate(demands):
        now = 60.0 * minute
        reading = Missing(MissingReason.NO_DATA) if demand is None else Sample(demand, now)
        state = advance(state, policy, reading, kappa, lead, FLEET, now)
        states.append(state)
    return states


def test_it_begins_with_what_the_demand_needs_at_seventy_percent():
    # 42/s are 4.2 replicas' worth: 4.2 / 0.7 = 6
    assert [(s.replicas, s.ready) for s in run([42.0])] == [(6, 6)]


def test_new_replicas_are_billed_at_once_and_serve_after_the_lead_time():
    # 84/s asks for 12; the six new ones are ready two minutes later.
    states = run([42.0, 84.0, 84.0, 84.0])
    assert [s.replicas for s in states] == [6, 12, 12, 12]
    assert [s.ready for s in states] == [6, 6, 6, 12]


def test_what_serves_is_asked_for_an_instant():
    state = run([42.0, 84.0])[-1]
    assert matured(state, 179.0).ready == 6
    assert matured(state, 180.0).ready == 12


def test_it_goes_down_only_after_five_low_minutes():
    states = run([84.0, 42.0, 42.0, 42.0, 42.0, 42.0, 42.0, 42.0])
    # The 12 of minute 0 count until they are more than 300 s old: through minute 5.
    assert [s.replicas for s in states] == [12, 12, 12, 12, 12, 12, 6, 6]


def test_the_largest_of_the_window_wins_not_the_first():
    states = run([84.0, 21.0, 42.0, 21.0, 21.0, 21.0, 21.0, 21.0, 21.0])
    # Minute 2 recommended 6, minutes 1 and 3.. recommended 3.
    assert [s.replicas for s in states] == [12, 12, 12, 12, 12, 12, 6, 6, 3]


def test_going_down_takes_those_that_are_still_starting_first():
    # 6 ready, 6 starting until minute 31. 36/s are 0.857 of what 6 serve at 70 %: 6 are wanted, and once the 12 of
    # minute 1 are older than five minutes, all six starting ones are given up.
    states = run([42.0, 84.0, *[36.0] * 7], lead=1_800.0)
    assert (states[-1].replicas, states[-1].ready, states[-1].starting) == (6, 6, ())


def test_unknown_demand_and_unknown_capacity_hold():
    assert [s.replicas for s in run([42.0, None, None, 84.0])] == [6, 6, 6, 12]
    assert run([42.0], kappa=None)[0].replicas is None


def test_bounds_are_the_workloads():
    assert run([1_000.0])[0].replicas == 20
    assert run([0.0], a_policy(min_replicas=3))[0].replicas == 3


def test_the_shadow_hpa_keeps_one_where_the_workload_may_have_none():
    sleepy = a_policy(min_replicas=0)
    states = run([0.0] * 8 + [42.0], sleepy)
    assert [s.replicas for s in states] == [1] * 8 + [6]
    # What an earlier version put to sleep wakes.
    asleep = BaselineState(0, 0)
    assert advance(asleep, sleepy, Sample(42.0, 0.0), 10.0, 0.0, FLEET, 0.0).replicas == 1


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 300.0)), max_size=60), st.floats(0.0, 900.0))
def test_ready_is_between_none_and_all(demands: list[float | None], lead: float):
    for state in run(demands, lead=lead):
        if state.replicas is not None:
            assert 0 <= state.ready <= state.replicas
            assert state.ready == state.replicas - sum(event.change for event in state.starting)
            assert len(state.recommendations) <= 6


def test_static_is_the_peak_of_fourteen_days():
    policy = a_policy(baseline=BaselineKind.STATIC)
    values = np.full(20 * 24, 30.0)
    values[5 * 24] = 170.0  # day 5, forgotten on day 20
    values[12 * 24] = 95.0
    values[13 * 24] = np.nan
    history = DemandHistory(0.0, 3_600.0, values)
    state = advance(BaselineState(), policy, Sample(20.0, 0.0), 10.0, 0.0, FLEET, 20 * DAY, history=history)
    assert (state.replicas, state.ready) == (10, 10)  # ceil(95 / 10)
    state = advance(state, policy, Sample(130.0, 0.0), 10.0, 0.0, FLEET, 20 * DAY + 60.0)
    assert state.replicas == 13
    assert advance(state, policy, Sample(20.0, 0.0), 10.0, 0.0, FLEET, 20 * DAY + 120.0) is state


def test_static_needs_a_capacity():
    policy = a_policy(baseline=BaselineKind.STATIC)
    assert advance(BaselineState(), policy, Sample(20.0, 0.0), None, 0.0, FLEET, 0.0).replicas is None


def test_previous_is_what_ran_at_adoption():
    policy = a_policy(baseline=BaselineKind.PREVIOUS)
    state = advance(BaselineState(), policy, Sample(20.0, 0.0), None, 0.0, FLEET, 0.0, original_replicas=7)
    assert (state.replicas, state.ready) == (7, 7)
    assert advance(state, policy, Sample(99.0, 0.0), None, 0.0, FLEET, 60.0, original_replicas=7) is state
