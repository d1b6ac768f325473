"""Which policy covers which workload, and what they share: the border between all objects and one FleetPolicy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kcloud_autoscale.api.policies import PolicySpec
from kcloud_autoscale.api.resolve import ResourceNames, resolve_workload
from kcloud_autoscale.api.selectors import matches
from kcloud_autoscale.api.v1alpha1 import CostPolicy, PowerPolicy, WorkloadOptimizer
from kcloud_autoscale.domain.policy import CapUnit, CostScope, FleetPolicy, PriceOverride, SharedCap
from kcloud_autoscale.domain.workload import WorkloadKey

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FleetObjects:
    """Every object that shapes the fleet's policy.

    Attributes:
        optimizers: Of one budget scope.
        cost_policies: Cluster-wide.
        power_policies: Cluster-wide.
        namespace_labels: Labels by namespace; a namespace that is not in it has none.
    """

    optimizers: Sequence[WorkloadOptimizer]
    cost_policies: Sequence[CostPolicy] = ()
    power_policies: Sequence[PowerPolicy] = ()
    namespace_labels: Mapping[str, Labels] | None = None


def covered(policy: PolicySpec, objects: FleetObjects) -> frozenset[WorkloadKey]:
    """The workloads that a policy's selectors match."""
    of_namespace = objects.namespace_labels or {}
    return frozenset(
        key_of(optimizer)
        for optimizer in objects.optimizers
        if matches(policy.workload_selector, optimizer.metadata.labels)
        and matches(policy.namespace_selector, of_namespace.get(key_of(optimizer).namespace, {}))
    )


def key_of(optimizer: WorkloadOptimizer) -> WorkloadKey:
    """Identity of an optimizer; one without a namespace lives in ``default``."""
    return WorkloadKey(optimizer.metadata.namespace or "default", optimizer.metadata.name)


def resolve_fleet(objects: FleetObjects, names: ResourceNames | None = None) -> FleetPolicy:
    """All workloads with what they share; caps in the order of the policies' names, so that a restart sees the same."""
    cost = sorted(objects.cost_policies, key=lambda policy: policy.metadata.name)
    power = sorted(objects.power_policies, key=lambda policy: policy.metadata.name)
    return FleetPolicy(
        workloads={key_of(optimizer): resolve_workload(optimizer, names) for optimizer in objects.optimizers},
        shared_caps=(*_cost_caps(cost, objects), *_power_caps(power, objects)),
        cost_scopes=tuple(_cost_scope(policy, objects) for policy in cost),
        price_overrides=_prices(cost, objects),
    )


def _cost_caps(policies: Iterable[CostPolicy], objects: FleetObjects) -> Iterable[SharedCap]:
    for policy in policies:
        limit, members = policy.spec.cost_per_hour_limit, covered(policy.spec, objects)
        if limit is not None and members:
            yield SharedCap(f"{policy.metadata.name}/costPerHourLimit", CapUnit.USD_PER_HOUR, limit, members)


def _cost_scope(policy: CostPolicy, objects: FleetObjects) -> CostScope:
    spec = policy.spec
    return CostScope(policy.metadata.name, covered(spec, objects), spec.budget_limit, spec.monthly_budget)


def _power_caps(policies: Iterable[PowerPolicy], objects: FleetObjects) -> Iterable[SharedCap]:
    for policy in policies:
        limit, members = policy.spec.max_power_usage, covered(policy.spec, objects)
        if limit is not None and members:
            yield SharedCap(f"{policy.metadata.name}/maxPowerUsage", CapUnit.WATTS, limit, members)


def _prices(policies: Iterable[CostPolicy], objects: FleetObjects) -> dict[WorkloadKey, PriceOverride]:
    """Prices per workload. Where several policies name a price, the dearest counts: caps must hold under each."""
    prices: dict[WorkloadKey, PriceOverride] = {}
    for policy in policies:
        given = policy.spec.resource_cost_policy
        if given is None:
            continue
        price = PriceOverride(
            gpu_usd_per_hour=given.gpu_cost_per_hour,
            npu_usd_per_hour=given.npu_cost_per_hour,
            cpu_usd_per_core_hour=given.cpu_cost_per_core_per_hour,
            memory_usd_per_gib_hour=given.memory_cost_per_gi_per_hour,
        )
        for key in covered(policy.spec, objects):
            prices[key] = _dearest(prices.get(key, PriceOverride()), price)
    return prices


def _dearest(one: PriceOverride, other: PriceOverride) -> PriceOverride:
    def larger(a: float | None, b: float | None) -> float | None:
        return max((value for value in (a, b) if value is not None), default=None)

    return PriceOverride(
        larger(one.gpu_usd_per_hour, other.gpu_usd_per_hour),
        larger(one.npu_usd_per_hour, other.npu_usd_per_hour),
        larger(one.cpu_usd_per_core_hour, other.cpu_usd_per_core_hour),
        larger(one.memory_usd_per_gib_hour, other.memory_usd_per_gib_hour),
    )
