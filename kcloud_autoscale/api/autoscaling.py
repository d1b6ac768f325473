"""`spec.autoScaling`: how many replicas, on which signals, how fast, how cautiously."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from kcloud_autoscale.api.base import MAP_BY_TYPE, ApiModel
from kcloud_autoscale.api.rules import Rule, Said, when
from kcloud_autoscale.api.signals import Demand, Metric
from kcloud_autoscale.domain.policy import GATEWAY_PRESETS

MAX_REPLICAS = 10_000


class ForecastSpec(ApiModel):
    """How the forecast of the demand is made and used."""

    rules = (
        Rule(
            cel="self.enabled || !has(self.model)",
            check=when(lambda f: not f["enabled"] and "model" in f, "model"),
            text="model {} is asked for where enabled is false",
            says=("self.model",),
            field=".model",
        ),
    )

    enabled: bool = Field(
        default=True, description="False makes the workload purely reactive: the rule of the HPA on the metrics."
    )
    quantile: float | None = Field(
        default=None,
        gt=0.5,
        lt=1,
        description="Fixes the quantile of the peak demand that replicas are provisioned for. When not set it is "
        "chosen at every step from what certainty costs just then, so that no more is missed than maxViolationRatio "
        "allows.",
    )
    max_violation_ratio: float | None = Field(
        default=None,
        gt=0,
        le=0.5,
        description="The share of time in which demand may exceed what the ready replicas can serve; 0.01 is about 14 "
        "minutes a day. When not set it is 0.01, or what an HPA at 70 % would have missed on the same demand where "
        "that is more, stricter with a higher priority. Without effect where quantile is set.",
    )
    model: Literal["AutoReg", "ETS", "HoltWinters", "SARIMAX", "STL"] | None = Field(
        default=None,
        description="Asks for one more model, of statsmodels, fitted every hour to the last week of this workload. "
        "It is one voice more, heard as much as its recent errors earn it: it never silences the built-in "
        "forecasters, and a poor one is not heard. status.forecast.asked says how much it is, or why it is silent. "
        "Worth a try where a backtest of online-ensemble+autoreg and the like finds it better. In seconds of a core "
        "per fit to minutes: AutoReg, an autoregression of 12 steps with waves of the day, 0.03; ETS, exponential "
        "smoothing with a damped trend, 0.06; HoltWinters, smoothing with a season of a day, 0.13; STL, season and "
        "trend taken apart by local regression, 0.9; SARIMAX, ARMA with waves of the day by maximum likelihood, 2. "
        "The first workload that asks costs the operator a second process of 240 MB. "
        "When not set nothing is fitted.",
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


_GATEWAYS = sorted(GATEWAY_PRESETS)


def _cannot_wake(scaling: Mapping[str, Any]) -> Said:
    demand = scaling.get("demand") or {}
    if scaling["minReplicas"] > 0 or "query" in demand or demand.get("preset") in _GATEWAYS:
        return None
    if any(each["type"] in ("requests", "queue") and "query" in each for each in scaling.get("metrics") or ()):
        return None
    return (f"the series of preset {demand['preset']} end with them" if "preset" in demand else "none is set",)


class AutoScaling(ApiModel):
    """How many replicas run, decided from observed and forecast demand."""

    rules = (
        Rule(
            cel="self.minReplicas > 0 || has(self.demand) && (has(self.demand.query) || has(self.demand.preset) && "
            f"self.demand.preset in {_GATEWAYS}) || "
            "has(self.metrics) && self.metrics.exists(m, m.type in ['requests', 'queue'] && has(m.query))",
            check=_cannot_wake,
            text="minReplicas 0 needs a signal that lives without pods, or nothing wakes the target again, and {}; set "
            "demand.query, the preset istio or nginx, or a metric requests or queue with a query, or minReplicas 1",
            says=(
                "has(self.demand) && has(self.demand.preset) ? 'the series of preset ' + self.demand.preset + "
                "' end with them' : 'none is set'",
            ),
            field=".minReplicas",
        ),
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
        ge=0,
        le=MAX_REPLICAS,
        description="The fewest replicas. No cost limit goes below it. 0 lets the target sleep while there is no "
        "demand; that takes a signal that lives without its pods: demand.query, the preset istio or nginx, or a metric "
        "requests or queue with a query. A target that somebody else sets to 0 counts as paused and is left alone.",
    )
    cooldown_seconds: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="Where minReplicas is 0: how long there must have been no demand at all before the last replica "
        "goes.",
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
        "when there is none either and a latency or queue metric or capacityPerReplica needs it, the preset whose "
        "metrics name the target's pods is found, and status.demandSource says which; else scaling is reactive on the "
        "metrics alone.",
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
