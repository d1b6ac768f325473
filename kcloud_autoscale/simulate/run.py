"""Several policies through the same trace, and how they compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import CostScope, FleetPolicy, WorkloadPolicy
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.replay import ReplayedForecaster
from kcloud_autoscale.simulate.hindsight import LOWEST_TARGET, tuned_hpa
from kcloud_autoscale.simulate.limits import hold_of, lowered_by_limits
from kcloud_autoscale.simulate.policies import POLICIES, Hpa, policy_named
from kcloud_autoscale.simulate.predictive import Predictive, fleet_policy, whole_history
from kcloud_autoscale.simulate.score import Score, beside_hpa, score
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.trail import Trail
from kcloud_autoscale.simulate.world import Run, WorldRules, replay


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one policy did and what it was worth.

    ``note`` says what the name does not; ``trail`` is what our own policy thought, where it was asked to remember.
    """

    run: Run
    score: Score
    note: str = ""
    trail: Trail | None = None


def simulate(
    trace: Trace,
    rules: WorldRules,
    policies: Sequence[str],
    workload: WorkloadPolicy,
    on_done: Callable[[str], None],
    remember: bool = False,
    watch: Callable[[Iterable[int]], Iterable[int]] = lambda steps: steps,
    scopes: tuple[CostScope, ...] = (),
) -> dict[str, Outcome]:
    """Replay a trace under each policy.

    Args:
        trace: Demand per step.
        rules: Of the world.
        policies: Names from `POLICIES`; ``hpa-tuned`` is tuned to the violations of ``predictive``.
        workload: Knobs of our own policy; its hard limits hold for every policy.
        on_done: Told the name of each policy that is finished.
        remember: Keep what our own policy thought, for a report.
        watch: Goes through the steps of our own policy, as a progress bar does.
        scopes: Budgets of CostPolicies, which hold for every policy too.

    Raises:
        ConfigError: An unknown policy, or rules and trace that do not fit.
    """
    rules.check(trace)
    unknown = [name for name in policies if name not in POLICIES]
    if unknown:
        raise ConfigError(f"unknown policy {', '.join(unknown)}; there are {', '.join(POLICIES)}")
    made = _Made(trace, rules, workload, fleet_policy(trace, rules, workload, scopes))
    outcomes: dict[str, Outcome] = {}
    # Ours first: the tuned HPA is given the violations we have.
    for name in sorted(policies, key=lambda name: name == "hpa-tuned"):
        if name == "hpa-tuned":
            outcomes[name] = made.tuned(outcomes)
        elif name == "predictive":
            outcomes[name] = made.ours(remember, watch)
        else:
            outcomes[name] = made.other(name)
        on_done(name)
    hpa = outcomes.get("hpa")
    if hpa is not None:
        outcomes = {name: _beside(each, hpa, rules) for name, each in outcomes.items()}
    return {name: outcomes[name] for name in policies}


def _beside(outcome: Outcome, hpa: Outcome, rules: WorldRules) -> Outcome:
    return replace(outcome, score=beside_hpa(outcome.score, outcome.run, hpa.run, rules))


def renamed(outcome: Outcome, name: str) -> Outcome:
    """The same under another name, for a second line in one table."""
    return replace(outcome, run=replace(outcome.run, policy=name), score=replace(outcome.score, policy=name))


class _Made:
    """A world, and what each policy makes of it; the operator holds its limits itself, the others are held to them."""

    def __init__(self, trace: Trace, rules: WorldRules, workload: WorkloadPolicy, fleet: FleetPolicy) -> None:
        self.trace, self.rules, self.key, self.fleet = trace, rules, workload.key, fleet
        self.new_hold = hold_of(fleet, trace, rules)

    def ours(
        self,
        remember: bool = False,
        watch: Callable[[Iterable[int]], Iterable[int]] = lambda steps: steps,
    ) -> Outcome:
        trace, rules = self.trace, self.rules
        # All forecasts at once, each resting on the steps before it only: the numbers are those of the live one.
        taught = rules.taught_steps(trace.step_seconds)
        forecaster = ReplayedForecaster(whole_history(trace, self.key), taught, knowledge=default_knowledge()[0])
        policy = Predictive(trace, rules, forecaster, self.fleet)
        policy.trail = Trail(rules.capacity_per_replica) if remember else None
        return self._outcome(replay(trace, rules, policy, watch), trail=policy.trail)

    def other(self, name: str) -> Outcome:
        policy = policy_named(name, self.trace, self.rules)
        # Scaling free and at once: what the clairvoyant orders serves.
        rules = replace(self.rules, startup_seconds=0.0) if name == "clairvoyant" else self.rules
        return self._outcome(replay(self.trace, rules, policy, hold=self.new_hold()))

    def tuned(self, done: dict[str, Outcome]) -> Outcome:
        ours = done["predictive"] if "predictive" in done else self.ours()
        allowed = ours.score.violation_fraction
        found = tuned_hpa(self.trace, self.rules, allowed, self.new_hold)
        if found is None:
            hpa = Hpa(self.rules, self.trace.step_seconds, LOWEST_TARGET, "hpa-tuned")
            run = replay(self.trace, self.rules, hpa, hold=self.new_hold())
            return self._outcome(run, f"even a target of 5 % violates more than {allowed:.2%} of steps")
        run, _, target = found
        return self._outcome(run, f"target {target:.0%}, the cheapest at no more than {allowed:.2%} violations")

    def _outcome(self, run: Run, note: str = "", trail: Trail | None = None) -> Outcome:
        notes = [part for part in (note, lowered_by_limits(run)) if part]
        return Outcome(run, score(run, self.rules), "; ".join(notes), trail)
