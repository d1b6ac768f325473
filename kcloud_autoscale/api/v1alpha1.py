"""The three kinds of kcloud.io/v1alpha1, and how `kubectl` shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from kcloud_autoscale.api.base import ObjectMeta
from kcloud_autoscale.api.cost_policy import CostPolicySpec, CostPolicyStatus
from kcloud_autoscale.api.power_policy import PowerPolicySpec, PowerPolicyStatus
from kcloud_autoscale.api.rules import Rule, when
from kcloud_autoscale.api.workload_optimizer import WorkloadOptimizerSpec
from kcloud_autoscale.api.workload_status import WorkloadOptimizerStatus

GROUP = "kcloud.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
WORKLOAD_LABEL = f"{GROUP}/workload-optimizer"


class _Kind(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    api_version: Literal["kcloud.io/v1alpha1"] = "kcloud.io/v1alpha1"
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)


class WorkloadOptimizer(_Kind):
    """Scales and places one workload so that its latency objective holds at the least cost and energy.

    The least that is needed: spec.autoScaling with maxReplicas, one target metric (latency, 500 ms) and where the load
    is read (demand, preset vllm); it then scales the Deployment of its own name. `kubectl get wo` shows what runs and
    why, `kubectl describe wo NAME` the last decision step by step. Start with mode Recommend to only look.
    """

    kind: Literal["WorkloadOptimizer"] = "WorkloadOptimizer"
    spec: WorkloadOptimizerSpec
    status: WorkloadOptimizerStatus = Field(default_factory=WorkloadOptimizerStatus)


class CostPolicy(_Kind):
    """Limits what a group of workloads may cost together, and sets prices. Cluster-scoped: admins write it."""

    kind: Literal["CostPolicy"] = "CostPolicy"
    spec: CostPolicySpec
    status: CostPolicyStatus = Field(default_factory=CostPolicyStatus)


class PowerPolicy(_Kind):
    """Limits what a group of workloads may draw together. Cluster-scoped: admins write it."""

    kind: Literal["PowerPolicy"] = "PowerPolicy"
    spec: PowerPolicySpec
    status: PowerPolicyStatus = Field(default_factory=PowerPolicyStatus)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``; ``wide`` ones appear with ``-o wide``."""

    name: str
    type: str
    path: str
    description: str
    wide: bool = False


@dataclass(frozen=True, slots=True)
class KindInfo:
    """What the API server needs to know of a kind beside its schema."""

    model: type[WorkloadOptimizer] | type[CostPolicy] | type[PowerPolicy]
    plural: str
    short_name: str
    namespaced: bool
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()

    @property
    def kind(self) -> str:
        return self.model.__name__


_AGE = Column("Age", "date", ".metadata.creationTimestamp", "Time since creation.")
_PHASE = Column("Phase", "string", ".status.phase", "Where it stands.")

_NAME_FITS_A_LABEL = Rule(
    cel="!has(self.metadata.name) || self.metadata.name.size() <= 63",
    check=when(
        lambda o: len((o.get("metadata") or {}).get("name") or "") > 63,
        lambda o: len(o["metadata"]["name"]),
    ),
    text=f"metadata.name has {{}} characters; at most 63 fit into the label {WORKLOAD_LABEL} of its pods",
    says=("self.metadata.name.size()",),
)

KINDS = (
    KindInfo(
        model=WorkloadOptimizer,
        plural="workloadoptimizers",
        short_name="wo",
        namespaced=True,
        rules=(_NAME_FITS_A_LABEL,),
        columns=(
            Column("Type", "string", ".spec.workloadType", "Kind of work."),
            Column("Mode", "string", ".spec.autoScaling.mode", "Auto, Recommend or Off; none when nothing is scaled."),
            Column("Target", "string", ".status.target", "What is scaled."),
            Column("Replicas", "integer", ".status.replicas", "Replicas that exist."),
            Column("Desired", "integer", ".status.desiredReplicas", "Replicas that should run."),
            Column("$/h", "number", ".status.currentCost", "USD per hour now."),
            Column("Watts", "number", ".status.currentPower", "Watts now."),
            Column("Score", "number", ".status.optimizationScore", "Optimization score, 0-1."),
            _PHASE,
            Column("Reason", "string", ".status.lastDecision.reason", "Why the count is what it is."),
            Column("Ready", "integer", ".status.readyReplicas", "Replicas that serve.", wide=True),
            Column("Min", "integer", ".spec.autoScaling.minReplicas", "The fewest replicas.", wide=True),
            Column("Max", "integer", ".spec.autoScaling.maxReplicas", "The most replicas.", wide=True),
            Column("Priority", "integer", ".spec.priority", "Who gives way last.", wide=True),
            Column("Saved $", "number", ".status.savings.usd", "USD saved against the baseline.", wide=True),
            Column("Node", "string", ".status.assignedNode", "The node with most replicas.", wide=True),
            _AGE,
        ),
    ),
    KindInfo(
        model=CostPolicy,
        plural="costpolicies",
        short_name="costpol",
        namespaced=False,
        columns=(
            Column("$/h Limit", "number", ".spec.costPerHourLimit", "USD per hour allowed."),
            Column("$/h", "number", ".status.currentCost", "USD per hour now."),
            Column("Budget", "number", ".spec.budgetLimit", "USD allowed in all."),
            Column("Spent", "number", ".status.currentSpend", "USD spent in all."),
            Column("Monthly", "number", ".spec.monthlyBudget", "USD allowed per month."),
            Column("Month", "number", ".status.monthlySpend", "USD spent this month."),
            Column("Workloads", "integer", ".status.workloads", "WorkloadOptimizers covered."),
            _PHASE,
            Column("Violations", "integer", ".status.violations", "Limits exceeded now.", wide=True),
            _AGE,
        ),
    ),
    KindInfo(
        model=PowerPolicy,
        plural="powerpolicies",
        short_name="powerpol",
        namespaced=False,
        columns=(
            Column("Max Watts", "number", ".spec.maxPowerUsage", "Watts allowed."),
            Column("Watts", "number", ".status.currentPowerUsage", "Watts now."),
            Column("Green %", "number", ".status.greenEnergyPercentage", "Share of power from green nodes."),
            Column("kgCO2e/h", "number", ".status.carbonFootprint", "kg CO2e per hour now."),
            Column("Workloads", "integer", ".status.workloads", "WorkloadOptimizers covered."),
            _PHASE,
            Column("Violations", "integer", ".status.violations", "Limits exceeded now.", wide=True),
            _AGE,
        ),
    ),
)

BY_KIND = {info.kind: info for info in KINDS}
