"""The signals of `spec.autoScaling`: what is held (`metrics`) and what is forecast (`demand`)."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from kcloud_autoscale.api.base import NOT_BLANK_PATTERN, ApiModel, extra, fully
from kcloud_autoscale.api.rules import Rule, Said, when

CEILINGS = ("cost", "power")

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
        description="Your own PromQL instead of the built-in query of the type. Where demand is a query too, latency, "
        "requests and queue need one: without it the metric stays unknown (condition MetricsAvailable=False) and the "
        "replicas are held. {{namespace}} and {{name}} become those of the target. It must return one series, in "
        "the unit of the threshold: the total over the workload for requests and queue, the value itself for "
        "latency (milliseconds), the mean for utilizations (percent).",
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
