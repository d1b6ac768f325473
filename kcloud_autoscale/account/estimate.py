"""What one replica can cost and draw at most, where its price or its draw is not known.

Only limits use it: nothing is billed at an estimate. A bound must hold in the worst case, so a shared device counts as
a whole card and a device without a known model as the dearest of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from kcloud_autoscale.account.power import HOST_FACTOR
from kcloud_autoscale.domain.accelerator import AcceleratorTable
from kcloud_autoscale.domain.device import Family, family_of
from kcloud_autoscale.domain.observation import NodeObservation, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import PriceOverride, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.replica_devices import held_devices

_NOTHING = Missing(MissingReason.NO_DATA, "nothing tells what a replica takes at most")


def most_usd_per_hour(
    policy: WorkloadPolicy,
    seen: WorkloadObservation,
    nodes: Mapping[str, NodeObservation],
    override: PriceOverride | None,
    table: AcceleratorTable,
    now_seconds: float,
) -> Reading:
    """The least of what holds from above: the policy's own price, the node's, the dearest device of the kind.

    Two devices of ``nvidia.com/gpu.shared`` at 2 $/h in a CostPolicy cost at most 4 $/h; two GPUs of a model that
    nobody names at most 54.08 $/h, what two GB200 cost.
    """
    devices = _devices(policy, seen)
    bounds = [
        bound
        for bound in (_at_policy_prices(devices, override), _dearest(devices, table), _whole_node(devices, seen, nodes))
        if bound is not None
    ]
    return Sample(min(bounds), now_seconds, "estimate from above") if bounds else _NOTHING


def most_watts(
    policy: WorkloadPolicy, seen: WorkloadObservation, table: AcceleratorTable, now_seconds: float
) -> Reading:
    """The peak of the hungriest device of the kind, with its host: a GPU that nobody names draws at most 1,820 W."""
    total = 0.0
    for resource, count in _devices(policy, seen).items():
        peaks = [m.peak_watts for m in table.models if m.is_gpu is _is_gpu(resource) and m.peak_watts is not None]
        if not peaks:
            return _NOTHING
        total += count * max(peaks) * HOST_FACTOR
    return Sample(total, now_seconds, "estimate from above") if total > 0.0 else _NOTHING


def _devices(policy: WorkloadPolicy, seen: WorkloadObservation) -> Mapping[str, int]:
    """What its pods hold. What a user declares for pods that hold nothing must not fill a limit others share."""
    held = held_devices(policy, seen)
    if isinstance(seen.target, TargetObservation) and seen.target.pods:
        return {name: count for name, count in held.items() if name in seen.replica_accelerators}
    return held


def _is_gpu(resource: str) -> bool:
    return family_of(resource) is Family.GPU


def _at_policy_prices(devices: Mapping[str, int], override: PriceOverride | None) -> float | None:
    if override is None or not devices:
        return None
    total = 0.0
    for resource, count in devices.items():
        each = override.gpu_usd_per_hour if _is_gpu(resource) else override.npu_usd_per_hour
        if each is None:
            return None
        total += each * count
    return total


def _dearest(devices: Mapping[str, int], table: AcceleratorTable) -> float | None:
    total = 0.0
    for resource, count in devices.items():
        prices = [m.usd_per_hour for m in table.models if m.is_gpu is _is_gpu(resource) and m.usd_per_hour is not None]
        if not prices:
            return None
        total += count * max(prices)
    return total or None


def _whole_node(
    devices: Mapping[str, int], seen: WorkloadObservation, nodes: Mapping[str, NodeObservation]
) -> float | None:
    """A replica costs no more than the dearest node it runs on; OpenCost prices NVIDIA's devices only."""
    if isinstance(seen.target, Missing) or not all(name.startswith("nvidia.com/") for name in devices):
        return None
    prices = [nodes[name].hourly_usd for name in seen.target.pods.staying_by_node if name in nodes]
    if not prices or any(isinstance(price, Missing) or price.value <= 0.0 for price in prices):
        return None
    return max(price.value for price in prices if isinstance(price, Sample))
