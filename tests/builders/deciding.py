"""Small cases for tests of decisions: one workload, ten load per second per replica, fresh data, a known price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kcloud_autoscale.decide.pipeline import FleetOutcome, decide_fleet
from kcloud_autoscale.domain.capacity import Capacity, KnownCapacity
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import Decision, Stage, Step
from kcloud_autoscale.domain.observation import (
    MetricObservation,
    PodObservation,
    PodPhase,
    Pods,
    TargetObservation,
    WorkloadObservation,
)
from kcloud_autoscale.domain.policy import FleetPolicy, MetricKind, MetricTarget, SharedCap, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.series import Forecast
from kcloud_autoscale.domain.state import DecisionState, Ledger, Recommendation, WorkloadState
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey

NOW = 1_800_000_000.0
LONG_AGO = NOW - 86_400.0
KEY = WorkloadKey("shop", "llm")
UNKNOWN = Missing(MissingReason.SOURCE_ERROR, "Prometheus did not answer")
LATENCY = MetricTarget("latency", MetricKind.VALUE, 0.2, 0.95)
GPU = MetricTarget("gpu", MetricKind.UTILIZATION, 0.6)
QUEUE = MetricTarget("queue", MetricKind.AVERAGE_VALUE, 5.0)


NO_GPU = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."


def pods(ready: int, starting: int = 0, leaving: int = 0, waiting: int = 0, waited: float = 0.0) -> Pods:
    """Pods by state; names run on. Those that wait for a node have done so since their creation."""
    made = [PodObservation(f"llm-{i}", LONG_AGO, LONG_AGO + 60.0, "n1") for i in range(ready)]
    made += [
        PodObservation(f"llm-{ready + i}", NOW - 30.0, None, "n1", phase=PodPhase.PENDING) for i in range(starting)
    ]
    made += [PodObservation(f"llm-old-{i}", LONG_AGO, LONG_AGO + 60.0, "n1", deleting=True) for i in range(leaving)]
    made += [
        PodObservation(f"llm-w-{i}", NOW - waited, phase=PodPhase.PENDING, unscheduled=NO_GPU) for i in range(waiting)
    ]
    return Pods(made)


def a_forecast(peak: float, trusted: bool = True) -> Forecast:
    """The same peak at every level."""
    return Forecast("last value", NOW, 360.0, (0.5, 0.99), (peak, peak), trusted, "Calibrated" if trusted else "Worse")


def settled(**overrides: Any) -> DecisionState:
    """A memory of a day of good data; nothing was wanted a minute ago, so that no window holds a count up."""
    known = {"since_seconds": LONG_AGO, "good_since_seconds": LONG_AGO}
    return DecisionState(**(known | {"recommendations": (Recommendation(NOW - 60.0, 0),)} | overrides))


def fresh(value: float) -> Sample:
    """Read just now."""
    return Sample(value, NOW)


def metric(name: str, value: float | Reading, per_pod: Mapping[str, float] | None = None) -> MetricObservation:
    """One target metric as seen now."""
    return MetricObservation(name, fresh(value) if isinstance(value, float) else value, per_pod or {})


def a_case(
    demand: float | Reading | None = None,
    replicas: int = 4,
    forecast: float | Forecast | None = None,
    *,
    key: WorkloadKey = KEY,
    running: Iterable[PodObservation] | None = None,
    kappa: float | Capacity | None = 10.0,
    metrics: Sequence[MetricObservation] = (),
    state: DecisionState | None = None,
    ledger: Ledger | None = None,
    conflict: str | None = None,
    usd: float | Reading = 2.0,
    watts: float | Reading = 500.0,
    **policy: Any,
) -> Case:
    """1 to 100 replicas in mode Auto unless `policy` says otherwise; every pod serves."""
    knobs = {"key": key, "min_replicas": 1, "max_replicas": 100} | policy
    target = TargetObservation(
        TargetRef("apps/v1", "Deployment", key.name),
        "uid",
        "1",
        replicas,
        pods(replicas) if running is None else Pods(running),
    )
    seen = WorkloadObservation(key, target, conflict=conflict, metrics=tuple(metrics))
    if demand is not None:
        seen = replace(seen, demand=fresh(demand) if isinstance(demand, float | int) else demand)
    return Case(
        policy=WorkloadPolicy(**knobs),
        seen=seen,
        state=WorkloadState(settled() if state is None else state),
        forecast=a_forecast(forecast) if isinstance(forecast, float | int) else forecast,
        lead_time_seconds=300.0,
        lead_time_source="default",
        capacity=KnownCapacity(kappa) if isinstance(kappa, float | int) else kappa,
        usd_per_replica_hour=fresh(usd) if isinstance(usd, float | int) else usd,
        watts_per_replica=fresh(watts) if isinstance(watts, float | int) else watts,
        ledger=ledger,
    )


def a_fleet(*cases: Case, caps: tuple[SharedCap, ...] = (), **knobs: Any) -> FleetPolicy:
    """A cycle of a minute unless told otherwise."""
    return FleetPolicy({case.policy.key: case.policy for case in cases}, caps, **knobs)


def decide(*cases: Case, caps: tuple[SharedCap, ...] = (), now: float = NOW, **knobs: Any) -> FleetOutcome:
    """One tick's decisions."""
    return decide_fleet(cases, a_fleet(*cases, caps=caps, **knobs), now)


def decide_one(case: Case, now: float = NOW, **knobs: Any) -> Decision:
    """The decision of a workload by itself."""
    return decide(case, now=now, **knobs).fleet.decisions[0]


def steps_of(decision: Decision, stage: Stage) -> list[Step]:
    """What one rule did."""
    return [step for step in decision.steps if step.stage is stage]


def condition(decision: Decision, name: str) -> bool | None:
    """Status of a condition."""
    return next(fact.status for fact in decision.conditions if fact.type == name)
