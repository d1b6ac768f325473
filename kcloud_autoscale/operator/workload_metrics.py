"""Every metric of a single workload, declared in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kcloud_autoscale.act.status import Outcome
from kcloud_autoscale.operator import series
from kcloud_autoscale.operator.series import Points
from kcloud_autoscale.operator.workload_counters import DIRECTIONS, Name

WORKLOAD = ("namespace", "name")


@dataclass(frozen=True, slots=True)
class WorkloadMetric:
    """One gauge read from outcomes; ``points`` gives its values with the labels beyond namespace and name."""

    name: str
    help: str
    points: Callable[[Outcome], Points]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkloadCounter:
    """One counter of `WorkloadCounters`; ``names`` are its series, by the labels beyond namespace and name."""

    name: str
    help: str
    names: tuple[tuple[tuple[str, ...], Name], ...]
    labels: tuple[str, ...] = ()


# Name, field of the ledger, words.
_TOTALS = (
    ("cost_usd", "usd", "US dollars"),
    ("energy_joules", "joules", "Joules"),
    ("carbon_grams", "grams_co2e", "Grams of CO2 equivalent"),
    ("replica_seconds", "replica_seconds", "Replicas times seconds"),
    ("accelerator_seconds", "accelerator_seconds", "Accelerators times seconds"),
    ("demand_served", "demand_served", "Load within the ready capacity, in units of demand"),
    ("demand_missed", "demand_missed", "Load beyond the ready capacity, in units of demand"),
)
# Saved is baseline - compared - unproven: each is a counter, because what was saved may fall and a counter may not.
_SIDES = (
    ("actual", "all that ran, whatever the baseline knows"),
    ("compared", "ours, while the baseline's is known too"),
    ("baseline", "the baseline's, while ours is known too"),
    ("unproven", "of baseline minus compared, what is not saved because less was served"),
)
_UNPROVEN = ("cost_usd", "energy_joules", "carbon_grams", "replica_seconds", "demand_missed")


def _counters() -> tuple[WorkloadCounter, ...]:
    """Four sums of each total, as they grow in this process."""
    return tuple(
        WorkloadCounter(f"kcloud_{side}_{name}_total", f"{words}: {which}.", (((), (side, field)),))
        for side, which in _SIDES
        for name, field, words in _TOTALS
        if side != "unproven" or name in _UNPROVEN
    )


WORKLOAD_COUNTERS = (
    WorkloadCounter(
        "kcloud_workload_optimizations_total",
        "Changes of the replica count that were written.",
        tuple(((direction,), ("scaled", direction)) for direction in DIRECTIONS),
        ("direction",),
    ),
    *_counters(),
    WorkloadCounter(
        "kcloud_spent_usd_total",
        "The same as kcloud_actual_cost_usd_total, by its earlier name. Budgets rest on it.",
        (((), ("actual", "usd")),),
    ),
)

# What sums over a time are taken of: name of the total, and the sides that stand beside each other.
_LIFETIME = {
    "cost_usd": ("actual", "compared", "baseline", "unproven"),
    "energy_joules": ("actual", "compared", "baseline", "unproven"),
    "carbon_grams": ("actual", "compared", "baseline", "unproven"),
    "replica_seconds": ("compared", "baseline"),
    "demand_served": ("compared", "baseline"),
    "demand_missed": ("compared", "baseline"),
}


def _lifetime_gauges() -> tuple[WorkloadMetric, ...]:
    """Totals of the ledger, which outlive the process and are on record before they are seen here."""
    which = dict(_SIDES)
    return tuple(
        WorkloadMetric(
            f"kcloud_lifetime_{side}_{name}",
            f"{words} since counting began: {which[side]}.",
            series.lifetime(side, field),
            ("since",),
        )
        for name, field, words in _TOTALS
        for side in _LIFETIME.get(name, ())
    )


WORKLOAD_METRICS = (
    # The design named it like a counter, but savings are signed and a counter may not fall: it is a gauge.
    WorkloadMetric(
        "kcloud_cost_savings_total",
        "US dollars saved against the baseline since counting began, while as much was served; a gauge, negative when "
        "more was spent. For a rate: kcloud_baseline_cost_usd_total - kcloud_compared_cost_usd_total - "
        "kcloud_unproven_cost_usd_total.",
        series.saved("usd"),
    ),
    WorkloadMetric(
        "kcloud_power_savings_watts",
        "Watts of the baseline minus ours, now; not above 0 while less is served than the baseline would.",
        series.watts_saved_now,
    ),
    WorkloadMetric(
        "kcloud_lacking_replicas",
        "Ready replicas that lack now to serve as much as the baseline would; while there are any, nothing is saved.",
        series.lacking,
    ),
    *_lifetime_gauges(),
    WorkloadMetric(
        "kcloud_optimization_score",
        "Share of demand served within its objective times least feasible cost over actual cost, 0-1.",
        series.score,
    ),
    WorkloadMetric("kcloud_cost_usd_per_hour", "US dollars per hour of all replicas now.", series.usd_per_hour),
    WorkloadMetric("kcloud_power_watts", "Watts of all replicas now.", series.watts),
    WorkloadMetric("kcloud_desired_replicas", "Replicas that should run.", series.desired),
    WorkloadMetric("kcloud_current_replicas", "Replicas ordered when last looked at.", series.current),
    WorkloadMetric("kcloud_ready_replicas", "Replicas that serve.", series.ready),
    WorkloadMetric(
        "kcloud_pending_replicas",
        "Replicas that were ordered and have no node: their pods wait for one, or could not be made.",
        series.pending,
    ),
    WorkloadMetric(
        "kcloud_schedulable_replicas",
        "Most replicas that find a node; absent while none was refused one.",
        series.schedulable,
    ),
    WorkloadMetric("kcloud_baseline_replicas", "Replicas the baseline would run.", series.baseline_replicas),
    WorkloadMetric("kcloud_uncapped_replicas", "Replicas without the hard limits.", series.uncapped),
    WorkloadMetric("kcloud_demand_per_second", "Observed load per second.", series.demand),
    WorkloadMetric(
        "kcloud_demand_at_least_per_second",
        "Lower bound of the load per second, while a part of the Ready pods has no samples.",
        series.demand_at_least,
    ),
    WorkloadMetric(
        "kcloud_forecast_demand_per_second",
        "Quantiles of the peak load per second within the lead window.",
        series.quantiles,
        ("quantile",),
    ),
    WorkloadMetric("kcloud_forecast_level", "Quantile level that is provisioned for, 0-1.", series.level),
    WorkloadMetric(
        "kcloud_forecast_needed_demand_per_second",
        "Load per second that is provisioned for: the forecast at that level.",
        series.needed,
    ),
    WorkloadMetric(
        "kcloud_forecast_error",
        "How recent forecasts held: coverage (0-1) and pinball loss (load per second) of the 0.95 quantile, the "
        "loss of the last value beside it, mase of the median (below 1 beats the last value).",
        series.errors,
        ("score",),
    ),
    WorkloadMetric("kcloud_forecast_weight_ratio", "Share of each model, 0-1.", series.weights, ("model",)),
    WorkloadMetric(
        "kcloud_forecast_asked_model_fitted",
        "1 while the model that was asked for speaks, 0 while it is silent; `status.forecast.asked` says why.",
        series.asked,
        ("model",),
    ),
    WorkloadMetric("kcloud_forecast_trusted", "1 when decisions may rest on the forecast.", series.trusted),
    WorkloadMetric("kcloud_lead_time_seconds", "Decision to ready replica.", series.lead_time, ("source",)),
    WorkloadMetric(
        "kcloud_capacity_per_replica_per_second",
        "Load per second one replica serves within the objective.",
        series.capacity,
        ("source",),
    ),
    WorkloadMetric(
        "kcloud_capacity_at_least_per_second",
        "Largest load per second of one replica seen to meet the objective, while none has missed it.",
        series.capacity_at_least,
    ),
    WorkloadMetric(
        "kcloud_replica_power_watts",
        "Watts counted per replica against caps: measured upper quantile or estimate.",
        series.replica_watts,
    ),
    WorkloadMetric("kcloud_replica_price_usd_per_hour", "US dollars per replica and hour.", series.replica_price),
    WorkloadMetric("kcloud_cap_limit", "Hard limits, in the unit of each: $/h, watts, or $.", series.limits, ("cap",)),
    WorkloadMetric(
        "kcloud_cap_headroom_ratio",
        "Share of a hard limit that is left; negative when it is exceeded.",
        series.headroom,
        ("cap",),
    ),
    WorkloadMetric("kcloud_budget_remaining_usd", "US dollars left in the budget period.", series.budget_remaining),
    WorkloadMetric(
        "kcloud_budget_exhaustion_timestamp_seconds",
        "When the budget is spent at the present rate, if within its period.",
        series.budget_exhaustion,
    ),
    WorkloadMetric("kcloud_decision_reason", "1 for the reason of the last decision.", series.reason, ("reason",)),
    WorkloadMetric(
        "kcloud_condition", "1 for the present status of each condition.", series.conditions, ("condition", "status")
    ),
)
