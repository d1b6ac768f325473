"""Our own policy in the simulated world: the very `tick` of the operator on an observation made of the world.

Nothing here decides. It shows the tick what a cluster and a Prometheus would show, and carries out the write it asks
for; a tick that asks for none leaves the count alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from kcloud_autoscale.domain.decision import Decision
from kcloud_autoscale.domain.observation import (
    NO_PODS,
    NOT_ASKED,
    NodeObservation,
    Observation,
    PodObservation,
    Pods,
    TargetObservation,
    WorkloadObservation,
)
from kcloud_autoscale.domain.policy import Caps, CostScope, DemandSource, FleetPolicy, PriceOverride, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.series import DemandHistory, FloatArray
from kcloud_autoscale.domain.workload import Mode, TargetRef, WorkloadKey
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.trail import Trail
from kcloud_autoscale.simulate.world import World, WorldRules
from kcloud_autoscale.tick import DemandForecaster, FleetState, tick

_KEY = WorkloadKey("simulation", "workload")
_TARGET = TargetRef("apps/v1", "Deployment", "workload")
_DEVICE: Mapping[str, int] = {"nvidia.com/gpu": 1}
_NODE = "node"
_NODES = {_NODE: NodeObservation(_NODE, allocatable={"nvidia.com/gpu": 1_000_000})}


def plain_workload(caps: Caps | None = None) -> WorkloadPolicy:
    """A workload with the defaults of every knob."""
    return WorkloadPolicy(_KEY, caps=caps or Caps())


def fleet_policy(
    trace: Trace, rules: WorldRules, workload: WorkloadPolicy, scopes: tuple[CostScope, ...] = ()
) -> FleetPolicy:
    """One workload with the world's bounds, capacity and start-up, and its own knobs and name for the rest."""
    key = workload.key
    simulated = simulated_workload(trace, rules, workload, key, _TARGET)
    price = rules.usd_per_replica_hour
    return FleetPolicy(
        {key: simulated},
        cost_scopes=scopes,
        price_overrides={} if price is None else {key: PriceOverride(gpu_usd_per_hour=price)},
        cycle_seconds=trace.step_seconds,
        step_seconds=trace.step_seconds,
        max_metric_age_seconds=3.0 * trace.step_seconds,
    )


def simulated_workload(
    trace: Trace, rules: WorldRules, workload: WorkloadPolicy, key: WorkloadKey, target: TargetRef
) -> WorkloadPolicy:
    """The workload with the world's bounds, capacity and start-up, scaled for real."""
    return replace(
        workload,
        key=key,
        target=target,
        mode=Mode.AUTO,
        min_replicas=rules.min_replicas,
        max_replicas=rules.max_replicas,
        capacity_per_replica=rules.capacity_per_replica,
        lead_time_seconds=rules.startup_seconds,
        # A trace is told whether pods run or not, unless it stands for a load that is known to come from them.
        demand=workload.demand if workload.demand.preset else DemandSource(query="trace"),
        # A trace is demand and nothing else: what other metrics would have said is not known.
        targets=(),
        ceilings=(),
        created_seconds=grid_seconds(trace, rules.history_steps),
    )


def whole_history(trace: Trace, key: WorkloadKey) -> dict[WorkloadKey, DemandHistory]:
    """The trace as the forecaster's history, for forecasts made in bulk.

    The key counts: it decides at which minute of each half hour a workload's forecaster is refreshed, so that a replay
    says what the operator says only under the workload's own name.
    """
    return {key: DemandHistory(grid_seconds(trace, 0), trace.step_seconds, trace.demand)}


def grid_seconds(trace: Trace, step: int) -> float:
    """Unix time at which a step begins, on the grid that demand histories keep (multiples of the step)."""
    return (math.floor(trace.start_seconds / trace.step_seconds) + step) * trace.step_seconds


@dataclass(slots=True)
class SimulatedPods:
    """The pods behind a world's counts; the same object, and the same pods in it, as long as nothing changes."""

    startup_seconds: float
    counts: tuple[int, int] = (0, 0)
    pods: Pods = NO_PODS

    def of(self, world: World, ordered_seconds: float) -> Pods:
        """Pods of the world now; those that are new were ordered at `ordered_seconds`."""
        if self.counts == (world.replicas, world.ready):
            return self.pods
        pods = list(self.pods[: world.replicas])
        new = range(len(pods), world.replicas)
        pods += [PodObservation(f"workload-{index}", ordered_seconds, node=_NODE) for index in new]
        # The oldest serve; a world never takes one of them while a younger one starts.
        for index in range(min(self.counts[1], world.ready), world.ready):
            pods[index] = replace(pods[index], ready_seconds=pods[index].created_seconds + self.startup_seconds)
        self.counts, self.pods = (world.replicas, world.ready), Pods(pods)
        return self.pods


class Sight:
    """What a cluster and a Prometheus would show of one workload, step by step."""

    def __init__(self, trace: Trace, rules: WorldRules, key: WorkloadKey, target: TargetRef = _TARGET) -> None:
        """Nothing has been shown yet."""
        self.trace, self.rules, self.key, self.target = trace, rules, key, target
        self._pods = SimulatedPods(rules.startup_steps(trace.step_seconds) * trace.step_seconds)
        self._lag = rules.settle_steps(trace.step_seconds)
        self._fed = 0

    def of(self, known: FloatArray, world: World, now: float) -> WorkloadObservation:
        """What is seen at `now`; `known` is the demand of all steps before, the newly settled ones its history."""
        pods = self._pods.of(world, now - self.trace.step_seconds)
        step = self.trace.step_seconds
        new = known[self._fed : max(0, len(known) - self._lag)]
        history = DemandHistory(grid_seconds(self.trace, self._fed), step, new) if len(new) else None
        self._fed += len(new)
        watts = self.rules.watts_per_replica
        return WorkloadObservation(
            self.key,
            TargetObservation(self.target, "uid", str(int(now)), world.replicas, pods),
            demand=_latest(known, now),
            demand_history=history,
            watts=NOT_ASKED if watts is None else Sample(watts * max(1, world.ready), now),
            replica_accelerators={} if self.rules.usd_per_replica_hour is None else _DEVICE,
        )


def surroundings(now: float, seen: Mapping[WorkloadKey, WorkloadObservation], carbon: float | None) -> Observation:
    """Everything seen at `now`: workloads on one large node, and the grid's grams of CO2e per kWh where known."""
    return Observation(now, seen, _NODES, NOT_ASKED if carbon is None else Sample(carbon, now))


class Predictive:
    """The operator's tick as a policy of the simulated world.

    Attributes:
        decision: The last one.
        trail: What was thought at each step, where a report wants to know.
    """

    name = "predictive"

    def __init__(self, trace: Trace, rules: WorldRules, forecaster: DemandForecaster, policy: FleetPolicy) -> None:
        """A fleet of one workload, with nothing remembered."""
        self.trace, self.rules, self.policy = trace, rules, policy
        self.state = FleetState(forecaster)
        self.decision: Decision | None = None
        self.trail: Trail | None = None
        (self._key,) = policy.workloads
        self._sight = Sight(trace, rules, self._key)

    def decide(self, step: int, known: FloatArray, world: World) -> tuple[int, str]:
        """One tick at the beginning of `step`."""
        now = grid_seconds(self.trace, step)
        seen = {self._key: self._sight.of(known, world, now)}
        result = tick(surroundings(now, seen, self.rules.grams_per_kwh), self.policy, self.state, now)
        self.state = result.state
        self.decision = decision = result.fleet.decisions[0]
        wanted = world.replicas
        for action in result.fleet.actions:
            wanted = action.to_replicas
        if self.trail is not None:
            self.trail.note(decision, world.replicas, wanted)
        return wanted, decision.final_reason


def _latest(known: FloatArray, now: float) -> Reading:
    """Demand of the step that has just ended, read at its end."""
    demand = float(known[-1]) if len(known) else math.nan
    if math.isnan(demand):
        return Missing(MissingReason.NO_DATA, "no demand in the last step")
    return Sample(demand, now)
