"""Several workloads that share caps, through their traces all at once, under the operator or under another policy.

Writes are carried out one after the other, and what runs is priced after each single write: a limit that is crossed
for the instant between two writes counts as crossed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.periods import period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod
from kcloud_autoscale.domain.units import usd
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.simulate.hindsight import LOWEST_TARGET, tuned
from kcloud_autoscale.simulate.limits import lowered_by_limits
from kcloud_autoscale.simulate.policies import POLICIES
from kcloud_autoscale.simulate.predictive import grid_seconds
from kcloud_autoscale.simulate.scenario import HAIR, Scenario
from kcloud_autoscale.simulate.scenario_policies import HeldPolicies, OperatorOfAll, ScenarioPolicy
from kcloud_autoscale.simulate.score import Score, beside_hpa, score, total_score
from kcloud_autoscale.simulate.world import Run, World, initial_replicas

Watch = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True, slots=True, eq=False)
class ScenarioOutcome:
    """One run and score per member, in order, and how the shared limits fared.

    Attributes:
        scenario: What it lived through.
        runs: One per member.
        scores: One per member.
        peaks: For each shared limit the most that was ever used of it.
        budgets: Name, limit and the most that was spent in one of its periods, of every budget of a cost scope.
        note: What the name of the policy does not say.
        saved_fraction: Of all replica-hours of the HPA in the same scenario, at equal service; None where none ran.
    """

    scenario: Scenario
    runs: tuple[Run, ...]
    scores: tuple[Score, ...]
    peaks: tuple[float, ...]
    budgets: tuple[tuple[str, float, float], ...] = ()
    note: str = ""
    saved_fraction: float | None = None

    @property
    def total(self) -> Score:
        """All members together; loads of different units do not add up."""
        return replace(total_score(self.scores), saved_fraction=self.saved_fraction)


def replay_scenario(
    scenario: Scenario, policies: Sequence[str] = ("predictive",), watch: Watch = lambda steps: steps
) -> dict[str, ScenarioOutcome]:
    """All workloads through their traces together, once under each policy.

    Args:
        scenario: The workloads and the limits they share.
        policies: Names from `POLICIES`; ``hpa-tuned`` is one target for all, tuned to the violations of ``predictive``.
        watch: Goes through the steps of our own policy, as a progress bar does.

    Raises:
        ConfigError: An unknown policy, or traces, rules and limits that do not fit each other.
    """
    scenario.check()
    unknown = [name for name in policies if name not in POLICIES]
    if unknown:
        raise ConfigError(f"unknown policy {', '.join(unknown)}; there are {', '.join(POLICIES)}")
    outcomes: dict[str, ScenarioOutcome] = {}
    # Ours first: the tuned HPA is given the violations we have.
    for name in sorted(policies, key=lambda name: name == "hpa-tuned"):
        if name == "predictive":
            outcomes[name] = _replayed(scenario, OperatorOfAll(scenario), watch)
        elif name == "hpa-tuned":
            ours = outcomes.get("predictive") or _replayed(scenario, OperatorOfAll(scenario), watch)
            outcomes[name] = _tuned(scenario, ours.total.violation_fraction)
        else:
            outcomes[name] = _replayed(_world_of(name, scenario), HeldPolicies(scenario, name))
    hpa = outcomes.get("hpa")
    return {name: outcomes[name] if hpa is None else _beside(outcomes[name], hpa) for name in policies}


def _beside(outcome: ScenarioOutcome, hpa: ScenarioOutcome) -> ScenarioOutcome:
    """With what was saved beside the HPA of each workload, nothing while less was served."""
    rows = zip(outcome.scores, outcome.runs, hpa.runs, outcome.scenario.members, strict=True)
    scores = tuple(beside_hpa(scored, run, other, member.rules) for scored, run, other, member in rows)
    hours = [scored.replica_hours for scored in hpa.scores]
    saved = sum((scored.saved_fraction or 0.0) * each for scored, each in zip(scores, hours, strict=True))
    total = sum(hours)
    return replace(outcome, scores=scores, saved_fraction=saved / total if total else None)


def _tuned(scenario: Scenario, most_violations: float) -> ScenarioOutcome:
    def at_target(target: float) -> tuple[ScenarioOutcome, Score]:
        outcome = _replayed(scenario, HeldPolicies(scenario, "hpa", target))
        return outcome, outcome.total

    found = tuned(at_target, most_violations)
    if found is None:
        outcome, note = at_target(LOWEST_TARGET)[0], f"even a target of 5 % violates more than {most_violations:.2%}"
    else:
        outcome, _, target = found
        note = f"target {target:.0%} for all, the cheapest at no more than {most_violations:.2%} violations"
    return replace(outcome, note="; ".join(part for part in (note, outcome.note) if part))


def _world_of(name: str, scenario: Scenario) -> Scenario:
    """For the clairvoyant scaling is free and at once: what is ordered serves."""
    if name != "clairvoyant":
        return scenario
    return replace(
        scenario, members=tuple(replace(m, rules=replace(m.rules, startup_seconds=0.0)) for m in scenario.members)
    )


def _replayed(scenario: Scenario, policy: ScenarioPolicy, watch: Watch = lambda steps: steps) -> ScenarioOutcome:
    live = _Live(scenario, policy)
    rules, trace = scenario.members[0].rules, scenario.members[0].trace
    for step in watch(range(rules.history_steps, len(trace.demand))):
        live.step(step)
    runs = tuple(live.run(index) for index in range(len(scenario.members)))
    scores = tuple(score(run, member.rules) for run, member in zip(runs, scenario.members, strict=True))
    notes = [f"{run.policy}: {note}" for run in runs if (note := lowered_by_limits(run))]
    return ScenarioOutcome(scenario, runs, scores, tuple(live.peaks), _budgets(scenario, runs), "; ".join(notes))


class _Live:
    """Where the worlds of a scenario stand, and what they did so far."""

    def __init__(self, scenario: Scenario, policy: ScenarioPolicy) -> None:
        members, starts = scenario.members, _starts(scenario)
        self.scenario, self.policy = scenario, policy
        self.worlds = {
            m.key: World.at_rest(starts[m.key], m.rules.startup_steps(m.trace.step_seconds)) for m in members
        }
        self.rows: list[list[tuple[int, int, str]]] = [[] for _ in members]
        self.peaks = [0.0] * len(scenario.shared_caps)

    def step(self, step: int) -> None:
        """One decision for all, its writes one after the other."""
        for world in self.worlds.values():
            world.mature(step)
        orders = self.policy.decide(step, self.worlds)
        for key, replicas in orders.writes:
            self.worlds[key].order(step, replicas)
            self._measure()
        self._measure()
        for rows, (key, world) in zip(self.rows, self.worlds.items(), strict=True):
            rows.append((world.replicas, world.ready, orders.reasons[key]))

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
