"""Which devices one replica holds, and what part of a card each is."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from kcloud_autoscale.domain.accelerator import Accelerator, AcceleratorTable
from kcloud_autoscale.domain.node import accelerator_product
from kcloud_autoscale.domain.observation import NodeObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy

_MIG = re.compile(r"nvidia\.com/mig-(\d)g\.")
_RNGD_CORES = re.compile(r"furiosa\.ai/rngd-(\d)core\.")
_MIG_SLICES = 7.0  # compute slices of one card
_RNGD_CORES_PER_CARD = 8.0
_ATOM_MAX_DEVICES_PER_CARD = 4.0


def held_devices(policy: WorkloadPolicy, seen: WorkloadObservation) -> Mapping[str, int]:
    """Devices of one replica by extended resource: as its pods ask for them, else as the user says."""
    return seen.replica_accelerators or dict(policy.resources.accelerators)


def device_count(policy: WorkloadPolicy, seen: WorkloadObservation) -> int:
    """How many accelerator devices one replica holds."""
    return sum(held_devices(policy, seen).values())


def card_fraction(resource: str, model: Accelerator | None = None) -> float | None:
    """What part of a card one device of this resource is; None where a card is shared in unknown parts.

    ``nvidia.com/mig-2g.20gb`` is 2/7 of a card, ``furiosa.ai/rngd-2core.12gb`` 2/8. One ATOM-Max card appears as
    four devices. ``nvidia.com/gpu.shared`` says nothing of how many share the card.
    """
    fraction = _named_fraction(resource)
    if fraction == 1.0 and model is not None and model.name == "atom-max":
        return 1.0 / _ATOM_MAX_DEVICES_PER_CARD
    return fraction


@functools.lru_cache(maxsize=256)
def _named_fraction(resource: str) -> float | None:
    """As far as the name of the resource tells; there are few names, and each is asked for every minute."""
    if resource.endswith(".shared"):
        return None
    if (mig := _MIG.match(resource)) is not None:
        return int(mig[1]) / _MIG_SLICES
    if (cores := _RNGD_CORES.match(resource)) is not None:
        return int(cores[1]) / _RNGD_CORES_PER_CARD
    return 1.0


def is_gpu(resource: str) -> bool:
    """True for what a `gpuCostPerHour` prices; every other extended resource is an NPU."""
    return resource.startswith(("nvidia.com/", "amd.com/gpu", "gpu.intel.com/"))


def node_model(seen: WorkloadObservation, node: NodeObservation | None, table: AcceleratorTable) -> Accelerator | None:
    """The device model on a node: by the node's own label, else as a metric of the workload names it."""
    product = accelerator_product(node.labels) if node is not None else ""
    return table.find(product or seen.accelerator_model)
