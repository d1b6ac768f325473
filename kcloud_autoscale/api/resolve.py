"""Spec -> Policy: defaults, units and optionals are settled here, once; the core sees plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from kcloud_autoscale.api.autoscaling import AutoScaling, Behavior, ScalingRulesSpec
from kcloud_autoscale.api.base import parse_quantity
from kcloud_autoscale.api.signals import Metric
from kcloud_autoscale.api.v1alpha1 import BY_KIND, CostPolicy, PowerPolicy, WorkloadOptimizer
from kcloud_autoscale.api.validate import check
from kcloud_autoscale.api.workload_optimizer import Resources, TargetReference, WorkloadOptimizerSpec
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import (
    BaselineKind,
    BudgetPeriod,
    Caps,
    Ceiling,
    DemandSource,
    Fallback,
    ForecastPolicy,
    MetricKind,
    MetricTarget,
    PolicySelect,
    RatePolicy,
    ReplicaResources,
    ScalingRules,
    WorkloadPolicy,
    default_scale_down,
    default_scale_up,
)
from kcloud_autoscale.domain.workload import Mode, TargetRef, WorkloadKey, WorkloadType

_KINDS = {
    "latency": MetricKind.VALUE,
    "cpu": MetricKind.UTILIZATION,
    "memory": MetricKind.UTILIZATION,
    "gpu": MetricKind.UTILIZATION,
    "npu": MetricKind.UTILIZATION,
    "requests": MetricKind.AVERAGE_VALUE,
    "queue": MetricKind.AVERAGE_VALUE,
}
# From the unit people write to the base unit: milliseconds to seconds, percent to a ratio.
_DIVISOR = {"latency": 1000.0, "cpu": 100.0, "memory": 100.0, "gpu": 100.0, "npu": 100.0, "requests": 1.0, "queue": 1.0}
_LATENCY_QUANTILE = 0.95
_NO_SCALING = AutoScaling(mode="Off", max_replicas=1)


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """Extended resources behind ``gpu`` and ``npu`` where a spec does not name its own.

    Attributes:
        gpu: NVIDIA's device plugin.
        npu: The operator's list; the first stands for a spec that only counts NPUs.
    """

    gpu: str = "nvidia.com/gpu"
    npu: tuple[str, ...] = ("rebellions.ai/ATOM", "furiosa.ai/rngd", "rebellions.ai/REBEL", "furiosa.ai/warboy")


def parse(manifest: Mapping[str, Any]) -> WorkloadOptimizer | CostPolicy | PowerPolicy:
    """An object as the API server stores it, or as a file has it, after all checks one object allows.

    Only name and spec are judged, and the status is left out: metadata of a newer Kubernetes or a status of another
    release must not stop an object.

    Raises:
        ConfigError: It is none of our kinds, or something is wrong with it; the message names field, value and bound.
    """
    spoken = {field: value for field, value in manifest.items() if field != "status"}
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    problems = check({**spoken, "metadata": {"name": name}})
    if problems:
        raise ConfigError("; ".join(str(problem) for problem in problems))
    try:
        return BY_KIND[manifest["kind"]].model.model_validate(spoken)
    except ValidationError as error:
        raise ConfigError(str(error)) from error


def resolve_workload(optimizer: WorkloadOptimizer, names: ResourceNames | None = None) -> WorkloadPolicy:
    """One WorkloadOptimizer as the core sees it."""
    meta, spec = optimizer.metadata, optimizer.spec
    scaling = spec.auto_scaling or _NO_SCALING
    behavior = scaling.behavior or Behavior()
    targets = tuple(_target(metric) for metric in scaling.metrics if metric.type in _KINDS)
    return WorkloadPolicy(
        key=WorkloadKey(meta.namespace or "default", meta.name),
        uid=meta.uid,
        generation=meta.generation,
        target=_target_ref(spec.target_ref),
        workload_type=_workload_type(spec),
        mode=Mode(scaling.mode),
        priority=spec.priority,
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        cooldown_seconds=float(scaling.cooldown_seconds),
        targets=targets,
        ceilings=_ceilings(spec, scaling),
        demand=_demand(scaling),
        forecast=_forecast(scaling),
        scale_up=_rules(behavior.scale_up, default_scale_up()),
        scale_down=_rules(behavior.scale_down, default_scale_down()),
        fallback=_fallback(scaling),
        lead_time_seconds=None if scaling.lead_time_seconds is None else float(scaling.lead_time_seconds),
        capacity_per_replica=_capacity(scaling),
        caps=_caps(spec),
        resources=_resources(spec.resources or Resources(), names or ResourceNames()),
        baseline=BaselineKind(spec.baseline),
        created_seconds=meta.creation_timestamp.timestamp() if meta.creation_timestamp else 0.0,
    )


def _target_ref(reference: TargetReference | None) -> TargetRef | None:
    return None if reference is None else TargetRef(reference.api_version, reference.kind, reference.name)


def _workload_type(spec: WorkloadOptimizerSpec) -> WorkloadType:
    named = spec.workload_type or "serving"
    return WorkloadType.SERVING if named == "inference" else WorkloadType(named)


def _target(metric: Metric) -> MetricTarget:
    """A threshold of 200 (ms) is 0.2 s, one of 70 (%) is 0.7; a user's own query is brought to the same unit."""
    divisor = _DIVISOR[metric.type]
    query = metric.query
    if query is not None and divisor != 1.0:
        query = f"(\n{query}\n) / {divisor:g}"  # on lines of its own: the query may end in a comment
    quantile = (metric.quantile or _LATENCY_QUANTILE) if metric.type == "latency" else None
    return MetricTarget(metric.type, _KINDS[metric.type], metric.threshold / divisor, quantile, query)


def _ceilings(spec: WorkloadOptimizerSpec, scaling: AutoScaling) -> tuple[Ceiling, ...]:
    """80 (%) of a maxCostPerHour of 50 is 40 $/h; without one 80 is 80 $/h."""
    cap = spec.cost_constraints.max_cost_per_hour if spec.cost_constraints else None
    cost = [m.threshold * cap / 100.0 if cap else m.threshold for m in scaling.metrics if m.type == "cost"]
    power = [m.threshold for m in scaling.metrics if m.type == "power"]
    return tuple(Ceiling("cost", limit) for limit in cost) + tuple(Ceiling("power", limit) for limit in power)


def _requests(scaling: AutoScaling) -> Metric | None:
    return next((metric for metric in scaling.metrics if metric.type == "requests"), None)


def _demand(scaling: AutoScaling) -> DemandSource:
    """The source named, else the query of a requests metric, which is the load per second of the workload."""
    if scaling.demand is not None:
        labels = tuple(sorted((scaling.demand.labels or {}).items()))
        return DemandSource(scaling.demand.preset, scaling.demand.query, labels)
    requests = _requests(scaling)
    return DemandSource(query=requests.query if requests else None)


def _capacity(scaling: AutoScaling) -> float | None:
    """What is given, else the threshold of a requests metric where demand counts requests too."""
    if scaling.capacity_per_replica is not None:
        return scaling.capacity_per_replica
    requests = _requests(scaling)
    if requests is None or len(_size_metrics(scaling)) > 1:
        return None  # another target may allow a replica less than its requests do
    same_unit = scaling.demand is None or scaling.demand.preset is not None
    return requests.threshold if same_unit else None


def _size_metrics(scaling: AutoScaling) -> list[Metric]:
    return [metric for metric in scaling.metrics if metric.type in _KINDS]


def _forecast(scaling: AutoScaling) -> ForecastPolicy:
    forecast = scaling.forecast
    if forecast is None:
        return ForecastPolicy()
    return ForecastPolicy(forecast.enabled, forecast.quantile, forecast.max_violation_ratio, forecast.model)


def _rules(given: ScalingRulesSpec | None, default: ScalingRules) -> ScalingRules:
    """HPA v2's defaults field by field; policies are replaced as a whole."""
    if given is None:
        return default
    window, tolerance = given.stabilization_window_seconds, given.tolerance
    policies = tuple(
        RatePolicy(
            float(policy.period_seconds),
            pods=policy.value if policy.type == "Pods" else None,
            percent=policy.value if policy.type == "Percent" else None,
        )
        for policy in given.policies or ()
    )
    return ScalingRules(
        stabilization_window_seconds=default.stabilization_window_seconds if window is None else float(window),
        policies=policies or default.policies,
        select=PolicySelect(given.select_policy or default.select.value),
        tolerance_fraction=default.tolerance_fraction if tolerance is None else tolerance,
    )


def _fallback(scaling: AutoScaling) -> Fallback | None:
    given = scaling.fallback
    return None if given is None else Fallback(given.replicas, float(given.after_seconds))


def _caps(spec: WorkloadOptimizerSpec) -> Caps:
    cost, power = spec.cost_constraints, spec.power_constraints
    return Caps(
        max_usd_per_hour=cost.max_cost_per_hour if cost else None,
        max_watts=power.max_power_usage if power else None,
        budget_usd=cost.budget_limit if cost else None,
        budget_period=BudgetPeriod((cost and cost.budget_period) or "Total"),
    )


def _resources(resources: Resources, names: ResourceNames) -> ReplicaResources:
    devices = (
        (resources.gpu_resource_name or names.gpu, resources.gpu or 0),
        (resources.npu_resource_name or names.npu[0], resources.npu or 0),
    )
    return ReplicaResources(
        cpu_cores=None if resources.cpu is None else parse_quantity(resources.cpu),
        memory_bytes=None if resources.memory is None else parse_quantity(resources.memory),
        accelerators=tuple((name, count) for name, count in devices if count > 0),
    )
