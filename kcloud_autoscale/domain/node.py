"""What a node's labels say: capacity type and accelerator product, in every spelling in use."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


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

_PRODUCT_LABELS = (
    "nvidia.com/gpu.product",
    "furiosa.ai/npu.product",
    "rebellions.ai/npu.product",
    "karpenter.k8s.aws/instance-accelerator-name",
    "karpenter.k8s.aws/instance-gpu-name",
    "cloud.google.com/gke-accelerator",
    "cloud.google.com/gke-tpu-accelerator",
)


def capacity_type(labels: Mapping[str, str]) -> CapacityType:
    """How the node is paid for; on demand, the dearest, where no label says otherwise."""
    for label, meanings in _CAPACITY_LABELS:
        meaning = meanings.get(labels.get(label, "").lower())
        if meaning is not None:
            return meaning
    return CapacityType.ON_DEMAND


def accelerator_product(labels: Mapping[str, str]) -> str:
    """The product label of the node's devices (``NVIDIA-H100-80GB-HBM3``); empty when it has none."""
    for label in _PRODUCT_LABELS:
        product = labels.get(label)
        if product:
            return product
    return ""
