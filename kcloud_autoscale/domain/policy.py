"""Every knob resolved: defaults, units and optionals are settled here, the core sees plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kcloud_autoscale.domain.workload import Mode, TargetRef, WorkloadKey, WorkloadType


class MetricKind(StrEnum):
    """How HPA does arithmetic on a metric (its ``target.type``)."""

    VALUE = "Value"  # one number for the workload against the threshold: latency
    AVERAGE_VALUE = "AverageValue"  # a total shared by the replicas: requests, queue
    UTILIZATION = "Utilization"  # one number per pod, averaged: cpu, memory, gpu, npu


@dataclass(frozen=True, slots=True)
class MetricTarget:
    """A metric that more replicas bring down.

    Attributes:
        name: ``latency``, ``cpu``, ``memory``, ``gpu``, ``npu``, ``requests`` or ``queue``.
        kind: Which HPA arithmetic applies.
        threshold: In base units: seconds for latency, ratio 0-1 for utilizations, load per second per replica
            for requests, waiting requests per replica for queue.
        quantile: Latency quantile; None for the rest.
        query: The user's own PromQL instead of the preset's, or None.
    """

    name: str
    kind: MetricKind
    threshold: float
    quantile: float | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A ``cost`` or ``power`` metric: above it predictive headroom is given up; it never scales up.

    ``limit`` is $/h for cost (a percent of the hourly cap is already resolved) and watts for power.
    """

    name: str
    limit: float


@dataclass(frozen=True, slots=True)
class DemandSource:
    """Where the load per second of a workload comes from: a preset, or the user's own query.

    ``labels`` are extra selectors a preset needs (a model name, a service), exact matches.
    """

    preset: str | None = None
    query: str | None = None
    labels: tuple[tuple[str, str], ...] = ()


MODELS = ("AutoReg", "ETS", "HoltWinters", "SARIMAX", "STL")
"""What a workload may ask for beside the experts that everybody has."""


@dataclass(frozen=True, slots=True)
class ForecastPolicy:
    """How the forecast is used.

    Attributes:
        enabled: False makes the workload purely reactive.
        quantile: Level of the peak quantile to provision for, fixed by the user; None lets priority or costs choose.
        max_violation_fraction: Largest share of time the demand may exceed the ready capacity; None leaves it to
            priority and to what an HPA would have missed.
        model: One of `MODELS` that is fitted for this workload and heard beside the built-in experts; None for none.
    """

    enabled: bool = True
    quantile: float | None = None
    max_violation_fraction: float | None = None
    model: str | None = None


class PolicySelect(StrEnum):
    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """At most this much change per period: ``pods`` replicas or ``percent`` of them (one of the two is None)."""

    period_seconds: float
    pods: int | None = None
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """One direction of HPA v2's ``behavior``."""

    stabilization_window_seconds: float
    policies: tuple[RatePolicy, ...]
    select: PolicySelect = PolicySelect.MAX
    tolerance_fraction: float = 0.1


def default_scale_up() -> ScalingRules:
    """HPA v2's own: no window; the larger of 4 pods and 100 % per 15 s."""
    return ScalingRules(0.0, (RatePolicy(15.0, pods=4), RatePolicy(15.0, percent=100)))


def default_scale_down() -> ScalingRules:
    """HPA v2's own: a 300 s window; 100 % per 15 s."""
    return ScalingRules(300.0, (RatePolicy(15.0, percent=100),))


@dataclass(frozen=True, slots=True)
class Fallback:
    """What to do once the metrics have been unknown for ``after_seconds``: run at least ``replicas``."""

    replicas: int
    after_seconds: float


class BudgetPeriod(StrEnum):
    TOTAL = "Total"
    DAILY = "Daily"
    WEEKLY = "Weekly"
    MONTHLY = "Monthly"


@dataclass(frozen=True, slots=True)
class Caps:
    """Hard limits of one workload; None means there is none."""

    max_usd_per_hour: float | None = None
    max_watts: float | None = None
    budget_usd: float | None = None
    budget_period: BudgetPeriod = BudgetPeriod.TOTAL


@dataclass(frozen=True, slots=True)
class ReplicaResources:
    """What one replica asks for. ``accelerators`` maps extended resource names to whole devices."""

    cpu_cores: float | None = None
    memory_bytes: float | None = None
    accelerators: tuple[tuple[str, int], ...] = ()


class BaselineKind(StrEnum):
    """The named counterfactual that savings are measured against."""

    HPA = "hpa"
    STATIC = "static"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class WorkloadPolicy:
    """One WorkloadOptimizer, resolved.

    Attributes:
        key: The optimizer.
        uid: Of the optimizer object.
        generation: Of the spec this was resolved from.
        target: Named by the user; None lets observation look for the default one.
        mode: ``Off`` also when the optimizer has no ``autoScaling`` block: it is observed, never scaled.
        priority: 0-100; larger gives way later.
        min_replicas: Floor; never cut by money. 0 lets it sleep.
        max_replicas: Ceiling.
        cooldown_seconds: Without any demand for so long, the last replica goes where `min_replicas` is 0.
        lead_time_seconds: Fixed by the user; None means learned from pod start-ups.
        capacity_per_replica: Load per second one replica serves within the objective; None means learned.
        created_seconds: Creation of the optimizer; a ``Total`` budget counts from here.
        restoring: The optimizer is being deleted, and its target is to return to the count found at adoption.
    """

    key: WorkloadKey
    uid: str = ""
    generation: int = 0
    target: TargetRef | None = None
    workload_type: WorkloadType = WorkloadType.SERVING
    mode: Mode = Mode.AUTO
    priority: int = 50
    min_replicas: int = 1
    max_replicas: int = 1
    cooldown_seconds: float = 300.0
    targets: tuple[MetricTarget, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    demand: DemandSource = field(default_factory=DemandSource)
    forecast: ForecastPolicy = field(default_factory=ForecastPolicy)
    scale_up: ScalingRules = field(default_factory=default_scale_up)
    scale_down: ScalingRules = field(default_factory=default_scale_down)
    fallback: Fallback | None = None
    lead_time_seconds: float | None = None
    capacity_per_replica: float | None = None
    caps: Caps = field(default_factory=Caps)
    resources: ReplicaResources = field(default_factory=ReplicaResources)
    baseline: BaselineKind = BaselineKind.HPA
    created_seconds: float = 0.0
    restoring: bool = False

    def planned_quantile(self) -> float:
        """Forecast level when costs do not choose it: 0.80 at priority 0 to 0.99 at 100, unless set.

        Priority 50 gives 0.895.
        """
        if self.forecast.quantile is not None:
            return self.forecast.quantile
        return 0.80 + 0.19 * self.priority / 100.0


GATEWAY_PRESETS = frozenset({"istio", "nginx"})
"""Serving stacks whose load is told by a gateway, with or without pods of the target behind it."""


def demand_lives_without_pods(policy: WorkloadPolicy) -> bool:
    """Whether the demand of a target at 0 replicas can be read: from a gateway, or by a query of the user's own."""
    return policy.demand.query is not None or policy.demand.preset in GATEWAY_PRESETS


def wakes(target: MetricTarget) -> bool:
    """Whether a target metric can tell of demand at 0 replicas: an amount of work, and read by the user's own query."""
    return target.kind is MetricKind.AVERAGE_VALUE and target.query is not None


class CapUnit(StrEnum):
    USD_PER_HOUR = "usd_per_hour"
    WATTS = "watts"


@dataclass(frozen=True, slots=True)
class SharedCap:
    """A limit that several workloads share: a CostPolicy's $/h or a PowerPolicy's watts.

    ``members`` are the workloads its selectors match; they are served by priority, floors first.
    """

    name: str
    unit: CapUnit
    limit: float
    members: frozenset[WorkloadKey]


@dataclass(frozen=True, slots=True)
class CostScope:
    """The workloads of one CostPolicy, and what they may spend together.

    Attributes:
        name: Of the policy.
        members: The workloads its selectors match.
        budget_usd: For all time; None when not limited.
        monthly_usd: Per calendar month in UTC; None when not limited.
    """

    name: str
    members: frozenset[WorkloadKey]
    budget_usd: float | None = None
    monthly_usd: float | None = None

    @property
    def limited(self) -> bool:
        """Whether it has a budget at all."""
        return self.budget_usd is not None or self.monthly_usd is not None


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """Prices a CostPolicy sets instead of the built-in table; None leaves the table's."""

    gpu_usd_per_hour: float | None = None
    npu_usd_per_hour: float | None = None
    cpu_usd_per_core_hour: float | None = None
    memory_usd_per_gib_hour: float | None = None


@dataclass(frozen=True, slots=True)
class FleetPolicy:
    """All workloads of one budget scope and what they share.

    Attributes:
        workloads: By key.
        shared_caps: Limits across workloads.
        cost_scopes: Whose spending is added up, and limited where a budget is set.
        price_overrides: Per workload, where a CostPolicy sets prices.
        cycle_seconds: Time between ticks; the forecast must reach one cycle past the lead time.
        step_seconds: Grid of the demand history.
        max_metric_age_seconds: Older readings are stale.
        default_lead_time_seconds: Used until start-ups have been seen.
        reactive_target_fraction: Utilization HPA's rule aims for where only demand and capacity are known.
    """

    workloads: Mapping[WorkloadKey, WorkloadPolicy]
    shared_caps: tuple[SharedCap, ...] = ()
    cost_scopes: tuple[CostScope, ...] = ()
    price_overrides: Mapping[WorkloadKey, PriceOverride] = field(default_factory=dict)
    cycle_seconds: float = 60.0
    step_seconds: float = 60.0
    max_metric_age_seconds: float = 180.0
    default_lead_time_seconds: float = 300.0
    reactive_target_fraction: float = 0.7
