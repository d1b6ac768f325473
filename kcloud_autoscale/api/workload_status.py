"""`status` of a WorkloadOptimizer: what runs, what it costs, what was decided and why.

Everything is optional: a number without a source is absent, never invented.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from kcloud_autoscale.api.base import MAP_BY_TYPE, Condition, StatusModel


def _number(description: str) -> Any:
    return Field(default=None, description=description)


class Placement(StatusModel):
    """Replicas on one node or pool."""

    node: str | None = _number("Name of the node.")
    pool: str | None = _number("Accelerator model, capacity type and zone of the node.")
    replicas: int = Field(description="Replicas there.")


class ForecastErrors(StatusModel):
    """How the forecasts of the last day or so held; absent until the first window is over.

    After a restart it is learned anew from the history, with the forecast.
    """

    quantile: float | None = _number("The quantile that coverage and pinball are of.")
    coverage: float | None = _number("Share of lead windows whose peak stayed at or below it; should equal it.")
    pinball: float | None = _number("Mean pinball loss at it, in load per second; smaller is better.")
    pinball_last_value: float | None = _number("The same of the last value with calibrated intervals.")
    mase: float | None = _number(
        "Mean absolute error of the median over that of the last value; below 1 beats it. Absent where the last value "
        "never erred."
    )
    windows: float | None = _number("Lead windows behind it; one a day old counts half.")


class AskedModelStatus(StatusModel):
    """The model of spec.autoScaling.forecast.model."""

    model: str = Field(max_length=63, description="Its name.")
    fitted: bool = Field(description="Whether it speaks at all; message says why not.")
    weight: float | None = _number("Its share of what is said at level 0.95, 0-1; 0 where others are better.")
    message: str | None = _number("Why it is silent, or why its last fit failed.")


class ForecastStatus(StatusModel):
    """The forecast behind the last decision."""

    model: str | None = _number("Who was heard most.")
    trusted: bool | None = _number("Whether decisions rest on it; reason says why not.")
    reason: str | None = _number("Why it is or is not trusted, as one word.")
    quantile: float | None = _number("The quantile provisioned for, 0-1.")
    horizon_seconds: float | None = _number("Length of the window whose peak is forecast.")
    demand: float | None = _number("Observed load per second now.")
    peak: float | None = _number("Load per second at that quantile of the peak within the horizon.")
    next_peak: float | None = _number("Load per second of the next daily peak that is expected.")
    next_peak_time: datetime | None = _number("When that peak is expected.")
    history_seconds: float | None = _number("Length of the known demand behind the forecast.")
    error: ForecastErrors | None = _number("How well recent forecasts held.")
    asked: AskedModelStatus | None = _number("The model that was asked for beside the built-in ones.")


class BudgetStatus(StatusModel):
    """The budget of costConstraints in its running period."""

    limit: float | None = _number("USD that may be spent in the period.")
    period: str | None = _number("Total, Daily, Weekly or Monthly.")
    period_start_time: datetime | None = _number("When the running period began.")
    spent: float | None = _number("USD spent in the period.")
    remaining: float | None = _number("USD left in the period.")
    projected_exhaustion_time: datetime | None = _number("When it is spent at the present rate, if within the period.")


class UsageStatus(StatusModel):
    """What was used since the ledger began."""

    replica_seconds: float | None = _number("Replicas times seconds.")
    accelerator_seconds: float | None = _number("Devices times seconds.")
    usd: float | None = _number("USD.")
    joules: float | None = _number("Joules.")
    grams_co2e: float | None = Field(default=None, alias="gramsCO2e", description="Grams of CO2 equivalent.")
    demand_served: float | None = _number("Load served within capacity, in units of demand.")
    demand_missed: float | None = _number("Load beyond the ready capacity, in units of demand.")


class SavingsStatus(StatusModel):
    """What was saved: baselineUsage - compared - unproven. Negative when more was used."""

    baseline: str | None = _number("What it is measured against: hpa, static or previous.")
    since: datetime | None = _number("When counting began.")
    updated: datetime | None = _number("Until when it is counted.")
    usd: float | None = _number("USD saved while as much was served as the baseline would have.")
    unproven_usd: float | None = _number("USD not spent while less was served than the baseline would have: not saved.")
    joules: float | None = _number("Joules saved.")
    grams_co2e: float | None = Field(default=None, alias="gramsCO2e", description="Grams of CO2 equivalent saved.")
    watts: float | None = _number("Watts saved now.")
    lacking_replicas: int | None = _number("Ready replicas that lack now to serve as much as the baseline would.")
    spent_usd: float | None = _number("USD spent in all, also where the baseline is unknown; budgets rest on it.")
    estimated_usd: float | None = _number("Of it, what was assumed for times nobody watched, rather than read.")
    actual: UsageStatus | None = _number("What was used, whether or not the baseline is known.")
    compared: UsageStatus | None = _number("What was used while both sides are known.")
    baseline_usage: UsageStatus | None = _number("What the baseline would have used meanwhile.")
    unproven: UsageStatus | None = _number(
        "Of their difference, what does not count because less was served; demandMissed is what was missed beyond it."
    )


class MissesStatus(StatusModel):
    """What was missed lately: steps in which demand exceeded what served, counted with a half-life of five days.

    What the price of a miss is learned from, and what a new process goes on from.
    """

    steps: float = Field(ge=0, description="Steps with known demand.")
    own: float = Field(
        ge=0,
        description="Of those, missed: demand exceeded what the ready replicas serve. While something else sets the "
        "count, what the price in use would have missed.",
    )
    baseline: float = Field(ge=0, description="Of those, an HPA at 70 % would have missed.")
    by_price: list[float] = Field(
        max_length=64, description="Of those, missed at each price of a miss that was tried beside, lowest price first."
    )


class DecisionInput(StatusModel):
    """A number the decision rests on."""

    name: str = Field(max_length=253, description="What it is, with its unit.")
    value: float | None = _number("Its value; absent when it is missing.")
    at_least: bool | None = _number("The value is a lower bound: it may raise the count, it does not lower it.")
    age_seconds: float | None = _number("How old it was.")
    note: str | None = _number("Where it is from, why it is missing, or why it is a lower bound.")


class DecisionProposal(StatusModel):
    """How many replicas one signal asked for."""

    name: str = Field(
        max_length=253, description="The signal: observed-demand, forecast, keep (of what runs already), or a metric."
    )
    replicas: int = Field(description="What it asked for.")
    message: str | None = _number("The arithmetic.")


class DecisionStep(StatusModel):
    """What one rule did to the count."""

    stage: str = Field(max_length=63, description="guard, size, stabilize, place, consolidate, caps or stage.")
    before: int = Field(description="Replicas before the rule.")
    after: int = Field(description="Replicas after the rule.")
    reason: str = Field(max_length=1024, description="Why, as one word.")
    message: str | None = _number("Why, as a sentence with its numbers.")


class DecisionCap(StatusModel):
    """A hard limit and how the decision stands to it."""

    name: str = Field(max_length=253, description="maxCostPerHour, maxPowerUsage, budgetLimit, or POLICY/LIMIT.")
    limit: float = Field(description="In USD per hour, watts or USD, as the name says.")
    used: float | None = _number("By the decided count; absent when price or power of a replica is unknown.")
    binding: bool | None = _number("Whether it cut this decision.")
    floor_excess: float | None = _number("By how much minReplicas alone breaks it.")


class LastDecision(StatusModel):
    """The last decision, from its inputs to its outcome. The same id is in the Event and in the log."""

    id: str | None = _number("Unique for workload and instant.")
    time: datetime | None = _number("When it was made.")
    current_replicas: int | None = _number("Replicas that were ordered before.")
    desired_replicas: int | None = _number("Replicas that should run.")
    uncapped_replicas: int | None = _number("Replicas that would run without the hard limits.")
    reason: str | None = _number("Why, as one word: that of the last step that changed the count.")
    message: str | None = _number("Why, as a sentence with its numbers.")
    hold_reason: str | None = _number("Why nothing may change, if so.")
    outcome: str | None = Field(
        default=None,
        max_length=63,
        description="What became of it: Written, DryRun (checked, not kept), Stale (the count had changed meanwhile), "
        "Deferred (its turn has not come, or a shrink it needs was not made), Refused, Failed, Gone, or NotLeader. "
        "Absent when there was nothing to write.",
    )
    outcome_message: str | None = Field(
        default=None, max_length=1024, description="The write, and why it was not made where it was not."
    )
    written_replicas: int | None = _number("Replicas that were written; absent when nothing was.")
    quantile: float | None = _number("Quantile of the forecast it used.")
    lead_time_seconds: float | None = _number("Lead time it used.")
    lead_time_source: str | None = _number("spec, learned or default.")
    capacity_per_replica: float | None = _number(
        "Load per second that one replica serves within the objective; where the source is `at least`, the largest "
        "that has met it so far, which says nothing of larger loads."
    )
    capacity_source: str | None = _number("spec, learned, at least or unknown.")
    inputs: list[DecisionInput] | None = Field(default=None, max_length=64, description="What it rests on.")
    proposals: list[DecisionProposal] | None = Field(
        default=None, max_length=32, description="What each signal asked for."
    )
    steps: list[DecisionStep] | None = Field(default=None, max_length=32, description="What each rule did, in order.")
    caps: list[DecisionCap] | None = Field(default=None, max_length=32, description="The hard limits.")


class WorkloadOptimizerStatus(StatusModel):
    """What runs, what it costs, what was decided and why. Numbers without a source are absent."""

    phase: Literal["Pending", "Optimizing", "Optimized", "Failed", "Suspended"] | None = _number(
        "Pending (not looked at yet), Optimizing (replicas are changing), Optimized (as decided), Failed (nothing can "
        "be decided; see conditions), Suspended (mode Off or Recommend, dry run, or paused by hand)."
    )
    target: str | None = _number("What is scaled, as in Deployment/llm.")

    replicas: int | None = _number("Replicas that exist.")
    ready_replicas: int | None = _number("Replicas that serve.")
    pending_replicas: int | None = _number(
        "Replicas that were ordered and have no node: their pods wait for one, or could not be made. They cost nothing."
    )
    desired_replicas: int | None = _number("Replicas that should run.")
    current_cost: float | None = _number("USD per hour of all replicas now.")
    current_power: float | None = _number("Watts of all replicas now.")
    assigned_node: str | None = _number("The node that holds most replicas.")
    placement: list[Placement] | None = Field(default=None, max_length=256, description="Replicas per node or pool.")
    optimization_score: float | None = _number(
        "Share of demand served within its objective, times the least feasible cost for that demand over the actual "
        "cost; 1 is perfect."
    )
    original_replicas: int | None = _number("Replicas found at adoption; what deletionPolicy Restore returns to.")
    demand_source: str | None = Field(
        default=None,
        max_length=253,
        description="Where the load is read: a preset, query, or a preset that was found by what the pods export.",
    )
    forecast: ForecastStatus | None = _number("The forecast behind the last decision.")
    misses: MissesStatus | None = _number("What was missed lately, and what would have been at other prices of a miss.")
    budget: BudgetStatus | None = _number("The budget in its running period.")
    savings: SavingsStatus | None = _number("Actual beside the baseline.")
    last_decision: LastDecision | None = _number("The last decision, from its inputs to its outcome.")
    last_optimization_time: datetime | None = _number("When the replicas were last changed.")
    observed_generation: int | None = _number("Generation of the spec this is about.")
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        description="Ready, TargetFound, Conflict, MetricsAvailable, PriceKnown, PowerKnown, ForecastTrusted, "
        "WithinCaps, Schedulable, FieldsHonoured, StatusWritten.",
        json_schema_extra=MAP_BY_TYPE,
    )
