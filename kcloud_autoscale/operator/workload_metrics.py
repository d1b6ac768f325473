"""Every metric of a single workload, declared in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kcloud_autoscale.act.status import Outcome
from kcloud_autoscale.operator import series
from kcloud_autoscale.operator.series import Points

WORKLOAD = ("namespace", "name")


@dataclass(frozen=True, slots=True)
class WorkloadMetric:
    """One metric read from outcomes; ``points`` gives its values with the labels beyond namespace and name."""

    name: str
    help: str
    points: Callable[[Outcome], Points]
    labels: tuple[str, ...] = ()
    counter: bool = False


# Name, field of the ledger, words. Ours and the baseline's are two counters each: subtract them in the dashboard.
_TOTALS = (
    ("cost_usd", "usd", "US dollars"),
    ("energy_joules", "joules", "Joules"),
    ("carbon_grams", "grams_co2e", "Grams of CO2 equivalent"),
    ("replica_seconds", "replica_seconds", "Replicas times seconds"),
    ("accelerator_seconds", "accelerator_seconds", "Accelerators times seconds"),
    ("demand_served", "demand_served", "Load within the ready capacity, in units of demand"),
    ("demand_missed", "demand_missed", "Load beyond the ready capacity, in units of demand"),
)


def _ledger_metrics() -> tuple[WorkloadMetric, ...]:
    """Both sides of each total, over the intervals in which both are known."""
    ours = [
        WorkloadMetric(f"kcloud_actual_{name}_total", f"{words}: ours.", series.actual(field), counter=True)
        for name, field, words in _TOTALS
    ]
    theirs = [
        WorkloadMetric(
            f"kcloud_baseline_{name}_total", f"{words}: the baseline's.", series.baseline(field), counter=True
        )
        for name, field, words in _TOTALS
    ]
    return (*ours, *theirs)


WORKLOAD_METRICS = (
    # The design named it like a counter, but savings are signed and a counter may not fall: it is a gauge.
    WorkloadMetric(
        "kcloud_cost_savings_total",
        "US dollars saved against the baseline since counting began; a gauge, negative when more was spent. For rates "
        "subtract kcloud_actual_cost_usd_total from kcloud_baseline_cost_usd_total.",
        series.usd_saved,
    ),
    WorkloadMetric("kcloud_power_savings_watts", "Watts of the baseline minus ours, now.", series.watts_saved_now),
    WorkloadMetric(
        "kcloud_optimization_score",
        "Share of demand served within its objective times least feasible cost over actual cost, 0-1.",
        series.score,
    ),
    *_ledger_metrics(),
    WorkloadMetric(
        "kcloud_spent_usd_total",
        "US dollars spent, also while the baseline is unknown. Budgets rest on it.",
        series.spent,
        counter=True,
    ),
    WorkloadMetric("kcloud_cost_usd_per_hour", "US dollars per hour of all replicas now.", series.usd_per_hour),
    WorkloadMetric("kcloud_power_watts", "Watts of all replicas now.", series.watts),
    WorkloadMetric("kcloud_desired_replicas", "Replicas that should run.", series.desired),
    WorkloadMetric("kcloud_current_replicas", "Replicas ordered when last looked at.", series.current),
    WorkloadMetric("kcloud_ready_replicas", "Replicas that serve.", series.ready),
    WorkloadMetric("kcloud_baseline_replicas", "Replicas the baseline would run.", series.baseline_replicas),
    WorkloadMetric("kcloud_uncapped_replicas", "Replicas without the hard limits.", series.uncapped),
    WorkloadMetric("kcloud_demand_per_second", "Observed load per second.", series.demand),
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
        "Live errors of the forecast by score: pinball loss in load per second, coverage 0-1, others relative.",
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
