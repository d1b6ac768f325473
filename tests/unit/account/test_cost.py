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


def test_an_unknown_device_is_missing_never_zero():
    node = a_node(labels={}, allocatable={"example.com/tensor": 4})
    got = price(seen(some_pods(1), replica_accelerators={"example.com/tensor": 1}), node)
    assert isinstance(got, Missing)
    assert "example.com/tensor" in got.message


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
