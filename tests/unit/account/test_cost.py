from __future__ import annotations

from dataclasses import replace

import pytest

from kcloud_autoscale.account.cost import on_demand_price, replica_price
from kcloud_autoscale.domain.accelerator import accelerator_table
from kcloud_autoscale.domain.observation import NodeObservation, PodPhase, WorkloadObservation
from kcloud_autoscale.domain.policy import PriceOverride, ReplicaResources, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, Reading, Sample
from kcloud_autoscale.domain.units import BYTES_PER_GIB
from tests.builders.accounting import H100, NOW, a_node, a_policy, seen, some_pods

TABLE = accelerator_table()
SPOT = H100 | {"karpenter.sh/capacity-type": "spot"}


def price(
    workload: WorkloadObservation,
    *nodes: NodeObservation,
    override: PriceOverride | None = None,
    policy: WorkloadPolicy | None = None,
) -> Reading:
    by_name = {node.name: node for node in nodes}
    return replica_price(policy or a_policy(), workload, by_name, override, TABLE, NOW)


def usd(reading: Reading) -> float:
    assert isinstance(reading, Sample), reading
    return reading.value


def test_two_h100_on_demand_from_the_table():
    got = price(seen(some_pods(3)), a_node())
    assert usd(got) == pytest.approx(2 * 6.88)
    assert isinstance(got, Sample)
    assert got.source == "table h100"


def test_pods_that_were_evicted_say_nothing_of_the_price():
    # Two run on spot; three that a node on demand has evicted are still listed there: 5.50 $/h, not 10.46.
    evicted = [replace(pod, phase=PodPhase.FAILED) for pod in some_pods(3)]
    workload = seen([*some_pods(2, "n2"), *evicted])
    assert usd(price(workload, a_node(), a_node("n2", SPOT))) == pytest.approx(0.4 * 2 * 6.88)


def test_spot_is_four_tenths_of_it():
    assert usd(price(seen(some_pods(3)), a_node(labels=SPOT))) == pytest.approx(0.4 * 2 * 6.88)


def test_opencost_knows_better_than_the_table():
    got = price(seen(some_pods(1)), a_node(gpu_hourly_usd=Sample(4.5, NOW)))
    assert usd(got) == pytest.approx(9.0)


def test_opencost_already_counts_spot():
    assert usd(price(seen(some_pods(1)), a_node(labels=SPOT, gpu_hourly_usd=Sample(2.0, NOW)))) == pytest.approx(4.0)


def test_opencost_prices_other_devices_at_nothing_and_is_not_believed():
    node = a_node(labels={}, gpu_hourly_usd=Sample(0.95, NOW), allocatable={"amd.com/gpu": 8})
    workload = seen(some_pods(1), replica_accelerators={"amd.com/gpu": 1}, accelerator_model="AMD Instinct MI300X")
    assert usd(price(workload, node)) == pytest.approx(6.00)


def test_a_cost_policy_comes_first():
    got = price(
        seen(some_pods(1)), a_node(gpu_hourly_usd=Sample(4.5, NOW)), override=PriceOverride(gpu_usd_per_hour=3.0)
    )
    assert usd(got) == pytest.approx(6.0)


def test_a_cost_policy_that_prices_the_host_too():
    # 2 x 3.00 + 8 cores x 0.04 + 32 GiB x 0.005 = 6 + 0.32 + 0.16
    policy = a_policy(resources=ReplicaResources(8.0, 32.0 * BYTES_PER_GIB))
    override = PriceOverride(3.0, None, 0.04, 0.005)
    assert usd(price(seen(some_pods(1)), a_node(), override=override, policy=policy)) == pytest.approx(6.48)


def test_a_cost_policy_for_npus_leaves_gpus_to_the_table():
    assert usd(price(seen(some_pods(1)), a_node(), override=PriceOverride(npu_usd_per_hour=1.0))) == pytest.approx(
        13.76
    )


def test_an_npu_without_a_public_price_is_missing_until_someone_sets_it():
    node = a_node(labels={"furiosa.ai/npu.product": "RNGD"}, allocatable={"furiosa.ai/rngd": 4})
    workload = seen(some_pods(1), replica_accelerators={"furiosa.ai/rngd": 1})
    got = price(workload, node)
    assert isinstance(got, Missing)
    assert "rngd has no public price" in got.message
    assert usd(price(workload, node, override=PriceOverride(npu_usd_per_hour=1.2))) == pytest.approx(1.2)


def test_an_unknown_resource_counts_as_nothing_until_the_user_names_it():
    # 8 of 32 cores of 1.60 $/h are 0.40 $/h whatever an example.com/tensor may be.
    node = a_node(labels={}, allocatable={"example.com/tensor": 4, "cpu": 32}, hourly_usd=Sample(1.6, NOW))
    workload = seen(some_pods(1), replica_accelerators={"example.com/tensor": 1}, replica_cpu_cores=8.0)
    assert usd(price(workload, node)) == pytest.approx(0.40)
    policy = a_policy(resources=ReplicaResources(accelerators=(("example.com/tensor", 1),)))
    got = price(workload, node, policy=policy)
    assert isinstance(got, Missing)
    assert got.message == "no model is known for example.com/tensor on node n1: set its price in a CostPolicy"


def test_the_metric_names_the_model_where_the_node_does_not():
    assert usd(price(seen(some_pods(1), accelerator_model="NVIDIA L4"), a_node(labels={}))) == pytest.approx(1.60)


def test_a_slice_of_a_card_costs_its_share():
    workload = seen(some_pods(1), replica_accelerators={"nvidia.com/mig-2g.20gb": 1})
    assert usd(price(workload, a_node())) == pytest.approx(6.88 * 2 / 7)


def test_a_shared_card_has_no_known_price():
    workload = seen(some_pods(1), replica_accelerators={"nvidia.com/gpu.shared": 1})
    assert isinstance(price(workload, a_node(gpu_hourly_usd=Sample(4.5, NOW))), Missing)


def test_pods_on_several_nodes_average():
    # Three on demand, one on spot: (3 x 13.76 + 5.504) / 4
    workload = seen(some_pods(3) + some_pods(1, "n2"))
    assert usd(price(workload, a_node(), a_node("n2", SPOT))) == pytest.approx((3 * 13.76 + 5.504) / 4)


def test_one_pod_on_an_unpriced_node_leaves_the_whole_unknown():
    workload = seen(some_pods(3) + some_pods(1, "n2"))
    assert isinstance(price(workload, a_node(), a_node("n2", {})), Missing)


def test_a_workload_without_pods_is_priced_where_it_would_be_dearest():
    l4 = a_node("n2", {"nvidia.com/gpu.product": "NVIDIA-L4"})
    assert usd(price(seen(), l4, a_node("n3", SPOT), a_node())) == pytest.approx(13.76)


def test_what_the_user_asks_for_stands_in_for_pods_that_are_not_there():
    policy = a_policy(resources=ReplicaResources(accelerators=(("nvidia.com/gpu", 4),)))
    assert usd(price(seen(replica_accelerators={}), a_node(), policy=policy)) == pytest.approx(4 * 6.88)


def test_a_workload_without_pods_and_devices_has_no_node_to_price():
    got = price(seen(replica_accelerators={}), a_node())
    assert isinstance(got, Missing)
    assert got.message == "no replica runs on a node we know, so there is no node to price"


def test_cpu_only_costs_its_dominant_share_of_the_node():
    # 8 of 32 cores, 32 of 256 GiB: a quarter of 1.60 $/h.
    node = a_node(labels={}, hourly_usd=Sample(1.6, NOW), allocatable={"cpu": 32, "memory": int(256 * BYTES_PER_GIB)})
    policy = a_policy(resources=ReplicaResources(8.0, 32.0 * BYTES_PER_GIB))
    assert usd(price(seen(some_pods(2), replica_accelerators={}), node, policy=policy)) == pytest.approx(0.40)


def test_cpu_only_from_a_cost_policy():
    policy = a_policy(resources=ReplicaResources(8.0, 32.0 * BYTES_PER_GIB))
    workload = seen(some_pods(2), replica_accelerators={})
    override = PriceOverride(cpu_usd_per_core_hour=0.04, memory_usd_per_gib_hour=0.005)
    assert usd(price(workload, a_node(), override=override, policy=policy)) == pytest.approx(0.48)
    assert isinstance(
        price(workload, a_node(), override=replace(override, memory_usd_per_gib_hour=None), policy=policy), Missing
    )


def test_cpu_only_without_any_price_is_missing():
    assert isinstance(price(seen(some_pods(2), replica_accelerators={}), a_node()), Missing)


def test_the_baseline_pays_on_demand():
    nodes = {"n1": a_node(labels=SPOT)}
    actual = Sample(5.504, NOW, "table h100 spot")
    assert usd(on_demand_price(actual, a_policy(), seen(some_pods(2)), nodes, TABLE, NOW)) == pytest.approx(13.76)


@pytest.mark.parametrize(
    ("actual", "labels"),
    [
        (Sample(13.76, NOW, "table h100"), H100),
        (Sample(3.0, NOW, "override"), SPOT),
        (Sample(20.0, NOW, "opencost"), SPOT),  # dearer on spot than the table's on demand: another region
        (Sample(3.0, NOW, "opencost"), {"cloud.google.com/gke-spot": "true"}),  # model unknown
    ],
)
def test_where_nothing_better_is_known_spot_saves_nothing(actual: Sample, labels: dict[str, str]):
    nodes = {"n1": a_node(labels=labels)}
    assert on_demand_price(actual, a_policy(), seen(some_pods(2)), nodes, TABLE, NOW) == actual


def test_an_unknown_price_stays_unknown_on_demand():
    missing = price(seen(some_pods(1), replica_accelerators={"x/y": 1}), a_node(labels={}))
    assert on_demand_price(missing, a_policy(), seen(some_pods(1)), {"n1": a_node()}, TABLE, NOW) is missing


def test_a_replica_that_holds_every_card_of_a_node_costs_the_node():
    # g5.xlarge: 0.58 $/h of 1.006 are the GPU; who holds it holds the host, whatever it asks for of it.
    node = a_node(
        labels={"nvidia.com/gpu.product": "NVIDIA-A10G"},
        allocatable={"nvidia.com/gpu": 1, "cpu": 4},
        hourly_usd=Sample(1.006, NOW),
        gpu_hourly_usd=Sample(0.58, NOW),
    )
    for cores in (None, 0.5, 3.5):
        workload = seen(some_pods(1), replica_accelerators={"nvidia.com/gpu": 1}, replica_cpu_cores=cores)
        assert usd(price(workload, node)) == pytest.approx(1.006)


def test_a_part_of_a_node_costs_its_cards_and_the_larger_part_of_the_host():
    # 8 GPUs at 4 $/h of 40 leave 8 $/h for the host: two cards take 2 of it, half of the cores 4.
    node = a_node(
        allocatable={"nvidia.com/gpu": 8, "cpu": 96}, hourly_usd=Sample(40.0, NOW), gpu_hourly_usd=Sample(4.0, NOW)
    )
    assert usd(price(seen(some_pods(1), replica_cpu_cores=12.0), node)) == pytest.approx(8.0 + 2.0)
    assert usd(price(seen(some_pods(1), replica_cpu_cores=48.0), node)) == pytest.approx(8.0 + 4.0)


def test_the_price_of_the_whole_node_alone_is_shared_by_its_cards():
    node = a_node(allocatable={"nvidia.com/gpu": 8}, hourly_usd=Sample(40.0, NOW))
    assert usd(price(seen(some_pods(1)), node)) == pytest.approx(10.0)


def test_a_contract_price_of_the_cards_stands_beside_opencosts_price_of_the_host():
    node = a_node(allocatable={"nvidia.com/gpu": 8}, hourly_usd=Sample(40.0, NOW), gpu_hourly_usd=Sample(4.0, NOW))
    got = price(seen(some_pods(1)), node, override=PriceOverride(gpu_usd_per_hour=2.5))
    assert usd(got) == pytest.approx(2 * 2.5 + 2.0)
    assert isinstance(got, Sample)
    assert got.source == "override + opencost host"


def test_cores_and_memory_cost_their_parts_where_each_has_a_price():
    # 8 x 0.03 + 64 GiB x 0.005 = 0.56 $/h, where a half of the memory would be 0.80 of the node's 1.60.
    node = a_node(
        labels={},
        allocatable={"cpu": 32, "memory": 128 * BYTES_PER_GIB},
        hourly_usd=Sample(1.6, NOW),
        core_hourly_usd=Sample(0.03, NOW),
        gib_hourly_usd=Sample(0.005, NOW),
    )
    workload = seen(some_pods(1), replica_accelerators={}, replica_cpu_cores=8.0)
    assert usd(price(replace(workload, replica_memory_bytes=64 * BYTES_PER_GIB), node)) == pytest.approx(0.56)
    # One that fills the memory leaves nothing to others: it costs the node.
    assert usd(price(replace(workload, replica_memory_bytes=125 * BYTES_PER_GIB), node)) == pytest.approx(1.6)


def test_a_policys_price_of_memory_stands_beside_opencosts_price_of_cores():
    node = a_node(labels={}, allocatable={"cpu": 32}, core_hourly_usd=Sample(0.03, NOW))
    workload = seen(
        some_pods(1), replica_accelerators={}, replica_cpu_cores=8.0, replica_memory_bytes=64 * BYTES_PER_GIB
    )
    got = price(workload, node, override=PriceOverride(memory_usd_per_gib_hour=0.01))
    assert usd(got) == pytest.approx(0.24 + 0.64)
