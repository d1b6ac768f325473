"""What a node's labels say: capacity type and accelerator model, in every spelling in use."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources

from kcloud_autoscale.domain.accelerator import Accelerator, AcceleratorTable
from kcloud_autoscale.domain.frozen import frozen


class CapacityType(StrEnum):
    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVED = "reserved"


# Label and lower-cased value: Karpenter, EKS (writes SPOT in upper case), GKE (three), AKS, and an old EKS habit.
_CAPACITY_LABELS: tuple[tuple[str, Mapping[str, CapacityType]], ...] = (
    (
        "karpenter.sh/capacity-type",
        {"spot": CapacityType.SPOT, "on-demand": CapacityType.ON_DEMAND, "reserved": CapacityType.RESERVED},
    ),
    (
        "eks.amazonaws.com/capacityType",
        {"spot": CapacityType.SPOT, "on_demand": CapacityType.ON_DEMAND, "capacity_block": CapacityType.RESERVED},
    ),
    ("cloud.google.com/gke-spot", {"true": CapacityType.SPOT}),
    ("cloud.google.com/gke-provisioning", {"spot": CapacityType.SPOT, "standard": CapacityType.ON_DEMAND}),
    ("cloud.google.com/gke-preemptible", {"true": CapacityType.SPOT}),
    ("kubernetes.azure.com/scalesetpriority", {"spot": CapacityType.SPOT, "regular": CapacityType.ON_DEMAND}),
    ("lifecycle", {"ec2spot": CapacityType.SPOT}),
)

# The label of every family in use that names the model, the most exact first, and one that tells the memory of a card
# in MiB where it is needed to tell two models of one name apart (an A100 has 40 or 80 GB); empty for none.
_PRODUCT_LABELS = (
    ("nvidia.com/gpu.product", ""),
    ("amd.com/gpu.product-name", ""),
    ("beta.amd.com/gpu.product-name", ""),
    ("furiosa.ai/npu.product", ""),
    ("rebellions.ai/npu.product", ""),
    ("gpu.intel.com/product", ""),
    ("gpu.nvidia.com/model", "gpu.nvidia.com/vram"),  # CoreWeave
    ("karpenter.k8s.aws/instance-accelerator-name", ""),
    ("karpenter.k8s.aws/instance-gpu-name", "karpenter.k8s.aws/instance-gpu-memory"),
    ("eks.amazonaws.com/instance-accelerator-name", ""),
    ("eks.amazonaws.com/instance-gpu-name", "eks.amazonaws.com/instance-gpu-memory"),
    ("karpenter.azure.com/sku-gpu-name", ""),
    ("cloud.google.com/gke-accelerator", ""),
    ("cloud.google.com/gke-tpu-accelerator", ""),
    ("k8s.amazonaws.com/accelerator", ""),
    ("habana.ai/gaudi.product", ""),
)
_INSTANCE_TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")


def capacity_type(labels: Mapping[str, str]) -> CapacityType:
    """How the node is paid for; on demand, the dearest, where no label says otherwise."""
    for label, meanings in _CAPACITY_LABELS:
        meaning = meanings.get(labels.get(label, "").lower())
        if meaning is not None:
            return meaning
    return CapacityType.ON_DEMAND


def accelerator_product(labels: Mapping[str, str]) -> str:
    """What the node's labels call its devices (``NVIDIA-H100-80GB-HBM3``); empty when none of them names a model.

    Where a label of the same family tells the memory of a card it is added, since the name alone does not tell
    everything: ``a100`` with 81,920 MiB is an ``a100 80gb``.
    """
    for label, memory in _PRODUCT_LABELS:
        product = labels.get(label)
        if product:
            return f"{product} {_sold_gigabytes(labels.get(memory, ''))}".strip()
    return ""


def _sold_gigabytes(mib: str) -> str:
    """``80gb`` of 81920 or 80 (CoreWeave counts in GB); empty where nothing is told."""
    if not mib.isdecimal():
        return ""
    told = float(mib)
    gigabytes = told / 1024.0 if told >= 1024.0 else told
    return f"{10 * round(gigabytes / 10.0):d}gb"


def accelerator_model(
    labels: Mapping[str, str], table: AcceleratorTable, metric_product: str = ""
) -> Accelerator | None:
    """The device model of a node: by its labels, else as a metric names it, else by its instance type.

    An instance type that knows more of the same model has the last word: a label says ``A100``, and
    ``Standard_NC24ads_A100_v4`` carries those of 80 GB.
    """
    named = table.find(accelerator_product(labels) or metric_product)
    carried = instance_accelerators(labels)
    if carried is None:
        return named
    by_type = table.named(carried.model)
    if named is None or (by_type is not None and by_type.name.startswith(f"{named.name}-")):
        return by_type
    return named


@frozen
class InstanceAccelerators:
    """What an instance type carries: the model, and how many cards, less than 1 for a part of one."""

    model: str
    cards: float


def instance_accelerators(labels: Mapping[str, str]) -> InstanceAccelerators | None:
    """The accelerators of the node's instance type; None where it has none, or the table does not know it."""
    for label in _INSTANCE_TYPE_LABELS:
        if label in labels:
            return _instance_accelerators(labels[label])
    return None


@functools.lru_cache(maxsize=1024)
def _instance_accelerators(instance_type: str) -> InstanceAccelerators | None:
    for pattern, carried in _instance_types():
        if pattern.fullmatch(instance_type):
            return carried
    return None


@functools.cache
def _instance_types() -> tuple[tuple[re.Pattern[str], InstanceAccelerators], ...]:
    text = resources.files("kcloud_autoscale.domain").joinpath("instance_types.toml").read_text(encoding="utf-8")
    return tuple(
        (re.compile(row["match"], re.IGNORECASE), InstanceAccelerators(row["model"], float(row["cards"])))
        for row in tomllib.loads(text)["type"]
    )
