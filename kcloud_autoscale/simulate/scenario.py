"""Several workloads that share caps: what they are, and what each takes of the limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import (
    Caps,
    CapUnit,
    CostScope,
    FleetPolicy,
    PriceOverride,
    SharedCap,
    WorkloadPolicy,
)
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.simulate.predictive import grid_seconds, simulated_workload
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import WorldRules

# A limit of 70 is met by 100 replicas of 0.7, which are 70.00000000000001 in binary.
HAIR = 1.0 + 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One workload of a scenario: its demand, its world, and its own knobs."""

    key: WorkloadKey
    trace: Trace
    rules: WorldRules
    workload: WorkloadPolicy

    def each(self, unit: CapUnit) -> float | None:
        """What one replica takes of a limit, in the limit's unit; None when not given."""
        rules = self.rules
        return rules.usd_per_replica_hour if unit is CapUnit.USD_PER_HOUR else rules.watts_per_replica


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Workloads in order, and the limits they share; all traces on one grid, all histories of one length."""

    members: tuple[Member, ...]
    shared_caps: tuple[SharedCap, ...] = ()
    cost_scopes: tuple[CostScope, ...] = ()

    def check(self) -> None:
        """Raise ConfigError for what cannot be simulated, by workload and limit."""
        first = self.members[0]
        for member in self.members:
            member.rules.check(member.trace)
            if _grid(member) != _grid(first):
                raise ConfigError(f"{member.key}: {_told(member)}, but {first.key}: {_told(first)}")
        for cap in self.shared_caps:
            for member in self._of(cap):
                if member.each(cap.unit) is None:
                    raise ConfigError(f"{cap.name}: {member.key} names no {cap.unit.value} of a replica")
            floor = self.used(cap, {member.key: member.rules.min_replicas for member in self.members})
            if floor > cap.limit * HAIR:
                raise ConfigError(f"{cap.name} is {cap.limit:g}, the floors alone take {floor:g}")
        for scope in self.cost_scopes:
            for member in self.members:
                if member.key in scope.members and member.rules.usd_per_replica_hour is None:
                    raise ConfigError(f"the budget of {scope.name}: {member.key} names no price of a replica")

    @property
    def capped(self) -> bool:
        """Whether there is a hard limit beside the bounds of the replicas."""
        own = any(member.workload.caps != Caps() for member in self.members)
        return own or bool(self.shared_caps) or any(scope.limited for scope in self.cost_scopes)

    def without_caps(self) -> Scenario:
        """The same workloads within the bounds of their replicas alone."""
        return Scenario(tuple(replace(m, workload=replace(m.workload, caps=Caps())) for m in self.members))

    def used(self, cap: SharedCap, replicas: dict[WorkloadKey, int]) -> float:
        """What the members of a limit take of it."""
        return sum(replicas[member.key] * (member.each(cap.unit) or 0.0) for member in self._of(cap))

    def _of(self, cap: SharedCap) -> list[Member]:
        return [member for member in self.members if member.key in cap.members]


def scenario_fleet(scenario: Scenario) -> FleetPolicy:
    """All workloads as one fleet, under the limits they share."""
    members, step = scenario.members, scenario.members[0].trace.step_seconds
    prices = {m.key: m.rules.usd_per_replica_hour for m in members}
    return FleetPolicy(
        {m.key: simulated_workload(m.trace, m.rules, m.workload, m.key, target_of(m.key)) for m in members},
        shared_caps=scenario.shared_caps,
        cost_scopes=scenario.cost_scopes,
        price_overrides={key: PriceOverride(gpu_usd_per_hour=usd) for key, usd in prices.items() if usd is not None},
        cycle_seconds=step,
        step_seconds=step,
        max_metric_age_seconds=3.0 * step,
    )


def target_of(key: WorkloadKey) -> TargetRef:
    """The object behind a workload of a scenario."""
    return TargetRef("apps/v1", "Deployment", key.name)


def _grid(member: Member) -> tuple[float, float, int, int]:
    trace = member.trace
    return grid_seconds(trace, 0), trace.step_seconds, len(trace.demand), member.rules.history_steps


def _told(member: Member) -> str:
    start, step, steps, _ = _grid(member)
    began = datetime.fromtimestamp(start, UTC).isoformat(timespec="seconds")
    return f"{steps} steps of {step:g} s from {began}"
