"""PowerPolicy: what a group of workloads may draw together, and how green it should be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kcloud_autoscale.api.base import HOUR_RANGE_PATTERN, MAP_BY_TYPE, ApiModel, Condition
from kcloud_autoscale.api.policies import PolicyAlert, PolicySpec, PolicyStatus, alert_needs, at_least_one
from kcloud_autoscale.api.rules import Rule, when

# 9-18, 09:00-18:30, 22:00-06:00, or one whole hour as 14.
HourRange = Annotated[str, Field(max_length=11, pattern=HOUR_RANGE_PATTERN)]


class GreenEnergyPolicy(ApiModel):
    """How green the energy should be."""

    rules = (
        Rule(
            cel="!self.enabled || has(self.minGreenEnergyPercentage) || has(self.carbonFootprintTarget)",
            check=when(
                lambda g: g["enabled"] and "minGreenEnergyPercentage" not in g and "carbonFootprintTarget" not in g
            ),
            text="enabled is true, but there is nothing to hold: set minGreenEnergyPercentage or carbonFootprintTarget",
            field=".enabled",
        ),
    )

    enabled: bool = Field(default=False, description="Prefer green energy when placing replicas.")
    min_green_energy_percentage: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Smallest share of the power that should come from green nodes, percent.",
    )
    carbon_footprint_target: float | None = Field(
        default=None, ge=0, le=1e9, description="kg CO2e per hour to stay below."
    )


class PowerSchedulingPolicy(ApiModel):
    """How power steers placement and sharing."""

    rules = (
        Rule(
            cel="!self.peakPowerAvoidance || (has(self.peakPowerHours) && self.peakPowerHours.size() > 0)",
            check=when(lambda p: p["peakPowerAvoidance"] and not p.get("peakPowerHours")),
            text="peakPowerAvoidance is true, but peakPowerHours names no hours to avoid",
            field=".peakPowerAvoidance",
        ),
    )

    power_aware_scheduling: bool = Field(default=False, description="Prefer nodes that need fewer watts for the work.")
    peak_power_avoidance: bool = Field(
        default=False, description="Give up predictive headroom during peakPowerHours: only observed need may grow."
    )
    peak_power_hours: list[HourRange] | None = Field(
        default=None,
        max_length=24,
        description='Hours of expensive or scarce power, UTC, 24-hour clock: "09:00-12:00", "22-6" over midnight, or '
        '"14" for that whole hour.',
    )
    power_budget_allocation: Literal["equal", "priority_based", "workload_based"] = Field(
        default="priority_based",
        description="How maxPowerUsage is shared after every workload's minReplicas: priority_based (highest priority "
        "first), equal (the same watts for each), workload_based (in proportion to what each asks for).",
    )


class PowerAlert(PolicyAlert):
    """A threshold on power."""

    type: Literal["power_usage", "power_efficiency", "carbon_footprint"] = Field(
        description="power_usage: percent of maxPowerUsage. power_efficiency: watts per unit of served load. "
        "carbon_footprint: kg CO2e per hour.",
    )
    action: Literal["notify", "scale_down", "migrate", "pause"] | None = Field(
        default=None,
        description="notify (Event and condition; when not set), scale_down (to minReplicas), migrate (move to nodes "
        "that need fewer watts), pause (no more growth).",
    )


class PowerPolicySpec(PolicySpec):
    """What a group of workloads may draw together, and how green it should be."""

    rules = (
        at_least_one(
            "this PowerPolicy says nothing",
            "maxPowerUsage",
            "powerEfficiencyTarget",
            "greenEnergyPolicy",
            "powerSchedulingPolicy",
            "powerAlertThresholds",
        ),
        alert_needs("powerAlertThresholds", "power_usage", "maxPowerUsage"),
    )

    max_power_usage: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Watts that the workloads together may draw at any time, after every workload's minReplicas.",
    )
    power_efficiency_target: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Watts per unit of served load to aim for. Not in effect yet: see the condition FieldsHonoured.",
    )
    green_energy_policy: GreenEnergyPolicy | None = Field(
        default=None,
        description="How green the energy should be. Not in effect yet: see the condition FieldsHonoured.",
    )
    power_scheduling_policy: PowerSchedulingPolicy | None = Field(
        default=None,
        description="How power steers placement and sharing. Not in effect yet: see the condition FieldsHonoured.",
    )
    power_alert_thresholds: list[PowerAlert] | None = Field(
        default=None,
        max_length=16,
        description="When to warn or to step in. Not in effect yet: see the condition FieldsHonoured.",
    )


class PowerPolicyStatus(PolicyStatus):
    """What the workloads of the policy draw."""

    current_power_usage: float | None = Field(default=None, description="Watts now.")
    power_efficiency: float | None = Field(default=None, description="Watts per unit of served load now.")
    green_energy_percentage: float | None = Field(default=None, description="Share of the power from green nodes.")
    carbon_footprint: float | None = Field(default=None, description="kg CO2e per hour now.")
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        description="Ready, WithinCaps, PowerKnown.",
        json_schema_extra=MAP_BY_TYPE,
    )
