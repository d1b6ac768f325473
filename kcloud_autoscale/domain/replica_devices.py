"""Which extended resources of a replica are devices: what the table says, and what the user has named as one."""

from __future__ import annotations

from collections.abc import Mapping

from kcloud_autoscale.domain.device import device_resource, is_accelerator
from kcloud_autoscale.domain.observation import WorkloadObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy


def held_devices(policy: WorkloadPolicy, seen: WorkloadObservation) -> Mapping[str, int]:
    """Devices of one replica by extended resource: as its pods ask for them, else as the user says.

    A resource that the table does not know is a device only where the user has named it as one.
    """
    named = dict(policy.resources.accelerators)
    asked = {
        resource: count
        for resource, count in seen.replica_accelerators.items()
        if resource in named or is_accelerator(resource)
    }
    return asked or named


def unknown_resources(policy: WorkloadPolicy, seen: WorkloadObservation) -> tuple[str, ...]:
    """Extended resources of its pods that neither the table nor the user knows: they count as nothing."""
    held = held_devices(policy, seen)
    return tuple(name for name in seen.replica_accelerators if name not in held and device_resource(name) is None)
