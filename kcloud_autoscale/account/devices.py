"""Which devices one replica holds, and how many cards those are on a given node."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kcloud_autoscale.domain.accelerator import Accelerator, AcceleratorTable
from kcloud_autoscale.domain.device import DeviceResource, Family, ShareUnit, device_resource, family_of, mig_fraction
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.node import accelerator_model, instance_accelerators
from kcloud_autoscale.domain.observation import NodeObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.replica_devices import held_devices

_WHOLE_CARD = DeviceResource(Family.NPU)
_MIG_PRODUCT = re.compile(r"-MIG-(\d+)g\.", re.IGNORECASE)
_GKE_PARTITION = re.compile(r"(\d+)g\.")
_AMD_PARTITIONS = {"spx": 1.0, "dpx": 2.0, "tpx": 3.0, "qpx": 4.0, "cpx": 8.0}
_AMD_PARTITION_LABELS = ("amd.com/gpu.compute-memory-partition", "amd.com/compute-memory-partition")
_GPU_MEMORY_LABELS = ("nvidia.com/gpu.memory", "karpenter.k8s.aws/instance-gpu-memory")


@frozen
class HeldCards:
    """The devices of one kind that a replica holds.

    Attributes:
        resource: Extended resource, or the driver that handed them out by a claim.
        units: How many of it.
        cards: What part of a card, or how many cards, those are: 2/7 for ``nvidia.com/mig-2g.20gb: 1``.
        model: Of the card; None where nothing names it.
        family: Which price of a CostPolicy pays for them.
        claimed: By a ResourceClaim; the node's allocatable does not count such devices.
    """

    resource: str
    units: float
    cards: float
    model: Accelerator | None
    family: Family
    claimed: bool = False


def device_count(policy: WorkloadPolicy, seen: WorkloadObservation) -> int:
    """How many accelerator devices one replica holds."""
    claimed = 0 if isinstance(seen.replica_claims, Missing) else len(seen.replica_claims)
    return sum(held_devices(policy, seen).values()) + claimed


def held_cards(
    policy: WorkloadPolicy, seen: WorkloadObservation, node: NodeObservation, table: AcceleratorTable
) -> tuple[HeldCards, ...] | Missing:
    """The cards one replica holds on a node; empty where it holds none, Missing where their part is not known."""
    if isinstance(seen.replica_claims, Missing):
        return seen.replica_claims
    held = [
        HeldCards(each.driver, 1.0, each.card_fraction, table.find(each.product), Family(each.family), claimed=True)
        for each in seen.replica_claims
    ]
    for resource, count in held_devices(policy, seen).items():
        model = resource_model(resource, seen, node, table)
        fraction = card_fraction(resource, node, model, seen.replica_shares)
        if fraction is None:
            why = f"what part of a card one {resource} is on node {node.name or '(unknown)'} is not known"
            return Missing(MissingReason.NO_DATA, why)
        held.append(HeldCards(resource, count, fraction * count, model, family_of(resource)))
    if not held and seen.device_measured:
        why = "an exporter measures a device of its pods, which ask for none that is known: set its resources"
        return Missing(MissingReason.NO_DATA, why)
    return tuple(held)


def resource_model(
    resource: str, seen: WorkloadObservation, node: NodeObservation, table: AcceleratorTable
) -> Accelerator | None:
    """The model behind a resource: as the node tells, else as a metric or the resource's own name does."""
    found = accelerator_model(node.labels, table, seen.accelerator_model)
    known = device_resource(resource)
    return found or (table.find(known.product) if known is not None and known.product else None)


def card_fraction(
    resource: str, node: NodeObservation, model: Accelerator | None = None, shares: Mapping[str, float] | None = None
) -> float | None:
    """What part of a card one unit of a resource is on a node; None where it is a part, and nothing says which.

    Args:
        resource: Extended resource.
        node: Its labels tell of MIG, time slices and partitions, its allocatable how many units make a card.
        model: Of the card.
        shares: Memory and cores that go with each unit, by resource (``nvidia.com/gpumem: 8000``).
    """
    known = device_resource(resource) or _WHOLE_CARD
    told = _told_share(resource, node, shares or {})
    if told is not None:
        return told if told > 0.0 else None
    if known.unit_mib is not None:
        memory_mib = _card_memory_mib(node)
        return None if memory_mib is None else known.unit_mib / memory_mib
    fraction = known.units / _parts(known, resource, node, model)
    if not known.divisible:
        return fraction
    slices = 1.0 if fraction < 1.0 else _slice_by_labels(node.labels, model)
    clients = _clients(resource, node)
    return None if clients is None else fraction * slices / clients


def _told_share(resource: str, node: NodeObservation, shares: Mapping[str, float]) -> float | None:
    """The largest share of a card that memory and core amounts beside a device tell; 0 when they cannot be read.

    20,480 MiB of a card of 81,920 and 10 % of its cores are a quarter of it: nobody else fits into that memory.
    """
    told: float | None = None
    for name, amount in shares.items():
        share = device_resource(name)
        if share is None or share.share_of is None or share.share_of.fullmatch(resource) is None:
            continue
        part = _card_part(share.share, amount, node)
        if part is None:
            return 0.0
        told = max(told or 0.0, min(1.0, part))
    return told


def _card_part(unit: ShareUnit, amount: float, node: NodeObservation) -> float | None:
    if unit is ShareUnit.PERCENT:
        return amount / 100.0
    memory_mib = _card_memory_mib(node)
    return None if unit is ShareUnit.UNKNOWN or memory_mib is None else amount / memory_mib


def _card_memory_mib(node: NodeObservation) -> float | None:
    told = next((node.labels[label] for label in _GPU_MEMORY_LABELS if label in node.labels), "")
    return float(told) if told.isdecimal() and float(told) > 0.0 else None


def _parts(known: DeviceResource, resource: str, node: NodeObservation, model: Accelerator | None) -> float:
    """How many of its parts make a card: 2 Neuron cores of a chip, as the node counts both."""
    units, cards = node.allocatable.get(resource, 0.0), node.allocatable.get(known.cards_resource, 0.0)
    if units > 0.0 and cards > 0.0:
        return units / cards
    return known.parts if model is None else known.parts_of.get(model.name, known.parts)


def _slice_by_labels(labels: Mapping[str, str], model: Accelerator | None) -> float:
    """The slice of a card behind a resource that is named as if it were whole; 1 where no label says so.

    NVIDIA's strategy ``single`` tells it in the product alone (``NVIDIA-A100-SXM4-40GB-MIG-1g.5gb``), GKE by its
    partition size, AMD by the mode of its partitions.
    """
    mig = _MIG_PRODUCT.search(labels.get("nvidia.com/gpu.product", ""))
    mig = mig or _GKE_PARTITION.match(labels.get("cloud.google.com/gke-gpu-partition-size", ""))
    if mig is not None:
        return mig_fraction(int(mig[1]), "" if model is None else model.name)
    mode = next((labels[label] for label in _AMD_PARTITION_LABELS if label in labels), "").partition("_")[0].lower()
    partitions = 6.0 if mode == "cpx" and model is not None and model.name == "mi300a" else None
    return 1.0 / (partitions or _AMD_PARTITIONS.get(mode, 1.0))


def _clients(resource: str, node: NodeObservation) -> float | None:
    """How many share one device by time slices or MPS; None where it is shared, and nothing says by how many."""
    labels, base = node.labels, resource.removesuffix(".shared")
    for label in (f"{base}.replicas", "cloud.google.com/gke-max-shared-clients-per-gpu"):
        told = labels.get(label, "")
        if told.isdecimal() and int(told) > 1:
            return float(told)
    if resource.endswith(".shared") or labels.get("nvidia.com/gpu.product", "").endswith("-SHARED"):
        return None
    carried = instance_accelerators(labels)
    # A Standard_NV6ads_A10_v5 is given a sixth of a card and shows it as one device.
    return 1.0 / carried.cards if carried is not None and carried.cards < 1.0 else 1.0
