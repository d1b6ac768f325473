"""The way back of a deleted optimizer is a count like any other: within the bounds, under every cap, in transit too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.policy import Caps, CapUnit, SharedCap
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from tests.builders.deciding import KEY, UNKNOWN, a_case, condition, decide, decide_one, pods

OTHER = WorkloadKey("shop", "other")


def leaving(original: int | None, replicas: int = 4, **policy: Any) -> Case:
    case = a_case(45.0, replicas, mode=Mode.OFF, restoring=True, max_replicas=policy.pop("max_replicas", 10), **policy)
    return replace(case, state=replace(case.state, original_replicas=original))


@pytest.mark.parametrize(
    ("original", "restored", "reason"),
    [(2, 2, "Restored"), (9, 9, "Restored"), (40, 10, "MaxReplicas"), (0, 0, "Restored")],
)
def test_the_count_found_at_adoption_within_the_bounds(original: int, restored: int, reason: str):
    decision = decide_one(leaving(original))
    assert (decision.desired_replicas, decision.final_reason) == (restored, reason)
    assert decision.action is not None
    assert (decision.action.from_replicas, decision.action.to_replicas) == (4, restored)


def test_a_floor_that_was_raised_meanwhile_holds():
    assert decide_one(leaving(1, min_replicas=3)).desired_replicas == 3


@pytest.mark.parametrize("caps", [Caps(max_usd_per_hour=12.0), Caps(max_watts=3_000.0)])
def test_its_own_caps_hold(caps: Caps):
    # 2 $/h and 500 W each: six fit.
    assert decide_one(leaving(9, caps=caps)).desired_replicas == 6


def test_a_shared_cap_holds_in_transit_too():
    # Ten replicas of 500 W fit; the neighbour has five, two more are on their way out.
    neighbour = a_case(50.0, 5, key=OTHER, running=pods(5, leaving=2), mode=Mode.OFF)
    cap = SharedCap("team/maxPowerUsage", CapUnit.WATTS, 5_000.0, frozenset({KEY, OTHER}))
    outcome = decide(leaving(9, 1), neighbour, caps=(cap,))
    decision = outcome.fleet.decisions[0]
    assert decision.desired_replicas == 5
    assert decision.action is not None
    assert decision.action.to_replicas == 3


def test_an_unknown_price_under_a_cap_grows_nothing():
    decision = decide_one(leaving(9, usd=UNKNOWN, caps=Caps(max_usd_per_hour=100.0)))
    assert (decision.desired_replicas, decision.action) == (4, None)


@pytest.mark.parametrize("change", [{"original": None}, {"original": 9, "conflict": "HorizontalPodAutoscaler llm"}])
def test_nothing_to_go_back_to_or_somebody_elses_count_stays(change: dict[str, Any]):
    decision = decide_one(leaving(**change))
    assert (decision.desired_replicas, decision.action) == (4, None)


def test_no_load_is_asked_for():
    assert condition(decide_one(leaving(2)), "MetricsAvailable") is None
