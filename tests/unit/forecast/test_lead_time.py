from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.domain.observation import PodObservation, PodPhase
from kcloud_autoscale.domain.state import LeadTimeState
from kcloud_autoscale.forecast.lead_time import KEPT, estimate, learn

HOUR = 3_600.0


def started(name: str, created: float, took: float) -> PodObservation:
    return PodObservation(name, created, created + took, "n1")


def test_three_start_ups_are_learned_and_the_slowest_of_few_counts():
    pods = (started("a", 0.0, 90.0), started("b", 0.0, 120.0), started("c", 0.0, 100.0))
    assert estimate(learn(LeadTimeState(), pods, 200.0), None, 300.0) == (120.0, "learned")


def test_two_start_ups_are_not_enough():
    pods = (started("a", 0.0, 90.0), started("b", 0.0, 120.0))
    assert estimate(learn(LeadTimeState(), pods, 200.0), None, 300.0) == (300.0, "default")


def test_the_user_knows_better():
    pods = (started("a", 0.0, 90.0), started("b", 0.0, 120.0), started("c", 0.0, 100.0))
    assert estimate(learn(LeadTimeState(), pods, 200.0), 45.0, 300.0) == (45.0, "spec")


def test_p95_of_forty_leaves_out_the_two_slowest():
    # 40 start-ups of 1, 2, ..., 40 s: 0.95 * 40 = 38, so the 38th.
    pods = tuple(started(f"p{i}", 0.0, float(i)) for i in range(1, 41))
    assert learn(LeadTimeState(), pods, 100.0).p95_seconds == 38.0


def test_a_pod_counts_once_however_often_it_is_seen():
    pods = (started("a", 0.0, 90.0),)
    state = learn(LeadTimeState(), pods, 100.0)
    again = learn(state, (*pods, PodObservation("b", 99.0)), 160.0)
    assert again.durations_seconds == (90.0,)


def test_nothing_new_gives_the_same_state():
    state = learn(LeadTimeState(), (started("a", 0.0, 90.0),), 100.0)
    assert learn(state, (started("a", 0.0, 90.0),), 160.0) is state


def test_a_pod_that_lost_readiness_for_a_moment_is_no_three_hour_start_up():
    # Seen for the first time after a restart of ours: created three hours ago, Ready since a minute.
    pod = PodObservation("a", 0.0, 3 * HOUR - 60.0, "n1")
    assert learn(LeadTimeState(), (pod,), 3 * HOUR).durations_seconds == ()


def test_a_pod_that_flaps_after_it_was_counted_is_not_counted_again():
    state = learn(LeadTimeState(), (started("a", 0.0, 90.0),), 100.0)
    state = learn(state, (PodObservation("a", 0.0, None, "n1"),), HOUR)
    state = learn(state, (PodObservation("a", 0.0, HOUR + 30.0, "n1"),), HOUR + 60.0)
    assert state.durations_seconds == (90.0,)


def test_an_old_pod_first_seen_unready_is_not_vouched_for():
    state = learn(LeadTimeState(), (PodObservation("a", 0.0, None, "n1"),), HOUR)
    state = learn(state, (PodObservation("a", 0.0, HOUR + 30.0, "n1"),), HOUR + 60.0)
    assert state.durations_seconds == ()


def test_a_slow_start_watched_from_the_beginning_counts():
    # 25 minutes of model load, more than is believed of a pod nobody watched (15 minutes).
    state = learn(LeadTimeState(), (PodObservation("a", 0.0),), 30.0)
    state = learn(state, (PodObservation("a", 0.0, None, "n1"),), 600.0)
    state = learn(state, (started("a", 0.0, 1_500.0),), 1_530.0)
    assert state.durations_seconds == (1_500.0,)


def test_a_start_up_of_hours_was_broken_not_slow():
    state = learn(LeadTimeState(), (PodObservation("a", 0.0),), 30.0)
    state = learn(state, (started("a", 0.0, 5 * HOUR),), 5 * HOUR + 30.0)
    assert state.durations_seconds == ()


def test_a_stateful_set_gives_the_same_name_to_another_pod():
    state = learn(LeadTimeState(), (started("db-0", 0.0, 90.0),), 100.0)
    state = learn(state, (started("db-0", 500.0, 40.0),), 600.0)
    assert state.durations_seconds == (90.0, 40.0)


def test_clocks_that_differ_give_no_negative_start_up():
    assert learn(LeadTimeState(), (started("a", 10.0, -2.0),), 20.0).durations_seconds == (0.0,)


@pytest.mark.parametrize("pod", [PodObservation("a", 0.0, 50.0, "n1", phase=PodPhase.FAILED), PodObservation("a", 0.0)])
def test_a_failed_or_starting_pod_says_nothing(pod: PodObservation):
    assert learn(LeadTimeState(), (pod,), 60.0).durations_seconds == ()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2_000), st.booleans()), max_size=80))
def test_memory_is_bounded_by_the_pods_that_exist(rounds: list[tuple[int, int, bool]]):
    state = LeadTimeState()
    for i, (count, took, is_ready) in enumerate(rounds):
        now = 60.0 * i
        pods = tuple(PodObservation(f"p{i}-{j}", now - took, now if is_ready else None, "n1") for j in range(count))
        state = learn(state, pods, now)
        assert len(state.seen) + len(state.awaited) <= count
        assert len(state.durations_seconds) <= KEPT
