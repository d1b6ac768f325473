"""`spec.autoScaling`: how many replicas, on which signals, how fast, how cautiously."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from kcloud_autoscale.api.base import MAP_BY_TYPE, NOT_BLANK_PATTERN, ApiModel, extra, fully
from kcloud_autoscale.api.rules import Rule, Said, when

CEILINGS = ("cost", "power")
MAX_REPLICAS = 10_000

_PLACEHOLDER = re.compile(r"\{\{[^}]*\}\}")


def _unknown_placeholders(query: str) -> Said:
    unknown = [found for found in _PLACEHOLDER.findall(query) if found not in ("{{namespace}}", "{{name}}")]
    return (unknown,) if unknown else None


_PLACEHOLDERS = Rule(
    cel="self.findAll('\\\\{\\\\{[^}]*\\\\}\\\\}').all(found, found in ['{{namespace}}', '{{name}}'])",
    check=_unknown_placeholders,
    text="unknown placeholder {}; only {{namespace}} and {{name}} are replaced",
    says=("self.findAll('\\\\{\\\\{[^}]*\\\\}\\\\}').filter(f, !(f in ['{{namespace}}', '{{name}}']))",),
)

Query = Annotated[
    str,
    Field(min_length=1, max_length=2048, pattern=NOT_BLANK_PATTERN, json_schema_extra=extra(_PLACEHOLDERS)),
]

MetricType = Literal["latency", "cpu", "memory", "gpu", "npu", "requests", "queue", "cost", "power"]


class Metric(ApiModel):
    """One signal that the replica count answers to."""

    rules = (
        Rule(
            cel="!(self.type in ['gpu', 'npu']) || self.threshold <= 100.0",
            check=when(lambda m: m.get("type") in ("gpu", "npu") and m["threshold"] > 100, "type", "threshold"),
            text="threshold of a {} metric is a utilization in percent: {} is above 100",
            says=("self.type", "self.threshold"),
            field=".threshold",
        ),
        Rule(
            cel="!has(self.quantile) || self.type == 'latency'",
            check=when(lambda m: "quantile" in m and m.get("type") != "latency", "quantile", "type"),
            text="quantile {} is set on a {} metric; only latency has quantiles",
            says=("self.quantile", "self.type"),
            field=".quantile",
        ),
        Rule(
            cel="!has(self.query) || !(self.type in ['cost', 'power'])",
            check=when(lambda m: "query" in m and m.get("type") in CEILINGS, "type"),
            text="query is set on a {} metric; cost and power are measured by the operator itself",
            says=("self.type",),
            field=".query",
        ),
    )

    type: MetricType = Field(
        description="What is measured. Targets, which more replicas bring down: latency (milliseconds), cpu, memory, "
        "gpu, npu (utilization in percent, mean over replicas), requests (per second and replica), queue (waiting per "
        "replica). Ceilings, which never scale up: cost (percent of maxCostPerHour where that is set, else USD per "
        "hour) and power (watts). Each type at most once; of several targets the one that needs most replicas wins.",
    )
    threshold: float = Field(
        gt=0,
        le=1e9,
        description="The value to stay below, in the unit of the type. Above a ceiling the predictive headroom is "
        "given up and only observed need may still grow; the hard limits are maxCostPerHour and maxPowerUsage.",
    )
    query: Query | None = Field(
        default=None,
        description="Your own PromQL instead of the built-in query of the type. {{namespace}} and {{name}} become "
        "those of the target. It must return one series, in the unit of the threshold: the total over the workload for "
        "requests and queue, the value itself for latency (milliseconds), the mean for utilizations (percent).",
    )
    quantile: float | None = Field(
        default=None, ge=0.5, lt=1, description="Latency only: the quantile to hold. 0.95 when not set."
    )


Preset = Literal["vllm", "sglang", "tgi", "triton", "kserve", "knative", "istio", "nginx", "ray-serve", "http"]


def _bad_label_names(labels: dict[str, str]) -> Said:
    bad = [name for name in labels if not fully(r"^[a-zA-Z_][a-zA-Z0-9_]*$").match(name)]
    return (sorted(bad),) if bad else None


class Demand(ApiModel):
    """Where the load of the workload is read: what is forecast, and what the replicas serve."""

    rules = (
        Rule(
            cel="has(self.preset) != has(self.query)",
            check=when(
                lambda d: ("preset" in d) == ("query" in d), lambda d: "both are" if "preset" in d else "neither is"
            ),
            text="exactly one of preset and query must be set, but {} set",
            says=("has(self.preset) ? 'both are' : 'neither is'",),
        ),
        Rule(
            cel="!has(self.labels) || has(self.preset)",
            check=when(lambda d: "labels" in d and "preset" not in d),
            text="labels narrow a preset's query; in a query of your own write them into it",
            field=".labels",
        ),
    )

    preset: Preset | None = Field(
        default=None,
        description="The serving stack whose own metrics tell the load in requests per second: vllm, sglang, tgi, "
        "triton, kserve, knative, istio, nginx, ray-serve, or http for the OpenTelemetry HTTP server metrics.",
    )
    query: Query | None = Field(
        default=None,
        description="PromQL for the load per second over the whole workload, instead of a preset. {{namespace}} and "
        "{{name}} become those of the target, escaped for use between quotes. It must return one series, as in "
        'sum(rate(requests_total{namespace="{{namespace}}"}[2m])).',
    )
    labels: dict[str, Annotated[str, Field(max_length=253)]] | None = Field(
        default=None,
        max_length=8,
        description="Further exact label matches for the preset's metrics, where namespace and pod names do not tell "
        "the workload: model_name for vllm, service for nginx, deployment for ray-serve.",
        json_schema_extra=extra(
            Rule(
                cel="self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",
                check=_bad_label_names,
                text="not Prometheus label names (letters, digits, underscores): {}",
                says=("self.filter(name, !name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",),
            )
        ),
    )


class ForecastSpec(ApiModel):
    """How the forecast of the demand is used."""

    enabled: bool = Field(
        default=True, description="False makes the workload purely reactive: the rule of the HPA on the metrics."
    )
    quantile: float | None = Field(
        default=None,
        gt=0.5,
        lt=1,
        description="Fixes the quantile of the peak demand that replicas are provisioned for. When not set it is "
        "chosen from what a miss and an idle replica cost, or from priority (0.80 at 0, 0.99 at 100), and adapted "
        "to maxViolationRatio.",
    )
    max_violation_ratio: float = Field(
        default=0.005,
        gt=0,
        le=0.5,
        description="The share of time in which demand may exceed what the ready replicas can serve. 0.005 is about "
        "7 minutes a day. Without effect where quantile is set.",
    )


class ScalingPolicy(ApiModel):
    """At most this much change per period."""

    type: Literal["Pods", "Percent"] = Field(description="What value counts: replicas, or percent of the replicas.")
    value: int = Field(ge=1, le=100_000, description="The largest change within the period.")
    period_seconds: int = Field(ge=1, le=1800, description="The period, looking back from now.")


class ScalingRulesSpec(ApiModel):
    """One direction of scaling, in the shape of the HPA."""

    stabilization_window_seconds: int | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="How long recommendations are remembered: a count is only left for one that no recommendation of "
        "this window argues against. 0 for scaling up and 300 for scaling down when not set.",
    )
    select_policy: Literal["Max", "Min", "Disabled"] | None = Field(
        default=None,
        description="Which of several policies counts: the one that allows most change (Max, the default), least "
        "change (Min), or no scaling in this direction at all (Disabled).",
    )
    policies: list[ScalingPolicy] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="Limits of the rate of change. When not set: for scaling up 4 replicas or 100 percent per 15 "
        "seconds, whichever is more; for scaling down 100 percent per 15 seconds.",
    )
    tolerance: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="The relative distance from the target within which nothing changes. 0.1 when not set.",
    )


class Behavior(ApiModel):
    """How fast replicas may change: the behavior of the HPA v2, with its defaults."""

    scale_up: ScalingRulesSpec | None = Field(default=None, description="Limits on adding replicas.")
    scale_down: ScalingRulesSpec | None = Field(default=None, description="Limits on removing replicas.")


class FallbackSpec(ApiModel):
    """What to do when the metrics stay unknown."""

    replicas: int = Field(
        ge=1,
        le=MAX_REPLICAS,
        description="Run at least this many replicas while the metrics are unknown. Never fewer than run already: "
        "unknown demand never scales down.",
    )
    after_seconds: int = Field(
        default=300, ge=0, le=86_400, description="How long the metrics must have been unknown before it applies."
    )


class AutoScaling(ApiModel):
    """How many replicas run, decided from observed and forecast demand."""

    rules = (
        Rule(
            cel="self.minReplicas <= self.maxReplicas",
            check=when(lambda a: a["minReplicas"] > a["maxReplicas"], "minReplicas", "maxReplicas"),
            text="minReplicas {} is above maxReplicas {}",
            says=("self.minReplicas", "self.maxReplicas"),
            field=".minReplicas",
        ),
        Rule(
            cel="!has(self.fallback) || self.fallback.replicas <= self.maxReplicas",
            check=when(
                lambda a: "fallback" in a and a["fallback"]["replicas"] > a["maxReplicas"],
                lambda a: a["fallback"]["replicas"],
                "maxReplicas",
            ),
            text="fallback.replicas {} is above maxReplicas {}",
            says=("self.fallback.replicas", "self.maxReplicas"),
            field=".fallback.replicas",
        ),
        Rule(
            cel="!has(self.fallback) || self.fallback.replicas >= self.minReplicas",
            check=when(
                lambda a: "fallback" in a and a["fallback"]["replicas"] < a["minReplicas"],
                lambda a: a["fallback"]["replicas"],
                "minReplicas",
            ),
            text="fallback.replicas {} is below minReplicas {}",
            says=("self.fallback.replicas", "self.minReplicas"),
            field=".fallback.replicas",
        ),
    )

    mode: Literal["Auto", "Recommend", "Off"] = Field(
        default="Auto",
        description="Auto sets the replicas. Recommend computes everything and writes it to the status, but touches "
        "nothing. Off only observes; write it in quotes, since YAML reads a bare Off as false.",
    )
    min_replicas: int = Field(
        default=1,
        ge=1,
        le=MAX_REPLICAS,
        description="The fewest replicas. No cost limit goes below it. (0 is not offered: a target that somebody "
        "scales to 0 by hand counts as paused and is left alone.)",
    )
    max_replicas: int = Field(ge=1, le=MAX_REPLICAS, description="The most replicas.")
    metrics: list[Metric] = Field(
        default_factory=list,
        max_length=9,
        description="The objectives. They size the workload by the rule of the HPA wherever there is no trusted "
        "forecast, and they define what a replica can serve: the load at which it just meets its target. When there "
        "is neither a target metric nor capacityPerReplica, the replicas are left as they are.",
        json_schema_extra=MAP_BY_TYPE,
    )
    demand: Demand | None = Field(
        default=None,
        description="Where the load is read that is forecast. When not set, the query of a requests metric serves; "
        "when there is none either, scaling is reactive on the metrics alone.",
    )
    capacity_per_replica: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="The load per second that one replica serves within its objectives, in the unit of demand. When "
        "not set it is learned from the history of load, replicas and the target metric.",
    )
    lead_time_seconds: int | None = Field(
        default=None,
        ge=1,
        le=7200,
        description="The time from ordering a replica to its serving, image pull and model load included; the forecast "
        "looks this far ahead. When not set it is learned from the start-ups of the pods, 300 until some are known.",
    )
    forecast: ForecastSpec | None = Field(
        default=None,
        description="How the forecast is used. Every cycle the peak of the demand within the lead time is forecast, "
        "as a quantile learned from 14 days of history; replicas for that peak are ordered now. Where the forecast has "
        "not earned trust (too little history, worse than the last value) the rule of the HPA decides.",
    )
    behavior: Behavior | None = Field(
        default=None,
        description="How fast replicas may change: windows, rates and tolerance with the fields and defaults of a "
        "HorizontalPodAutoscaler's spec.behavior.",
    )
    fallback: FallbackSpec | None = Field(
        default=None,
        description="What to do when the metrics stay unknown. When not set, the count is held.",
    )
