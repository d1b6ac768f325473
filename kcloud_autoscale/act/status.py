"""Decision and account -> status: every field from this cycle's data, absent where there is no source."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from kcloud_autoscale.account.ledger import Account, Budget, savings
from kcloud_autoscale.act.status_decision import last_decision
from kcloud_autoscale.api.conditions import CONFLICT, READY, TARGET_FOUND, find_condition, merge_conditions
from kcloud_autoscale.api.workload_status import (
    AskedModelStatus,
    BudgetStatus,
    ForecastErrors,
    ForecastStatus,
    MissesStatus,
    Placement,
    SavingsStatus,
    UsageStatus,
    WorkloadOptimizerStatus,
)
from kcloud_autoscale.decide.guard import FALLBACK, PAUSED, UNKNOWN
from kcloud_autoscale.domain.decision import ConditionFact, Decision, ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.observation import TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import BoundedReading, Sample, value_or_none
from kcloud_autoscale.domain.series import Forecast, LiveScores
from kcloud_autoscale.domain.state import Ledger, LevelState, Usage, WorkloadState
from kcloud_autoscale.domain.workload import Mode

Json = dict[str, Any]
Phase = Literal["Pending", "Optimizing", "Optimized", "Failed", "Suspended"]

# More nodes than that would make the object big; the rest is in the pods.
MAX_PLACEMENTS = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one cycle knows of one workload, ready to be written down.

    Attributes:
        policy: The optimizer, resolved.
        seen: What was observed; None when the workload was created after the look.
        decision: What was decided.
        account: What it is worth; None for the first instant.
        result: What became of the action; None when there was none.
        facts: Conditions on top of the decision's own: what became of the action.
    """

    policy: WorkloadPolicy
    seen: WorkloadObservation | None
    decision: Decision
    account: Account | None
    result: ScaleResult | None = None
    facts: tuple[ConditionFact, ...] = ()

    @property
    def scaled_at_seconds(self) -> float | None:
        """When this cycle changed the count; None when it did not."""
        return self.decision.at_seconds if self.result is not None and self.result.written else None


def workload_status(outcome: Outcome, previous: Mapping[str, Any], remembered: WorkloadState) -> Json:
    """The whole status of a WorkloadOptimizer.

    Args:
        outcome: Of this cycle.
        previous: Status as last read, for what outlives a cycle.
        remembered: What the next tick goes on from; some of it a new process does too.
    """
    decision, account, seen = outcome.decision, outcome.account, outcome.seen
    target = seen.target if seen is not None and isinstance(seen.target, TargetObservation) else None
    status = WorkloadOptimizerStatus(
        phase=phase_of(outcome, previous),
        target=f"{target.ref.kind}/{target.ref.name}" if target else None,
        replicas=target.pods.held + target.pods.unscheduled if target else None,
        ready_replicas=target.ready_replicas if target else None,
        pending_replicas=decision.pending_replicas if target else None,
        desired_replicas=decision.desired_replicas,
        current_cost=rounded(value_or_none(account.usd_per_hour)) if account else None,
        current_power=rounded(value_or_none(account.watts)) if account else None,
        placement=_placement(target),
        assigned_node=_fullest_node(target),
        optimization_score=rounded(account.score) if account else None,
        original_replicas=remembered.original_replicas,
        misses=_misses(remembered.level),
        demand_source=seen.demand_source or None if seen else None,
        forecast=_forecast(decision, seen.demand if seen else None),
        budget=_budget(account.budget, outcome.policy, account.ledger) if account and account.budget else None,
        savings=_savings(account, outcome.policy) if account else None,
        last_decision=last_decision(decision, outcome.result, remembered.decided.refusal),
        last_optimization_time=_time(outcome.scaled_at_seconds),
        observed_generation=outcome.policy.generation,
    )
    dumped = dump(status)
    if outcome.scaled_at_seconds is None and "lastOptimizationTime" in previous:
        dumped["lastOptimizationTime"] = previous["lastOptimizationTime"]
    facts = [*decision.conditions, *outcome.facts]
    dumped["conditions"] = _conditions(previous, facts, decision.at_seconds, outcome.policy.generation)
    return dumped


def broken_status(previous: Mapping[str, Any], reason: str, message: str, generation: int, now_seconds: float) -> Json:
    """Status of an optimizer for which nothing can be decided: nothing is done, everything else stays as it was."""
    fact = ConditionFact(READY, False, reason, f"nothing is scaled: {message}")
    return {
        **previous,
        "phase": "Failed",
        "observedGeneration": generation,
        "conditions": _conditions(previous, [fact], now_seconds, generation),
    }


def phase_of(outcome: Outcome, previous: Mapping[str, Any]) -> Phase:
    """One word for the printer column; the conditions say the rest.

    Args:
        outcome: Of this cycle.
        previous: Status before it.
    """
    decision = outcome.decision
    facts = {fact.type: fact for fact in (*decision.conditions, *outcome.facts)}
    broken = (CONFLICT in facts and facts[CONFLICT].status is True) or (
        TARGET_FOUND in facts and facts[TARGET_FOUND].status is False
    )
    if broken or (decision.desired_replicas is None and TARGET_FOUND in facts):
        return "Failed"
    if decision.desired_replicas is None:
        return "Pending"
    if is_blind(decision):
        return "Failed" if looked_at_before(previous) else "Pending"
    dry_run = outcome.result is not None and outcome.result.outcome is ScaleOutcome.DRY_RUN
    if outcome.policy.mode is not Mode.AUTO or decision.hold_reason == PAUSED or dry_run:
        return "Suspended"
    settled = decision.current_replicas == decision.desired_replicas == decision.ready_replicas
    return "Optimized" if settled else "Optimizing"


def is_blind(decision: Decision) -> bool:
    """Whether it rests on no data: what runs is held, or lifted to the fallback's replicas."""
    return decision.hold_reason in (UNKNOWN, FALLBACK)


def looked_at_before(previous: Mapping[str, Any]) -> bool:
    """Whether this is not the first look: then the metrics of a new workload have often not been scraped yet."""
    return find_condition(previous.get("conditions", []), READY) is not None


def dump(status: Any) -> Json:
    """A status model as the API server stores it."""
    dumped: Json = status.model_dump(by_alias=True, exclude_none=True, mode="json")
    return dumped


def rounded(value: float | None) -> float | None:
    """Six significant digits: more are noise that would make every status differ from the last. None if not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _conditions(
    previous: Mapping[str, Any], facts: Sequence[ConditionFact], now_seconds: float, generation: int
) -> list[dict[str, Any]]:
    return merge_conditions(previous.get("conditions", []), facts, now_seconds, generation)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)


def _nodes(target: TargetObservation) -> list[tuple[str, int]]:
    """Nodes by the replicas on them, fullest first, then by name."""
    counts = Counter(pod.node for pod in target.pods if pod.node is not None and not pod.finished)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _placement(target: TargetObservation | None) -> list[Placement] | None:
    nodes = _nodes(target)[:MAX_PLACEMENTS] if target else []
    return [Placement(node=node, replicas=count) for node, count in nodes] or None


def _fullest_node(target: TargetObservation | None) -> str | None:
    nodes = _nodes(target) if target else []
    return nodes[0][0] if nodes else None


def _forecast(decision: Decision, demand: BoundedReading | None) -> ForecastStatus | None:
    forecast = decision.forecast
    if forecast is None:
        return None
    return ForecastStatus(
        model=forecast.model,
        trusted=forecast.trusted,
        reason=forecast.reason,
        quantile=rounded(decision.level),
        horizon_seconds=forecast.horizon_seconds,
        demand=rounded(demand.value) if isinstance(demand, Sample) else None,
        peak=None if decision.level is None else rounded(forecast.at(decision.level)),
        history_seconds=forecast.history_seconds,
        error=_errors(forecast.scores),
        asked=_asked(forecast),
    )


def _errors(scores: LiveScores | None) -> ForecastErrors | None:
    if scores is None:
        return None
    return ForecastErrors(
        quantile=scores.quantile,
        coverage=rounded(scores.coverage),
        pinball=rounded(scores.pinball),
        pinball_last_value=rounded(scores.pinball_last_value),
        mase=rounded(scores.mase),
        windows=rounded(scores.windows),
    )


def _asked(forecast: Forecast) -> AskedModelStatus | None:
    asked = forecast.asked
    if asked is None:
        return None
    return AskedModelStatus(
        model=asked.model,
        fitted=asked.fitted,
        weight=dict(forecast.weights).get(asked.model, 0.0),
        message=asked.message or None,
    )


def _misses(level: LevelState | None) -> MissesStatus | None:
    """In full but for digits that no count of steps has."""
    if level is None or level.misses.steps <= 0.0:
        return None
    misses = level.misses
    return MissesStatus(
        steps=round(misses.steps, 2),
        own=round(misses.own, 2),
        baseline=round(misses.baseline, 2),
        by_price=[round(float(each), 2) for each in misses.by_price],
    )


def _budget(budget: Budget, policy: WorkloadPolicy, ledger: Ledger) -> BudgetStatus:
    return BudgetStatus(
        limit=budget.limit_usd,
        period=policy.caps.budget_period.value,
        period_start_time=_time(ledger.period_start_seconds),
        # Not rounded: the ledger goes on from here after a restart.
        spent=budget.spent_usd,
        remaining=rounded(budget.remaining_usd),
        projected_exhaustion_time=_time(budget.exhausted_at_seconds),
    )


def _savings(account: Account, policy: WorkloadPolicy) -> SavingsStatus:
    """The ledger in full: for people, and for the first process that keeps a record."""
    saved, ledger = savings(account.ledger), account.ledger
    return SavingsStatus(
        baseline=policy.baseline.value,
        since=datetime.fromtimestamp(ledger.since_seconds, UTC),
        updated=datetime.fromtimestamp(ledger.updated_seconds, UTC),
        usd=rounded(saved.usd),
        unproven_usd=rounded(ledger.unproven.usd),
        joules=rounded(saved.joules),
        grams_co2e=rounded(saved.grams_co2e),
        watts=rounded(account.watts_saved),
        lacking_replicas=account.lacking,
        spent_usd=ledger.spent_usd,
        estimated_usd=ledger.estimated_usd or None,
        actual=_usage(ledger.actual),
        compared=_usage(ledger.compared),
        baseline_usage=_usage(ledger.baseline),
        unproven=_usage(ledger.unproven),
    )


def _usage(usage: Usage) -> UsageStatus:
    return UsageStatus(
        replica_seconds=usage.replica_seconds,
        accelerator_seconds=usage.accelerator_seconds,
        usd=usage.usd,
        joules=usage.joules,
        grams_co2e=usage.grams_co2e,
        demand_served=usage.demand_served,
        demand_missed=usage.demand_missed,
    )
