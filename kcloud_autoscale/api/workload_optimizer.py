"""`spec` of a WorkloadOptimizer: what one workload needs, may cost and may draw, and where it may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from kcloud_autoscale.api.autoscaling import AutoScaling
from kcloud_autoscale.api.base import QUALIFIED_NAME_PATTERN, ApiModel, Quantity
from kcloud_autoscale.api.placement import PlacementPolicy
from kcloud_autoscale.api.rules import Rule, when

ResourceName = Annotated[str, Field(min_length=1, max_length=253, pattern=QUALIFIED_NAME_PATTERN)]


class TargetReference(ApiModel):
    """The object that is scaled, in the optimizer's own namespace."""

    rules = (
        Rule(
            cel="self.apiVersion != 'apps/v1' || self.kind in ['Deployment', 'StatefulSet', 'ReplicaSet']",
            check=when(
                lambda t: t["apiVersion"] == "apps/v1" and t["kind"] not in ("Deployment", "StatefulSet", "ReplicaSet"),
                "kind",
            ),
            text="kind {} is none of Deployment, StatefulSet, ReplicaSet, which apps/v1 has; set its own apiVersion",
            says=("self.kind",),
            field=".kind",
        ),
    )

    api_version: str = Field(
        default="apps/v1",
        min_length=1,
        max_length=127,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="API group and version, as in apps/v1.",
    )
    kind: str = Field(
        default="Deployment",
        min_length=1,
        max_length=63,
        pattern=r"^[A-Z][A-Za-z0-9]*$",
        description="Kind; anything with a scale subresource.",
    )
    name: str = Field(
        min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", description="Name of the object."
    )


class Resources(ApiModel):
    """What one replica holds. Its price and power are worked out from here where its pods do not say."""

    rules = tuple(
        Rule(
            cel=f"!has(self.{kind}ResourceName) || (has(self.{kind}) && self.{kind} > 0)",
            check=when(lambda r, k=kind: f"{k}ResourceName" in r and not r.get(k), f"{kind}ResourceName"),  # type: ignore[misc]
            text=f"{kind}ResourceName {{}} says which device, but {kind} says none: set {kind} to at least 1",
            says=(f"self.{kind}ResourceName",),
            field=f".{kind}ResourceName",
        )
        for kind in ("gpu", "npu")
    )

    cpu: Quantity | None = Field(default=None, description='CPU cores, as in 16, "16" or "500m".')
    memory: Quantity | None = Field(default=None, description='Memory, as in "64Gi".')
    gpu: int | None = Field(default=None, ge=0, le=1024, description="GPUs, whole devices.")
    npu: int | None = Field(default=None, ge=0, le=1024, description="NPUs, whole devices.")
    gpu_resource_name: ResourceName | None = Field(
        default=None, description="Extended resource behind gpu. nvidia.com/gpu when not set."
    )
    npu_resource_name: ResourceName | None = Field(
        default=None,
        description="Extended resource behind npu, as in rebellions.ai/ATOM or furiosa.ai/rngd. When not set, the "
        "first of the operator's list of NPU resources.",
    )


class CostConstraints(ApiModel):
    """What the workload may cost, in USD. Hard limits: they cut the replicas, but never below minReplicas."""

    rules = (
        Rule(
            cel="!has(self.budgetPeriod) || has(self.budgetLimit)",
            check=when(lambda c: "budgetPeriod" in c and "budgetLimit" not in c, "budgetPeriod"),
            text="budgetPeriod {} says how long a budget lasts, but there is no budgetLimit",
            says=("self.budgetPeriod",),
            field=".budgetPeriod",
        ),
    )

    max_cost_per_hour: float | None = Field(
        default=None, gt=0, le=1e9, description="USD per hour that all replicas together may cost at any time."
    )
    prefer_spot: bool = Field(
        default=False,
        description="Prefer spot capacity where it is cheaper. Not in effect yet: see the condition FieldsHonoured.",
    )
    budget_limit: float | None = Field(
        default=None, gt=0, le=1e12, description="USD that may be spent within budgetPeriod, paced to its end."
    )
    budget_period: Literal["Total", "Daily", "Weekly", "Monthly"] | None = Field(
        default=None,
        description="What budgetLimit covers: everything since the optimizer was created (Total, the default), or each "
        "day, week (from Monday) or month, in UTC.",
    )


class PowerConstraints(ApiModel):
    """What the workload may draw, in watts. Hard limits: they cut the replicas, but never below minReplicas."""

    max_power_usage: float | None = Field(
        default=None, gt=0, le=1e9, description="Watts that all replicas together may draw at any time."
    )
    prefer_green: bool = Field(
        default=False,
        description="Prefer nodes with green energy among equals. Not in effect yet: see the condition FieldsHonoured.",
    )


def _metric(spec: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    metrics = spec.get("autoScaling", {}).get("metrics", [])
    return next((metric for metric in metrics if metric.get("type") == kind), None)


def _threshold(kind: str) -> Any:
    return lambda spec: _metric(spec, kind)["threshold"]  # type: ignore[index]


def _above(spec: Mapping[str, Any], kind: str, constraints: str, field: str, bound: float | None) -> bool:
    metric, limit = _metric(spec, kind), spec.get(constraints, {}).get(field)
    if metric is None or limit is None:
        return False
    return bool(metric["threshold"] > (limit if bound is None else bound))


_METRIC_CEL = "self.autoScaling.metrics.filter(m, m.type == '{}')[0].threshold"


class WorkloadOptimizerSpec(ApiModel):
    """What one workload needs, may cost and may draw, where it may run and how it scales."""

    rules = (
        Rule(
            cel="!has(self.costConstraints) || !has(self.costConstraints.maxCostPerHour) || !has(self.autoScaling) || "
            "!has(self.autoScaling.metrics) || "
            "self.autoScaling.metrics.all(m, m.type != 'cost' || m.threshold <= 100.0)",
            check=when(
                lambda s: _above(s, "cost", "costConstraints", "maxCostPerHour", 100.0),
                _threshold("cost"),
                lambda s: s["costConstraints"]["maxCostPerHour"],
            ),
            text="threshold {} of the cost metric is a percentage of maxCostPerHour {}: it is above 100",
            says=(_METRIC_CEL.format("cost"), "self.costConstraints.maxCostPerHour"),
            field=".autoScaling.metrics",
        ),
        Rule(
            cel="!has(self.powerConstraints) || !has(self.powerConstraints.maxPowerUsage) || !has(self.autoScaling) || "
            "!has(self.autoScaling.metrics) || "
            "self.autoScaling.metrics.all(m, m.type != 'power' || m.threshold <= self.powerConstraints.maxPowerUsage)",
            check=when(
                lambda s: _above(s, "power", "powerConstraints", "maxPowerUsage", None),
                _threshold("power"),
                lambda s: s["powerConstraints"]["maxPowerUsage"],
            ),
            text="threshold {} W of the power metric is above maxPowerUsage {} W and could never act",
            says=(_METRIC_CEL.format("power"), "self.powerConstraints.maxPowerUsage"),
            field=".autoScaling.metrics",
        ),
    )

    target_ref: TargetReference | None = Field(
        default=None,
        description="What is scaled. When not set: the Deployment, else the StatefulSet, with the optimizer's own "
        "name; else the owner of the Pods labelled kcloud.io/workload-optimizer: NAME.",
    )
    workload_type: Literal["training", "serving", "inference", "batch", "streaming"] | None = Field(
        default=None,
        description="What kind of work it is: training, serving, inference (the same as serving), batch or streaming. "
        "Taken as serving when not set.",
    )
    priority: int = Field(
        default=50,
        ge=0,
        le=100,
        description="Who gives way when a shared budget or power cap binds: the lowest first. Also how cautious the "
        "forecast is: quantile 0.80 at 0, 0.99 at 100, unless costs or forecast.quantile say otherwise.",
    )
    resources: Resources | None = Field(default=None, description="What one replica needs.")
    cost_constraints: CostConstraints | None = Field(default=None, description="What it may cost, in USD.")
    power_constraints: PowerConstraints | None = Field(default=None, description="What it may draw, in watts.")
    placement_policy: PlacementPolicy | None = Field(
        default=None,
        description="Where replicas may and should run. Not in effect yet: see the condition FieldsHonoured.",
    )
    auto_scaling: AutoScaling | None = Field(
        default=None,
        description="How many replicas run. Every cycle (60 s) the replicas needed for the demand observed now and for "
        "its forecast peak within the lead time are computed; the larger wins, behavior limits the rate of change, and "
        "the caps of costConstraints, powerConstraints and the policies cut it last. Unknown metrics never scale down. "
        "Without autoScaling nothing is scaled: the workload is observed, accounted and placed.",
    )
    baseline: Literal["hpa", "static", "previous"] = Field(
        default="hpa",
        description="What savings are measured against: hpa (a shadow HPA at 70 percent on on-demand prices, same "
        "demand), static (replicas for the peak of the last 14 days), previous (the replicas found at adoption).",
    )
    deletion_policy: Literal["Keep", "Restore"] = Field(
        default="Keep",
        description="What happens to the replicas when this optimizer is deleted: Keep leaves them as they are, "
        "Restore sets the number found at adoption.",
    )
