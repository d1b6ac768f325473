"""What CostPolicy and PowerPolicy share: the choice of workloads, alerts, and most of the status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from kcloud_autoscale.api.base import ApiModel, LabelSelector, StatusModel
from kcloud_autoscale.api.rules import Rule, when

Severity = Literal["info", "warning", "critical"]


class PolicySpec(ApiModel):
    """Which workloads a policy covers."""

    namespace_selector: LabelSelector | None = Field(
        default=None, description="Namespaces whose workloads it covers, by label. All when not set."
    )
    workload_selector: LabelSelector | None = Field(
        default=None, description="WorkloadOptimizers it covers, by label. All when not set."
    )


class PolicyStatus(StatusModel):
    """How a policy stands, whatever it limits."""

    phase: Literal["Active", "Suspended", "Violated"] | None = Field(
        default=None, description="Active, Suspended (it covers no workload), or Violated (a limit is exceeded now)."
    )
    workloads: int | None = Field(default=None, description="How many WorkloadOptimizers it covers.")
    violations: int | None = Field(default=None, description="How many of its limits are exceeded now.")
    last_updated: datetime | None = Field(default=None, description="When this was written.")
    observed_generation: int | None = Field(default=None, description="Generation of the spec this is about.")


class PolicyAlert(ApiModel):
    """A threshold and what follows when it is exceeded."""

    value: float = Field(ge=0, le=1e12, description="The threshold, in the unit of the type.")
    # No defaults in items of lists: client-side apply and GitOps tools would see a change for ever.
    severity: Severity | None = Field(default=None, description="How urgent it is; warning when not set.")


def at_least_one(what: str, *fields: str) -> Rule:
    """A policy that limits nothing is a mistake, not a policy."""
    cel = " || ".join(f"has(self.{field})" for field in fields)

    def nothing(spec: Mapping[str, Any]) -> bool:
        return not any(field in spec for field in fields)

    return Rule(cel=cel, check=when(nothing), text=f"{what}: set at least one of {', '.join(fields)}")


def alert_needs(alerts: str, kind: str, *limits: str) -> Rule:
    """An alert on a share of a limit needs that limit."""
    limited = " || ".join(f"has(self.{limit})" for limit in limits)

    def unlimited(spec: Mapping[str, Any]) -> bool:
        return any(a.get("type") == kind for a in spec.get(alerts, [])) and not any(limit in spec for limit in limits)

    return Rule(
        cel=f"!has(self.{alerts}) || {limited} || self.{alerts}.all(a, a.type != '{kind}')",
        check=when(unlimited),
        text=f"a {kind} alert is a percentage of {' or '.join(limits)}, which is not set",
        field=f".{alerts}",
    )
