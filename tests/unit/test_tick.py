from __future__ import annotations

from dataclasses import replace

import pytest

from kcloud_autoscale.domain.observation import Observation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.workload import Mode
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.tick import FleetState, tick
from tests.builders.accounting import KEY, NOW, a_policy, seen, some_pods


def starved() -> WorkloadObservation:
    """Two replicas of 10 per second each where 95 are asked for."""
    return seen(some_pods(2), demand=95.0)


@pytest.mark.parametrize(
    ("mode", "conflict", "counted"),
    [(Mode.AUTO, None, True), (Mode.RECOMMEND, None, False), (Mode.OFF, None, False), (Mode.AUTO, "hpa/llm", False)],
)
def test_only_what_is_missed_with_a_count_of_ours_is_counted(mode: Mode, conflict: str | None, counted: bool):
    policy = FleetPolicy({KEY: a_policy(mode=mode)})
    state = FleetState(LiveForecaster())
    for step in range(3):
        now = NOW + 60.0 * step
        observation = Observation(now, {KEY: replace(starved(), conflict=conflict)})
        state = tick(observation, policy, state, now).state

    level = state.workloads[KEY].level
    assert level is not None
    assert (level.misses.own > 0.0) is counted
