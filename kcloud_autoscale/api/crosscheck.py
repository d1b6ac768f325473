"""What only several objects together can get wrong; `validate` asks it of some files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kcloud_autoscale.api.problem import Problem
from kcloud_autoscale.api.resolve import ResourceNames, resolve_workload
from kcloud_autoscale.api.resolve_fleet import FleetObjects, covered, key_of, resolve_fleet
from kcloud_autoscale.api.rules import cel_number
from kcloud_autoscale.api.v1alpha1 import CostPolicy, PowerPolicy, WorkloadOptimizer
from kcloud_autoscale.domain.policy import PriceOverride, WorkloadPolicy
from kcloud_autoscale.domain.units import BYTES_PER_GIB
from kcloud_autoscale.domain.workload import Mode, WorkloadKey

Ours = WorkloadOptimizer | CostPolicy | PowerPolicy


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem of one of the objects that were checked together: the one at ``position``."""

    position: int
    problem: Problem


def check_together(objects: Mapping[int, Ours], others: Sequence[Mapping[str, Any]] = ()) -> list[Fault]:
    """Faults across objects that are each fine alone.

    Args:
        objects: Ours, by a position that faults refer to.
        others: Namespaces (for their labels), HorizontalPodAutoscalers and ScaledObjects; the rest is passed over.
    """
    fleet = FleetObjects(
        optimizers=[item for item in objects.values() if isinstance(item, WorkloadOptimizer)],
        cost_policies=[item for item in objects.values() if isinstance(item, CostPolicy)],
        power_policies=[item for item in objects.values() if isinstance(item, PowerPolicy)],
        namespace_labels=_namespace_labels(others),
    )
    optimizers = {at: item for at, item in objects.items() if isinstance(item, WorkloadOptimizer)}
    return [
        *_named_twice(objects),
        *_one_target_each(optimizers),
        *_other_autoscalers(optimizers, others),
        *_floors(objects, fleet),
    ]


def _namespace_labels(others: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    labels = {}
    for other in others:
        meta = other.get("metadata") or {}
        if other.get("kind") == "Namespace" and "name" in meta:
            name = str(meta["name"])
            labels[name] = {"kubernetes.io/metadata.name": name, **(meta.get("labels") or {})}
    return labels


def _named_twice(objects: Mapping[int, Ours]) -> Iterator[Fault]:
    seen: set[tuple[str, str, str]] = set()
    for at, item in objects.items():
        identity = (item.kind, item.metadata.namespace or "default", item.metadata.name)
        if identity in seen:
            message = f"{item.kind} {item.metadata.name} is given twice; the later would replace the earlier"
            yield Fault(at, Problem(("metadata", "name"), message, item.metadata.name, 1))
        seen.add(identity)


def _target(optimizer: WorkloadOptimizer) -> tuple[str, str, str] | None:
    """Namespace, kind and name of what it may scale; None when it scales nothing."""
    scaling, reference = optimizer.spec.auto_scaling, optimizer.spec.target_ref
    if scaling is None or scaling.mode == "Off":
        return None
    kind, name = (reference.kind, reference.name) if reference else ("Deployment", optimizer.metadata.name)
    return optimizer.metadata.namespace or "default", kind, name


def _one_target_each(optimizers: Mapping[int, WorkloadOptimizer]) -> Iterator[Fault]:
    owner: dict[tuple[str, str, str], str] = {}
    for at, optimizer in optimizers.items():
        target = _target(optimizer)
        first = owner.setdefault(target, optimizer.metadata.name) if target else optimizer.metadata.name
        if target and first != optimizer.metadata.name:
            message = f"{target[1]} {target[2]} is scaled by WorkloadOptimizer {first} already; at most 1 may scale it"
            yield Fault(at, Problem(("spec", "targetRef"), message, target[2], 1))


def _other_autoscalers(
    optimizers: Mapping[int, WorkloadOptimizer], others: Sequence[Mapping[str, Any]]
) -> Iterator[Fault]:
    taken = {}
    for other in others:
        if other.get("kind") in ("HorizontalPodAutoscaler", "ScaledObject"):
            meta, reference = other.get("metadata") or {}, (other.get("spec") or {}).get("scaleTargetRef") or {}
            place = (str(meta.get("namespace") or "default"), str(reference.get("kind") or "Deployment"))
            taken[(*place, str(reference.get("name")))] = f"{other['kind']} {meta.get('name')}"
    for at, optimizer in optimizers.items():
        target = _target(optimizer)
        if target in taken:
            message = f"{target[1]} {target[2]} is scaled by {taken[target]} already; remove that, or set mode Off"
            yield Fault(at, Problem(("spec", "targetRef"), message, target[2], taken[target]))


def _floors(objects: Mapping[int, Ours], fleet: FleetObjects) -> Iterator[Fault]:
    """minReplicas is never cut by money: floors that alone cost more than a limit break it for good."""
    names = ResourceNames()
    prices = resolve_fleet(fleet, names).price_overrides
    policies = {key_of(optimizer): resolve_workload(optimizer, names) for optimizer in fleet.optimizers}
    usd = {key: _floor_usd_per_hour(policy, prices.get(key), names) for key, policy in policies.items()}
    for at, item in objects.items():
        if isinstance(item, WorkloadOptimizer):
            yield from _own_floor(at, policies[key_of(item)], usd[key_of(item)])
        if isinstance(item, CostPolicy) and item.spec.cost_per_hour_limit is not None:
            yield from _shared_floor(at, item.spec.cost_per_hour_limit, covered(item.spec, fleet), usd)


def _floor_usd_per_hour(policy: WorkloadPolicy, price: PriceOverride | None, names: ResourceNames) -> float | None:
    """What minReplicas cost at the prices the policies set; None where a resource has no price.

    2 replicas of 4 GPUs at 2.50 $/h are 20 $/h.
    """
    if policy.mode is Mode.OFF or price is None or not policy.resources.accelerators:
        return None
    per_replica = (policy.resources.cpu_cores or 0.0) * (price.cpu_usd_per_core_hour or 0.0)
    per_replica += (policy.resources.memory_bytes or 0.0) / BYTES_PER_GIB * (price.memory_usd_per_gib_hour or 0.0)
    for name, count in policy.resources.accelerators:
        usd = price.npu_usd_per_hour if _is_npu(name, names) else price.gpu_usd_per_hour
        if usd is None:
            return None
        per_replica += count * usd
    return policy.min_replicas * per_replica


def _is_npu(resource: str, names: ResourceNames) -> bool:
    return resource in names.npu


def _own_floor(at: int, policy: WorkloadPolicy, usd: float | None) -> Iterator[Fault]:
    cap = policy.caps.max_usd_per_hour
    if usd is None or cap is None or usd <= cap:
        return
    message = (
        f"{policy.min_replicas} replicas, the fewest allowed, cost {_money(usd)} $/h at the prices of the given "
        f"CostPolicies: above maxCostPerHour {_money(cap)}"
    )
    yield Fault(at, Problem(("spec", "costConstraints", "maxCostPerHour"), message, cap, usd))


def _shared_floor(
    at: int, limit: float, members: frozenset[WorkloadKey], usd: Mapping[WorkloadKey, float | None]
) -> Iterator[Fault]:
    floors = {key: cost for key in sorted(members) if (cost := usd[key]) is not None}
    total = sum(floors.values())
    if total > limit:
        parts = ", ".join(f"{key} {_money(cost)}" for key, cost in floors.items())
        message = f"costPerHourLimit {_money(limit)} is below the {_money(total)} $/h of minReplicas alone ({parts})"
        yield Fault(at, Problem(("spec", "costPerHourLimit"), message, limit, total))


def _money(usd: float) -> str:
    return cel_number(round(usd, 4))
