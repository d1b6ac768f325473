from __future__ import annotations

from collections.abc import Mapping

import pytest

from kcloud_autoscale.account.devices import card_fraction, held_cards
from kcloud_autoscale.domain.accelerator import accelerator_table
from kcloud_autoscale.domain.node import accelerator_model
from kcloud_autoscale.domain.observation import ClaimedDevice, NodeObservation
from kcloud_autoscale.domain.policy import ReplicaResources
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.replica_devices import held_devices, unknown_resources
from tests.builders.accounting import a_policy, seen, some_pods

TABLE = accelerator_table()
NVIDIA = "nvidia.com/gpu"
PRODUCT = "nvidia.com/gpu.product"


@pytest.mark.parametrize(
    ("resource", "labels", "allocatable", "cards"),
    [
        (NVIDIA, {PRODUCT: "NVIDIA-H100-80GB-HBM3"}, {NVIDIA: 8}, 1.0),
        # The device plugin's own label of time slices and MPS.
        (NVIDIA, {PRODUCT: "Tesla-T4", "nvidia.com/gpu.replicas": "4"}, {NVIDIA: 4}, 1 / 4),
        (NVIDIA, {PRODUCT: "Tesla-T4-SHARED", "nvidia.com/gpu.replicas": "8"}, {NVIDIA: 8}, 1 / 8),
        ("nvidia.com/gpu.shared", {"nvidia.com/gpu.replicas": "10"}, {}, 1 / 10),
        ("nvidia.com/gpu.shared", {}, {}, None),
        (NVIDIA, {PRODUCT: "Tesla-T4-SHARED"}, {NVIDIA: 8}, None),
        # MIG: strategy mixed tells it in the resource, single in the product alone; an A30 has four slices.
        ("nvidia.com/mig-2g.20gb", {}, {}, 2 / 7),
        ("nvidia.com/mig-1g.10gb.me", {}, {}, 1 / 7),
        ("nvidia.com/mig-1c.2g.20gb", {}, {}, 1 / 7),
        ("nvidia.com/mig-2g.12gb", {PRODUCT: "NVIDIA-A30"}, {}, 2 / 4),
        (NVIDIA, {PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb"}, {NVIDIA: 16}, 3 / 7),
        (NVIDIA, {PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED", "nvidia.com/gpu.replicas": "2"}, {}, 1 / 14),
        ("nvidia.com/mig-1g.5gb", {"nvidia.com/mig-1g.5gb.replicas": "3"}, {}, 1 / 21),
        # GKE says both by labels of its own.
        (NVIDIA, {"cloud.google.com/gke-gpu-partition-size": "1g.5gb"}, {}, 1 / 7),
        (NVIDIA, {"cloud.google.com/gke-max-shared-clients-per-gpu": "5"}, {}, 1 / 5),
        # A node that is given a sixth of a card.
        (NVIDIA, {"node.kubernetes.io/instance-type": "Standard_NV6ads_A10_v5"}, {NVIDIA: 1}, 1 / 6),
        ("amd.com/gpu", {"amd.com/gpu.compute-memory-partition": "cpx_nps4"}, {}, 1 / 8),
        ("amd.com/cpx_nps1", {}, {}, 1 / 8),
        # Cores of a chip: as the node counts both, else by the chip's model.
        ("aws.amazon.com/neuroncore", {}, {"aws.amazon.com/neuroncore": 64, "aws.amazon.com/neuron": 16}, 1 / 4),
        ("aws.amazon.com/neuroncore", {"node.kubernetes.io/instance-type": "trn1.32xlarge"}, {}, 1 / 2),
        ("aws.amazon.com/neuron", {}, {}, 1.0),
        ("furiosa.ai/rngd-2core.12gb", {}, {}, 2 / 8),
        ("rebellions.ai/ATOM", {"rebellions.ai/npu.product": "RBLN-CA25"}, {}, 1 / 4),
        ("rebellions.ai/ATOM", {"rebellions.ai/npu.product": "RBLN-CA22"}, {}, 1.0),
        ("tencent.com/vcuda-core", {}, {}, 1 / 100),
        ("aliyun.com/gpu-mem", {"nvidia.com/gpu.memory": "16384"}, {}, 1 / 16),
        ("aliyun.com/gpu-mem", {}, {}, None),
    ],
)  # fmt: skip
def test_what_part_of_a_card_one_unit_is(
    resource: str, labels: Mapping[str, str], allocatable: Mapping[str, float], cards: float | None
) -> None:
    node = NodeObservation("n1", labels, allocatable=allocatable)
    got = card_fraction(resource, node, accelerator_model(labels, TABLE))
    assert got == (None if cards is None else pytest.approx(cards))


@pytest.mark.parametrize(
    ("shares", "cards"),
    [
        ({"nvidia.com/gpumem": 20480.0}, 20480 / 81920),
        ({"nvidia.com/gpumem-percentage": 30.0, "nvidia.com/gpucores": 50.0}, 0.5),
        ({"nvidia.com/gpumem": 20480.0, "nvidia.com/gpucores": 10.0}, 0.25),
        ({"nvidia.com/gpumem": 200000.0}, 1.0),
        ({"volcano.sh/vgpu-memory": 20480.0}, 1.0),  # goes with other devices
    ],
)
def test_memory_and_cores_beside_a_device_tell_its_part(shares: Mapping[str, float], cards: float) -> None:
    node = NodeObservation("n1", {"nvidia.com/gpu.memory": "81920"})
    assert card_fraction(NVIDIA, node, None, shares) == pytest.approx(cards)


def test_memory_of_a_card_of_unknown_size_tells_nothing() -> None:
    assert card_fraction(NVIDIA, NodeObservation("n1"), None, {"nvidia.com/gpumem": 20480.0}) is None


@pytest.mark.parametrize(
    "other",
    ["vpc.amazonaws.com/efa", "rdma/hca_shared_devices_a", "devices.kubevirt.io/kvm", "openshift.io/sriov_net",
     "nvidia.com/hostdev", "gpu.intel.com/i915_monitoring", "nvidia.com/gpumem", "volcano.sh/vgpu-cores",
     "smarter-devices/fuse", "intel.com/qat", "mellanox.com/cx5_sriov"],
)  # fmt: skip
def test_what_is_no_accelerator_counts_as_nothing_and_is_not_unknown(other: str) -> None:
    workload = seen(some_pods(1), replica_accelerators={NVIDIA: 8, other: 32})
    held = held_cards(a_policy(), workload, NodeObservation("n1"), TABLE)
    assert not isinstance(held, Missing)
    assert sum(each.cards for each in held) == 8.0
    assert unknown_resources(a_policy(), workload) == ()


def test_an_unknown_resource_is_named_until_the_user_names_it() -> None:
    workload = seen(some_pods(1), replica_accelerators={NVIDIA: 1, "example.com/tensor": 2})
    assert unknown_resources(a_policy(), workload) == ("example.com/tensor",)
    assert held_devices(a_policy(), workload) == {NVIDIA: 1}
    policy = a_policy(resources=ReplicaResources(accelerators=(("example.com/tensor", 2),)))
    assert unknown_resources(policy, workload) == ()
    assert held_devices(policy, workload) == {NVIDIA: 1, "example.com/tensor": 2}


def test_claims_are_devices_and_what_cannot_be_read_is_unknown() -> None:
    given = (ClaimedDevice("gpu.nvidia.com", "NVIDIA H100 80GB HBM3", 0.5, "gpu"),) * 2
    held = held_cards(a_policy(), seen(replica_accelerators={}, replica_claims=given), NodeObservation("n1"), TABLE)
    assert not isinstance(held, Missing)
    assert [(each.cards, each.model.name if each.model else "") for each in held] == [(0.5, "h100")] * 2
    unread = Missing(MissingReason.NO_DATA, "ResourceClaim x cannot be read")
    workload = seen(replica_accelerators={}, replica_claims=unread)
    assert held_cards(a_policy(), workload, NodeObservation("n1"), TABLE) is unread


def test_a_measured_device_that_nobody_asks_for_has_no_known_price() -> None:
    workload = seen(some_pods(1), replica_accelerators={}, device_measured=True)
    assert isinstance(held_cards(a_policy(), workload, NodeObservation("n1"), TABLE), Missing)
