"""Outcomes to render: one workload after one cycle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kcloud_autoscale.account.ledger import Account, Budget, Entry, Running
from kcloud_autoscale.act.status import Outcome
from kcloud_autoscale.domain.capacity import KnownCapacity
from kcloud_autoscale.domain.decision import (
    CapState,
    ConditionFact,
    Decision,
    Input,
    Proposal,
    ScaleAction,
    ScaleOutcome,
    ScaleResult,
    Stage,
    Step,
)
from kcloud_autoscale.domain.observation import PodObservation, PodPhase, Pods, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.series import Forecast
from kcloud_autoscale.domain.state import DecisionState, Ledger, LevelState, Misses, Usage, WorkloadState
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.forecast.level import PRICES

KEY = WorkloadKey("ai", "llm")
NOW = 1_800_000_000.0
TARGET = TargetRef("apps/v1", "Deployment", "llm")

FACTS = (
    ConditionFact("Ready", True, "Decided", "decided from current data"),
    ConditionFact("TargetFound", True, "Found", "found"),
    ConditionFact("Conflict", False, "NoOther", "no other"),
    ConditionFact("ForecastTrusted", True, "Calibrated", "trusted"),
)


def decision(**changes: Any) -> Decision:
    """3 replicas wanted where 2 run, 4 without the cap."""
    made = Decision(
        id="d1",
        key=KEY,
        at_seconds=NOW,
        current_replicas=2,
        desired_replicas=3,
        uncapped_replicas=4,
        ready_replicas=2,
        steps=(
            Step(Stage.SIZE, 2, 4, "ForecastNeed", "{} per second at {} each", (40, 10)),
            Step(Stage.CAPS, 4, 3, "MaxCostPerHour", "4 would cost {} $/h", (40.0,)),
        ),
        inputs=(Input("demand_per_second", 38.123456789, 3.0),),
        proposals=(Proposal("forecast", 4),),
        forecast=Forecast("hedge", NOW, 360.0, (0.5, 0.9), (30.0, 40.0), True, "Calibrated", 86_400.0),
        level=0.9,
        lead_time_seconds=120.0,
        lead_time_source="learned",
        capacity=KnownCapacity(10.0),
        usd_per_replica_hour=Sample(10.0, NOW),
        watts_per_replica=Sample(700.0, NOW),
        caps=(CapState("maxCostPerHour", 30.0, 30.0, binding=True),),
        conditions=FACTS,
    )
    return replace(made, **changes)


def observation(ready: int = 2) -> WorkloadObservation:
    """Two pods on one node, one on another that failed."""
    pods = tuple(
        PodObservation(f"llm-{index}", NOW - 600.0, NOW - 500.0 if index < ready else None, node="gpu-0")
        for index in range(2)
    )
    failed = PodObservation("llm-x", NOW - 600.0, node="gpu-1", phase=PodPhase.FAILED)
    return WorkloadObservation(
        KEY, TargetObservation(TARGET, "t1", "7", 2, Pods((*pods, failed))), demand=Sample(38.0, NOW)
    )


def account(**changes: Any) -> Account:
    """20 $/h and 1,400 W of ours beside 30 $/h and 2,000 W; 5 $ against 8 $ so far."""
    made = Account(
        actual=Running(2, 2, Sample(10.0, NOW), Sample(1_400.0, NOW)),
        baseline=Running(3, 3, Sample(10.0, NOW), Sample(2_000.0, NOW)),
        score=0.95,
        budget=Budget(100.0, 40.0, 60.0, None, NOW + 10_800.0),
        ledger=Ledger(
            NOW - 3_600.0,
            NOW,
            actual=Usage(usd=6.0, joules=15.0),
            compared=Usage(usd=5.0, joules=10.0),
            baseline=Usage(usd=8.0, joules=12.0),
        ),
        entry=Entry(60.0, Usage(usd=20.0 / 60.0), Usage(usd=20.0 / 60.0), Usage(usd=30.0 / 60.0)),
    )
    return replace(made, **changes)


def remembered(original_replicas: int | None) -> WorkloadState:
    """What the next tick goes on from: a day of steps, of which 12 were missed, and fewer at each higher price."""
    misses = Misses(1_440.0, 12.0, 30.0, 100.0 / PRICES)
    return WorkloadState(DecisionState(NOW), original_replicas, level=LevelState.beginning(misses))


def result(what: ScaleOutcome = ScaleOutcome.WRITTEN, message: str = "", **changes: Any) -> ScaleResult:
    """Of 2 -> 3 replicas, since a minute ago."""
    action = ScaleAction(KEY, "d1", TARGET, "t1", "7", 2, 3, 1, 10, "MaxCostPerHour", (), NOW - 60.0)
    written = 3 if what is ScaleOutcome.WRITTEN else None
    return ScaleResult(replace(action, **changes), what, message, written)


def outcome(**changes: Any) -> Outcome:
    policy = WorkloadPolicy(KEY, uid="u1", generation=4, target=TARGET, max_replicas=10)
    made = Outcome(policy, observation(), decision(), account(), result())
    return replace(made, **changes)
