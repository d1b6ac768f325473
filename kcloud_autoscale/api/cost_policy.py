"""CostPolicy: what a group of workloads may cost together, and what resources cost here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kcloud_autoscale.api.base import MAP_BY_TYPE, ApiModel, Condition
from kcloud_autoscale.api.policies import PolicyAlert, PolicySpec, PolicyStatus, alert_needs, at_least_one
from kcloud_autoscale.api.rules import Rule, when


class SpotInstancePolicy(ApiModel):
    """How much of the workloads may run on spot capacity."""

    enabled: bool = Field(default=False, description="Allow spot capacity at all.")
    max_spot_percentage: int | None = Field(
        default=None, ge=0, le=100, description="Largest share of the replicas on spot capacity. 100 when not set."
    )
    interruption_handling: Literal["terminate", "drain", "migrate"] = Field(
        default="drain",
        description="When a spot node is taken back: terminate (let the pods end with it), drain (evict them at the "
        "notice), migrate (start replacements first, then evict).",
    )


class ResourceCostPolicy(ApiModel):
    """What resources cost here; overrides OpenCost and the built-in table."""

    rules = (
        at_least_one(
            "resourceCostPolicy sets no price",
            "cpuCostPerCorePerHour",
            "memoryCostPerGiPerHour",
            "gpuCostPerHour",
            "npuCostPerHour",
        ),
    )

    cpu_cost_per_core_per_hour: float | None = Field(
        default=None, ge=0, le=1e6, description="USD per CPU core and hour."
    )
    memory_cost_per_gi_per_hour: float | None = Field(default=None, ge=0, le=1e6, description="USD per GiB and hour.")
    gpu_cost_per_hour: float | None = Field(
        default=None, ge=0, le=1e6, description="USD per GPU and hour, with its share of the host."
    )
    npu_cost_per_hour: float | None = Field(
        default=None, ge=0, le=1e6, description="USD per NPU and hour, with its share of the host."
    )


class CostAlert(PolicyAlert):
    """A threshold on spending."""

    rules = (
        Rule(
            cel="self.type != 'cost_increase' || self.value > 1.0",
            check=when(lambda a: a.get("type") == "cost_increase" and a["value"] <= 1, "value"),
            text="value {} of a cost_increase alert is a multiple of the usual hourly cost: it must be above 1",
            says=("self.value",),
            field=".value",
        ),
    )

    type: Literal["budget_usage", "cost_increase", "anomaly"] = Field(
        description="budget_usage: percent of the budget spent. cost_increase: multiple of the mean hourly cost of the "
        "last 7 days, as in 1.5. anomaly: standard deviations from the cost usual at this hour.",
    )
    action: Literal["notify", "scale_down", "pause", "terminate"] | None = Field(
        default=None,
        description="notify (Event and condition; when not set), scale_down (to minReplicas), pause (no more growth), "
        "terminate (to 0 replicas).",
    )


class CostPolicySpec(PolicySpec):
    """What a group of workloads may cost together, and what resources cost here."""

    rules = (
        at_least_one(
            "this CostPolicy says nothing",
            "budgetLimit",
            "monthlyBudget",
            "costPerHourLimit",
            "spotInstancePolicy",
            "resourceCostPolicy",
            "alertThresholds",
        ),
        alert_needs("alertThresholds", "budget_usage", "budgetLimit", "monthlyBudget"),
    )

    budget_limit: float | None = Field(
        default=None,
        gt=0,
        le=1e12,
        description="USD that the workloads together may spend, counted since the policy was created, of each for as "
        "long as it is covered. Shared by priority, after every workload's minReplicas.",
    )
    monthly_budget: float | None = Field(
        default=None,
        gt=0,
        le=1e12,
        description="USD per calendar month (UTC) that the workloads together may spend, paced to its end.",
    )
    cost_per_hour_limit: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="USD per hour that the workloads together may cost at any time. Shared by priority, after every "
        "workload's minReplicas.",
    )
    spot_instance_policy: SpotInstancePolicy | None = Field(
        default=None,
        description="Use of spot capacity. Not in effect yet: see the condition FieldsHonoured.",
    )
    resource_cost_policy: ResourceCostPolicy | None = Field(default=None, description="Prices that apply here.")
    alert_thresholds: list[CostAlert] | None = Field(
        default=None,
        max_length=16,
        description="When to warn or to step in. Not in effect yet: see the condition FieldsHonoured.",
    )


class CostPolicyStatus(PolicyStatus):
    """What the workloads of the policy cost."""

    current_cost: float | None = Field(default=None, description="USD per hour now.")
    current_spend: float | None = Field(default=None, description="USD since the policy was created.")
    monthly_spend: float | None = Field(default=None, description="USD in this calendar month (UTC).")
    budget_utilization: float | None = Field(default=None, description="Percent of the tightest budget that is spent.")
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        description="Ready, WithinCaps, PriceKnown.",
        json_schema_extra=MAP_BY_TYPE,
    )
