"""Several workloads that share caps, through the same tick all at once.

A step is one tick for all of them. Its writes are carried out in the order the tick gives them, and what runs is
priced after each single write: a limit that is crossed for the instant between two writes counts as crossed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.periods import period_bounds
from kcloud_autoscale.domain.policy import (
    BudgetPeriod,
    CapUnit,
    CostScope,
    FleetPolicy,
    PriceOverride,
    SharedCap,
    WorkloadPolicy,
)
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.units import usd
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.replay import ReplayedForecaster
from kcloud_autoscale.simulate.predictive import Sight, grid_seconds, simulated_workload, surroundings
from kcloud_autoscale.simulate.score import Score, score
from kcloud_autoscale.simulate.traces import Trace
from kcloud_autoscale.simulate.world import Run, World, WorldRules, initial_replicas
from kcloud_autoscale.tick import FleetState, tick

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

    def used(self, cap: SharedCap, replicas: dict[WorkloadKey, int]) -> float:
        """What the members of a limit take of it."""
        return sum(replicas[member.key] * (member.each(cap.unit) or 0.0) for member in self._of(cap))

    def _of(self, cap: SharedCap) -> list[Member]:
        return [member for member in self.members if member.key in cap.members]


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioOutcome:
    """One run and score per member, in order, and how the shared limits fared.

    Attributes:
        runs: One per member.
        scores: One per member.
        peaks: For each shared limit the most that was ever used of it.
        budgets: Name, limit and the most that was spent in one of its periods, of every budget of a cost scope.
    """

    runs: tuple[Run, ...]
    scores: tuple[Score, ...]
    peaks: tuple[float, ...]
    budgets: tuple[tuple[str, float, float], ...] = ()


def replay_scenario(
    scenario: Scenario, watch: Callable[[Iterable[int]], Iterable[int]] = lambda steps: steps
) -> ScenarioOutcome:
    """All workloads through their traces together; ``watch`` goes through the steps, as a progress bar does.

    Raises:
        ConfigError: Traces, rules and limits that do not fit each other.
    """
    scenario.check()
    live = _Live(scenario)
    rules, trace = scenario.members[0].rules, scenario.members[0].trace
    for step in watch(range(rules.history_steps, len(trace.demand))):
        live.step(step)
    runs = tuple(live.run(index) for index in range(len(scenario.members)))
    scores = tuple(score(run, member.rules) for run, member in zip(runs, scenario.members, strict=True))
    return ScenarioOutcome(runs, scores, tuple(live.peaks), _budgets(scenario, runs))


class _Live:
    """Where the worlds of a scenario stand, and what they did so far."""

    def __init__(self, scenario: Scenario) -> None:
        members = scenario.members
        self.scenario, self.policy = scenario, _fleet(scenario)
        histories = {
            m.key: DemandHistory(grid_seconds(m.trace, 0), m.trace.step_seconds, m.trace.demand) for m in members
        }
        taught = members[0].rules.taught_steps(members[0].trace.step_seconds)
        self.state = FleetState(ReplayedForecaster(histories, taught, knowledge=default_knowledge()[0]))
        starts = _starts(scenario)
        self.worlds = {
            m.key: World.at_rest(starts[m.key], m.rules.startup_steps(m.trace.step_seconds)) for m in members
        }
        self.sights = [Sight(m.trace, m.rules, m.key, _target(m.key)) for m in members]
        self.rows: list[list[tuple[int, int, str]]] = [[] for _ in members]
        self.peaks = [0.0] * len(scenario.shared_caps)

    def step(self, step: int) -> None:
        """One tick for all, its writes one after the other."""
        for world in self.worlds.values():
            world.mature(step)
        now = grid_seconds(self.scenario.members[0].trace, step)
        seen = {s.key: s.of(s.trace.demand[:step], self.worlds[s.key], now) for s in self.sights}
        result = tick(
            surroundings(now, seen, self.scenario.members[0].rules.grams_per_kwh), self.policy, self.state, now
        )
        self.state = result.state
        for action in result.fleet.actions:
            self.worlds[action.key].order(step, action.to_replicas)
            self._measure()
        self._measure()
        reasons = {decision.key: decision.final_reason for decision in result.fleet.decisions}
        for rows, (key, world) in zip(self.rows, self.worlds.items(), strict=True):
            rows.append((world.replicas, world.ready, reasons[key]))

    def run(self, index: int) -> Run:
        """What one member did."""
        member, rows = self.scenario.members[index], self.rows[index]
        replicas, ready, reasons = zip(*rows, strict=True)
        first = member.rules.history_steps
        return Run(
            str(member.key),
            first,
            member.trace.step_seconds,
            member.trace.demand[first:],
            np.array(replicas, np.int64),
            np.array(ready, np.int64),
            reasons,
        )

    def _measure(self) -> None:
        replicas = {key: world.replicas for key, world in self.worlds.items()}
        for index, cap in enumerate(self.scenario.shared_caps):
            self.peaks[index] = max(self.peaks[index], self.scenario.used(cap, replicas))


def _fleet(scenario: Scenario) -> FleetPolicy:
    members, step = scenario.members, scenario.members[0].trace.step_seconds
    prices = {m.key: m.rules.usd_per_replica_hour for m in members}
    return FleetPolicy(
        {m.key: simulated_workload(m.trace, m.rules, m.workload, m.key, _target(m.key)) for m in members},
        shared_caps=scenario.shared_caps,
        cost_scopes=scenario.cost_scopes,
        price_overrides={key: PriceOverride(gpu_usd_per_hour=usd) for key, usd in prices.items() if usd is not None},
        cycle_seconds=step,
        step_seconds=step,
        max_metric_age_seconds=3.0 * step,
    )


def _budgets(scenario: Scenario, runs: Sequence[Run]) -> tuple[tuple[str, float, float], ...]:
    """What was spent of each budget, counted from what ran, and not by the books of the tick."""
    found: list[tuple[str, float, float]] = []
    first, step = scenario.members[0], runs[0].step_seconds
    at = grid_seconds(first.trace, runs[0].first_step) + step * np.arange(len(runs[0].replicas))
    months = np.array([period_bounds(BudgetPeriod.MONTHLY, 0.0, seconds)[0] for seconds in at.tolist()])
    for scope in scenario.cost_scopes:
        spent = np.zeros(len(at))
        for member, run in zip(scenario.members, runs, strict=True):
            if member.key in scope.members:
                spent += run.replicas * usd(member.rules.usd_per_replica_hour or 0.0, step)
        if scope.budget_usd is not None:
            found.append((f"{scope.name}/budgetLimit", scope.budget_usd, float(spent.sum())))
        if scope.monthly_usd is not None:
            most = max(float(spent[months == month].sum()) for month in np.unique(months))
            found.append((f"{scope.name}/monthlyBudget", scope.monthly_usd, most))
    return tuple(found)


def _starts(scenario: Scenario) -> dict[WorkloadKey, int]:
    """What runs before the first decision; the floors where the usual start would cross a shared limit."""
    usual = {member.key: initial_replicas(member.trace, member.rules) for member in scenario.members}
    if all(scenario.used(cap, usual) <= cap.limit * HAIR for cap in scenario.shared_caps):
        return usual
    return {member.key: member.rules.min_replicas for member in scenario.members}


def _target(key: WorkloadKey) -> TargetRef:
    return TargetRef("apps/v1", "Deployment", key.name)


def _grid(member: Member) -> tuple[float, float, int, int]:
    trace = member.trace
    return grid_seconds(trace, 0), trace.step_seconds, len(trace.demand), member.rules.history_steps


def _told(member: Member) -> str:
    start, step, steps, _ = _grid(member)
    began = datetime.fromtimestamp(start, UTC).isoformat(timespec="seconds")
    return f"{steps} steps of {step:g} s from {began}"
