"""Who decides in a scenario: the operator for all at once, or one policy for each, held to the limits all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.replay import ReplayedForecaster
from kcloud_autoscale.simulate.limits import Limits
from kcloud_autoscale.simulate.policies import Hpa, policy_named
from kcloud_autoscale.simulate.predictive import Sight, grid_seconds, surroundings
from kcloud_autoscale.simulate.scenario import Scenario, scenario_fleet, target_of
from kcloud_autoscale.simulate.world import Policy, World
from kcloud_autoscale.tick import FleetState, tick

Worlds = Mapping[WorkloadKey, World]


@dataclass(frozen=True, slots=True)
class Orders:
    """What is decided for one step.

    Attributes:
        writes: New counts in the order they are carried out; a workload may be left out, or come twice.
        reasons: A token for every workload.
    """

    writes: tuple[tuple[WorkloadKey, int], ...]
    reasons: Mapping[WorkloadKey, str]


class ScenarioPolicy(Protocol):
    """Decides for all workloads of a scenario."""

    def decide(self, step: int, worlds: Worlds) -> Orders:
        """Orders at the beginning of `step`; the worlds are to be read only."""


class OperatorOfAll:
    """The operator: one tick for all, its writes in the order it gives them."""

    def __init__(self, scenario: Scenario) -> None:
        """With nothing remembered."""
        members = scenario.members
        self._trace, self._carbon = members[0].trace, members[0].rules.grams_per_kwh
        self._policy = scenario_fleet(scenario)
        histories = {
            m.key: DemandHistory(grid_seconds(m.trace, 0), m.trace.step_seconds, m.trace.demand) for m in members
        }
        taught = members[0].rules.taught_steps(self._trace.step_seconds)
        self._state = FleetState(ReplayedForecaster(histories, taught, knowledge=default_knowledge()[0]))
        self._sights = [Sight(m.trace, m.rules, m.key, target_of(m.key)) for m in members]

    def decide(self, step: int, worlds: Worlds) -> Orders:
        now = grid_seconds(self._trace, step)
        seen = {s.key: s.of(s.trace.demand[:step], worlds[s.key], now) for s in self._sights}
        result = tick(surroundings(now, seen, self._carbon), self._policy, self._state, now)
        self._state = result.state
        reasons = {decision.key: decision.final_reason for decision in result.fleet.decisions}
        return Orders(tuple((action.key, action.to_replicas) for action in result.fleet.actions), reasons)


class HeldPolicies:
    """A policy for each workload, none of which knows of the others: what they want is lowered to the limits.

    As in the operator floors come first, then priority, and what shrinks makes room before anything grows.
    """

    def __init__(self, scenario: Scenario, name: str, hpa_target: float | None = None) -> None:
        """Of policies with that name; ``hpa_target`` is that of an HPA for each of them instead."""
        self._members = scenario.members
        self._limits = Limits(scenario_fleet(scenario), {m.key: m.rules for m in scenario.members})
        self._policies: dict[WorkloadKey, Policy] = {
            m.key: policy_named(name, m.trace, m.rules)
            if hpa_target is None
            else Hpa(m.rules, m.trace.step_seconds, hpa_target)
            for m in scenario.members
        }

    def decide(self, step: int, worlds: Worlds) -> Orders:
        wanted, reasons = {}, {}
        for m in self._members:
            wanted[m.key], reasons[m.key] = self._policies[m.key].decide(step, m.trace.demand[:step], worlds[m.key])
        now = grid_seconds(self._members[0].trace, step)
        held = self._limits.held(worlds, wanted, now)
        changes = sorted(held.items(), key=lambda item: item[1].replicas - worlds[item[0]].replicas)
        writes = tuple((key, each.replicas) for key, each in changes if each.replicas != worlds[key].replicas)
        return Orders(writes, reasons | {key: each.step.reason for key, each in held.items() if each.step is not None})
