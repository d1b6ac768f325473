"""Devices that pods are given by dynamic resource allocation (``resource.k8s.io/v1``) instead of extended resources.

A ResourceClaim tells which devices it was given, by driver, pool and name; the ResourceSlices of that pool tell what
those are. A claim that several pods share costs each of them its part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kcloud_autoscale.domain.accelerator import accelerator_table
from kcloud_autoscale.domain.device import driver_family, mig_fraction
from kcloud_autoscale.domain.observation import ClaimedDevice
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.observe.objects import quantity
from kcloud_autoscale.observe.reader import Json

_MIG_PROFILE = re.compile(r"(?:\d+c\.)?(\d+)g\.")


@dataclass(frozen=True, slots=True)
class AllocatedDevice:
    """One result of an allocation; ``consumed`` is what it takes of a device that several claims share."""

    driver: str
    pool: str
    device: str
    consumed: Mapping[str, str]
    shared: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A ResourceClaim: its devices, and how many pods have reserved it. ``allocated`` is False while it has none."""

    devices: tuple[AllocatedDevice, ...]
    pods: int
    allocated: bool


@dataclass(frozen=True, slots=True)
class SliceDevice:
    """What a driver publishes of a device."""

    product: str
    kind: str
    profile: str
    capacity: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Slice:
    """A ResourceSlice: some devices of one generation of a pool."""

    driver: str
    pool: str
    generation: int
    devices: Mapping[str, SliceDevice]


def claim(item: Json) -> Claim:
    """From a ResourceClaim."""
    status = item.get("status") or {}
    allocation = status.get("allocation")
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    devices = tuple(
        AllocatedDevice(
            each["driver"], each["pool"], each["device"], each.get("consumedCapacity") or {}, bool(each.get("shareID"))
        )
        for each in results
        if not each.get("adminAccess")
    )
    return Claim(devices, max(1, len(status.get("reservedFor") or ())), allocation is not None)


def resource_slice(item: Json) -> Slice:
    """From a ResourceSlice."""
    spec = item["spec"]
    pool = spec["pool"]
    devices = {each["name"]: _device(each) for each in spec.get("devices") or ()}
    return Slice(spec["driver"], pool["name"], int(pool.get("generation", 0)), devices)


def _device(item: Json) -> SliceDevice:
    published = item.get("basic") or item
    attributes = {name.rpartition("/")[2]: value for name, value in (published.get("attributes") or {}).items()}
    capacity = {
        name.rpartition("/")[2]: str(value["value"] if isinstance(value, dict) else value)
        for name, value in (published.get("capacity") or {}).items()
    }
    product = _text(attributes, "productName") or _text(attributes, "model") or _text(attributes, "product")
    return SliceDevice(product, _text(attributes, "type"), _text(attributes, "profile"), capacity)


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name) or {}
    return str(value.get("string", "")) if isinstance(value, dict) else str(value)


def claimed_devices(
    names: Sequence[str], claims: Mapping[str, Claim], slices: Iterable[Slice]
) -> tuple[ClaimedDevice, ...] | Missing:
    """The accelerators behind a pod's claims.

    Args:
        names: Of its claims; an empty one has not been made yet.
        claims: Of its namespace, by name.
        slices: Of the cluster.

    Returns:
        Devices, or why what the pod holds is not known.
    """
    if not names:
        return ()
    published = _newest(slices)
    found: list[ClaimedDevice] = []
    for name in names:
        known = claims.get(name)
        if known is None or not known.allocated:
            what = f"ResourceClaim {name}" if name else "a ResourceClaim"
            state = "has no devices yet" if known is not None or not name else "cannot be read"
            return Missing(MissingReason.NO_DATA, f"{what} {state}")
        for device in known.devices:
            resolved = _resolved(device, known.pods, published)
            if isinstance(resolved, Missing):
                return resolved
            if resolved is not None:
                found.append(resolved)
    return tuple(found)


def _newest(slices: Iterable[Slice]) -> dict[tuple[str, str, str], SliceDevice]:
    """Devices by driver, pool and name, of the newest generation of each pool."""
    kept = list(slices)
    newest: dict[tuple[str, str], int] = {}
    for each in kept:
        pool = (each.driver, each.pool)
        newest[pool] = max(newest.get(pool, each.generation), each.generation)
    return {
        (each.driver, each.pool, name): device
        for each in kept
        if each.generation == newest[each.driver, each.pool]
        for name, device in each.devices.items()
    }


def _resolved(
    device: AllocatedDevice, pods: int, published: Mapping[tuple[str, str, str], SliceDevice]
) -> ClaimedDevice | Missing | None:
    try:
        family = driver_family(device.driver)
    except KeyError:
        return Missing(MissingReason.NO_DATA, f"driver {device.driver} of a ResourceClaim is not known")
    if family is None:
        return None
    known = published.get((device.driver, device.pool, device.device))
    if known is None:
        where = f"device {device.device} of pool {device.pool}"
        return Missing(MissingReason.NO_DATA, f"no ResourceSlice of {device.driver} has {where}")
    fraction = _fraction(device, known)
    if fraction is None:
        return Missing(MissingReason.NO_DATA, f"what part of {device.device} a ResourceClaim takes is not known")
    return ClaimedDevice(device.driver, known.product, fraction / pods, family.value)


def _fraction(device: AllocatedDevice, known: SliceDevice) -> float | None:
    """What part of a card: of a MIG device by its profile, of a shared one by the memory it takes."""
    mig = _MIG_PROFILE.match(known.profile)
    if known.kind == "mig" and mig is None:
        return None
    model = accelerator_table().find(known.product)
    card = mig_fraction(int(mig[1]), "" if model is None else model.name) if mig is not None else 1.0
    if not device.shared and not device.consumed:
        return card
    consumed = {name.rpartition("/")[2]: amount for name, amount in device.consumed.items()}
    if "memory" not in consumed or "memory" not in known.capacity:
        return None
    whole = quantity(known.capacity["memory"])
    return card * min(1.0, quantity(consumed["memory"]) / whole) if whole > 0.0 else None
