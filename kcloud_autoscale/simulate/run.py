"""Several policies through the same trace, and how they compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import CostScope, WorkloadPolicy
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.replay import ReplayedForecaster
from kcloud_autoscale.simulate.hindsight import tuned_hpa
from kcloud_autoscale.simulate.policies import Hpa, Keda, Phpa, clairvoyant, oracle, season_steps, static_peak
from kcloud_autoscale.simulate.predictive import Predictive, fleet_policy, whole_history
from kcloud_autoscale.simulate.score import Score, beside_hpa, score
from kcloud_autoscale.simulate.traces import Trace
from kcloud_autoscale.simulate.trail import Trail
from kcloud_autoscale.simulate.world import Policy, Run, WorldRules, replay

POLICIES = ("predictive", "hpa", "hpa-tuned", "keda", "phpa", "static", "oracle", "clairvoyant")


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
        workload: Knobs and hard limits of our own policy.
        on_done: Told the name of each policy that is finished.
        remember: Keep what our own policy thought, for a report.
        watch: Goes through the steps of our own policy, as a progress bar does.
        scopes: Budgets of CostPolicies that our own policy is under.

    Raises:
        ConfigError: An unknown policy, or rules and trace that do not fit.
    """
    rules.check(trace)
    unknown = [name for name in policies if name not in POLICIES]
    if unknown:
        raise ConfigError(f"unknown policy {', '.join(unknown)}; there are {', '.join(POLICIES)}")
    outcomes: dict[str, Outcome] = {}
    # Ours first: the tuned HPA is given the violations we have.
    for name in sorted(policies, key=lambda name: name == "hpa-tuned"):
        if name == "hpa-tuned":
            outcomes[name] = _tuned(trace, rules, workload, outcomes, scopes)
        elif name == "predictive":
            outcomes[name] = _ours(trace, rules, workload, remember, watch, scopes)
        else:
            outcomes[name] = _other(name, trace, rules)
        on_done(name)
    hpa = outcomes.get("hpa")
    if hpa is not None:
        outcomes = {name: _beside(each, hpa, rules) for name, each in outcomes.items()}
    return {name: outcomes[name] for name in policies}


def _beside(outcome: Outcome, hpa: Outcome, rules: WorldRules) -> Outcome:
    return replace(outcome, score=beside_hpa(outcome.score, outcome.run, hpa.run, rules))


def _ours(
    trace: Trace,
    rules: WorldRules,
    workload: WorkloadPolicy,
    remember: bool = False,
    watch: Callable[[Iterable[int]], Iterable[int]] = lambda steps: steps,
    scopes: tuple[CostScope, ...] = (),
) -> Outcome:
    # All forecasts at once, each resting on the steps before it only: the numbers are those of the live one.
    histories = whole_history(trace, workload.key)
    taught = rules.taught_steps(trace.step_seconds)
    forecaster = ReplayedForecaster(histories, taught, knowledge=default_knowledge()[0])
    policy = Predictive(trace, rules, forecaster, fleet_policy(trace, rules, workload, scopes))
    policy.trail = Trail(rules.capacity_per_replica) if remember else None
    run = replay(trace, rules, policy, watch)
    return Outcome(run, score(run, rules), trail=policy.trail)


def _other(name: str, trace: Trace, rules: WorldRules) -> Outcome:
    run = clairvoyant(trace, rules) if name == "clairvoyant" else replay(trace, rules, _policy(name, trace, rules))
    return Outcome(run, score(run, rules))


def _policy(name: str, trace: Trace, rules: WorldRules) -> Policy:
    step = trace.step_seconds
    if name == "hpa":
        return Hpa(rules, step)
    if name == "keda":
        return Keda(rules, step)
    if name == "phpa":
        return Phpa(Hpa(rules, step), season_steps(step))
    return static_peak(trace, rules) if name == "static" else oracle(trace, rules)


def _tuned(
    trace: Trace, rules: WorldRules, workload: WorkloadPolicy, done: dict[str, Outcome], scopes: tuple[CostScope, ...]
) -> Outcome:
    ours = done["predictive"] if "predictive" in done else _ours(trace, rules, workload, scopes=scopes)
    allowed = ours.score.violation_fraction
    found = tuned_hpa(trace, rules, allowed)
    if found is None:
        run = replay(trace, rules, Hpa(rules, trace.step_seconds, 0.05, "hpa-tuned"))
        return Outcome(run, score(run, rules), f"even a target of 5 % violates more than {allowed:.2%} of steps")
    run, scored, target = found
    return Outcome(run, scored, f"target {target:.0%}, the cheapest at no more than {allowed:.2%} violations")
