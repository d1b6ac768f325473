"""Money: what one replica costs per hour, and who says so.

In this order: the prices of a CostPolicy; OpenCost's node price, which knows NVIDIA devices only; the built-in table
by device model and capacity type. A table price is the whole instance divided by its accelerators, host included, so
CPU and memory are never added to it. Nobody knows the price of a device: it is missing, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from kcloud_autoscale.account.devices import card_fraction, held_devices, is_gpu, node_model
from kcloud_autoscale.domain.accelerator import AcceleratorTable
from kcloud_autoscale.domain.node import CapacityType, capacity_type
from kcloud_autoscale.domain.observation import NodeObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import PriceOverride, ReplicaResources, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.units import BYTES_PER_GIB

Nodes = Mapping[str, NodeObservation]
_NOWHERE = NodeObservation("")


def replica_price(
    policy: WorkloadPolicy,
    seen: WorkloadObservation,
    nodes: Nodes,
    override: PriceOverride | None,
    table: AcceleratorTable,
    now_seconds: float,
) -> Reading:
    """USD per hour of one replica where its pods run now; the mean over its pods when nodes differ.

    A workload without a bound pod is priced on the dearest node that carries its devices: where the next pod lands
    is not known, and a cap must hold wherever it does.
    """
    devices = held_devices(policy, seen)
    overridden = _overridden(devices, policy.resources, override, now_seconds)
    if overridden is not None:
        return overridden
    here = _pods_by_node(seen, nodes)
    if here:
        return _mean(
            [(_on_node(seen, policy, devices, nodes[name], table, now_seconds), n) for name, n in here.items()]
        )
    return _dearest(seen, policy, devices, nodes, table, now_seconds)


def on_demand_price(
    actual: Reading,
    policy: WorkloadPolicy,
    seen: WorkloadObservation,
    nodes: Nodes,
    table: AcceleratorTable,
    now_seconds: float,
) -> Reading:
    """USD per hour the same replica would cost on demand: what the baseline pays.

    Where nothing better is known than the price paid, nothing is claimed to have been saved by spot.
    """
    if isinstance(actual, Missing) or actual.source == "override":
        return actual
    here = _pods_by_node(seen, nodes)
    if all(capacity_type(nodes[name].labels) is not CapacityType.SPOT for name in here):
        return actual
    devices = held_devices(policy, seen)
    listed = _mean([(_from_table(seen, devices, nodes[n], table, 1.0, now_seconds), pods) for n, pods in here.items()])
    if isinstance(listed, Missing) or listed.value < actual.value:
        return actual
    return listed


def _overridden(
    devices: Mapping[str, int], resources: ReplicaResources, override: PriceOverride | None, now_seconds: float
) -> Reading | None:
    """The price a CostPolicy sets; None when it does not price what the replica holds."""
    if override is None:
        return None
    held = 0.0
    for resource, count in devices.items():
        each = override.gpu_usd_per_hour if is_gpu(resource) else override.npu_usd_per_hour
        fraction = card_fraction(resource)
        if each is None or fraction is None:
            return None
        held += each * fraction * count
    host = _host_share(resources, override)
    if not devices and host is None:
        return None
    return Sample(held + (host or 0.0), now_seconds, "override")


def _host_share(resources: ReplicaResources, override: PriceOverride) -> float | None:
    """CPU and memory at the policy's prices: 8 cores at 0.04 $ and 32 GiB at 0.005 $ are 0.48 $/h. None if unpriced."""
    cores, gib = resources.cpu_cores, (resources.memory_bytes or 0.0) / BYTES_PER_GIB or None
    share: float | None = None
    for amount, price in ((cores, override.cpu_usd_per_core_hour), (gib, override.memory_usd_per_gib_hour)):
        if amount is None:
            continue
        if price is None:
            return None
        share = (share or 0.0) + amount * price
    return share


def _pods_by_node(seen: WorkloadObservation, nodes: Nodes) -> Mapping[str, int]:
    if isinstance(seen.target, Missing):
        return {}
    return {name: pods for name, pods in seen.target.pods.staying_by_node.items() if name in nodes}


def _on_node(
    seen: WorkloadObservation, policy: WorkloadPolicy, devices: Mapping[str, int], node: NodeObservation,
    table: AcceleratorTable, now_seconds: float,
) -> Reading:  # fmt: skip
    if not devices:
        return _node_share(policy, node)
    opencost = _from_opencost(devices, node)
    if opencost is not None:
        return opencost
    multiplier = table.spot_multiplier if capacity_type(node.labels) is CapacityType.SPOT else 1.0
    return _from_table(seen, devices, node, table, multiplier, now_seconds)


def _from_opencost(devices: Mapping[str, int], node: NodeObservation) -> Reading | None:
    """OpenCost's price; it counts only NVIDIA devices, and every other accelerator as nothing."""
    each = node.gpu_hourly_usd
    if isinstance(each, Missing) or each.value <= 0.0:
        return None
    held = 0.0
    for resource, count in devices.items():
        fraction = card_fraction(resource)
        if not resource.startswith("nvidia.com/") or fraction is None:
            return None
        held += fraction * count
    return Sample(each.value * held, each.at_seconds, "opencost")


def _from_table(
    seen: WorkloadObservation, devices: Mapping[str, int], node: NodeObservation, table: AcceleratorTable,
    multiplier: float, now_seconds: float,
) -> Reading:  # fmt: skip
    """Table price of the node's device model: two of H100 on demand are 13.76 $/h, on spot 5.50 $/h."""
    model = node_model(seen, node, table)
    if model is None:
        asked = ", ".join(devices)
        return Missing(MissingReason.NO_DATA, f"no model is known for {asked}: set its price in a CostPolicy")
    if model.usd_per_hour is None:
        return Missing(MissingReason.NO_DATA, f"{model.name} has no public price: set it in a CostPolicy")
    held = 0.0
    for resource, count in devices.items():
        fraction = card_fraction(resource, model)
        if fraction is None:
            return Missing(MissingReason.NO_DATA, f"{resource} is an unknown part of a card: set its price")
        held += fraction * count
    source = f"table {model.name}" + (" spot" if multiplier < 1.0 else "")
    return Sample(model.usd_per_hour * multiplier * held, now_seconds, source)


def _node_share(policy: WorkloadPolicy, node: NodeObservation) -> Reading:
    """A replica without devices costs its dominant share of the node: 8 of 32 cores of a 1.60 $/h node are 0.40 $/h."""
    if not node.name:
        return Missing(MissingReason.NO_DATA, "no replica runs on a node we know, so there is no node to price")
    if isinstance(node.hourly_usd, Missing):
        return Missing(MissingReason.NO_DATA, f"nobody exports a price of node {node.name}: set CPU and memory prices")
    resources = policy.resources
    shares = [
        asked / node.allocatable[resource]
        for resource, asked in (("cpu", resources.cpu_cores), ("memory", resources.memory_bytes))
        if asked is not None and node.allocatable.get(resource)
    ]
    if not shares:
        return Missing(MissingReason.NOT_CONFIGURED, f"what part of node {node.name} a replica takes is not known")
    return Sample(node.hourly_usd.value * min(1.0, max(shares)), node.hourly_usd.at_seconds, "opencost")


def _dearest(
    seen: WorkloadObservation, policy: WorkloadPolicy, devices: Mapping[str, int], nodes: Nodes,
    table: AcceleratorTable, now_seconds: float,
) -> Reading:  # fmt: skip
    carrying = [node for node in nodes.values() if all(node.allocatable.get(resource) for resource in devices)]
    prices = [_on_node(seen, policy, devices, node, table, now_seconds) for node in carrying]
    known = [price for price in prices if isinstance(price, Sample)]
    if known:
        return max(known, key=lambda price: price.value)
    return _on_node(seen, policy, devices, _NOWHERE, table, now_seconds)


def _mean(priced: list[tuple[Reading, int]]) -> Reading:
    """Mean over pods; missing as soon as one of them has no price."""
    total, pods = 0.0, 0
    for price, count in priced:
        if isinstance(price, Missing):
            return price
        total += price.value * count
        pods += count
        last = price
    return Sample(total / pods, last.at_seconds, last.source)
