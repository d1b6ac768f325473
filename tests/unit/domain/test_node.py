from __future__ import annotations

import pytest

from kcloud_autoscale.domain.node import CapacityType, accelerator_product, capacity_type


@pytest.mark.parametrize(
    "labels",
    [
        {"karpenter.sh/capacity-type": "spot"},
        {"eks.amazonaws.com/capacityType": "SPOT"},
        {"cloud.google.com/gke-spot": "true"},
        {"cloud.google.com/gke-provisioning": "spot"},
        {"cloud.google.com/gke-preemptible": "true"},
        {"kubernetes.azure.com/scalesetpriority": "spot"},
        {"lifecycle": "Ec2Spot"},
    ],
)
def test_spot_in_every_spelling(labels: dict[str, str]):
    assert capacity_type(labels) is CapacityType.SPOT


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, CapacityType.ON_DEMAND),
        ({"karpenter.sh/capacity-type": "on-demand"}, CapacityType.ON_DEMAND),
        ({"eks.amazonaws.com/capacityType": "ON_DEMAND"}, CapacityType.ON_DEMAND),
        ({"cloud.google.com/gke-spot": "false"}, CapacityType.ON_DEMAND),
        ({"karpenter.sh/capacity-type": "reserved"}, CapacityType.RESERVED),
        ({"eks.amazonaws.com/capacityType": "CAPACITY_BLOCK"}, CapacityType.RESERVED),
    ],
)
def test_what_is_not_spot(labels: dict[str, str], expected: CapacityType):
    assert capacity_type(labels) is expected


def test_the_product_label_of_each_vendor():
    assert accelerator_product({"nvidia.com/gpu.product": "Tesla-T4"}) == "Tesla-T4"
    assert accelerator_product({"rebellions.ai/npu.product": "RBLN-CA25"}) == "RBLN-CA25"
    assert accelerator_product({"kubernetes.io/arch": "arm64"}) == ""
