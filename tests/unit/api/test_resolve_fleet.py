from __future__ import annotations

from typing import Any

from kcloud_autoscale.api.resolve import parse
from kcloud_autoscale.api.resolve_fleet import FleetObjects, covered, resolve_fleet
from kcloud_autoscale.domain.policy import CapUnit, PriceOverride, SharedCap
from kcloud_autoscale.domain.workload import WorkloadKey

A, B = WorkloadKey("red", "a"), WorkloadKey("blue", "b")


def made(kind: str, spec: dict[str, Any], name: str, namespace: str = "", **labels: str) -> Any:
    metadata = {"name": name, "namespace": namespace or None, "labels": labels}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return parse({"apiVersion": "kcloud.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})


def fleet(*policies: Any) -> FleetObjects:
    return FleetObjects(
        optimizers=[
            made("WorkloadOptimizer", {}, "a", "red", tier="gold"),
            made("WorkloadOptimizer", {}, "b", "blue", tier="tin"),
        ],
        cost_policies=[policy for policy in policies if policy.kind == "CostPolicy"],
        power_policies=[policy for policy in policies if policy.kind == "PowerPolicy"],
        namespace_labels={"red": {"team": "x"}, "blue": {"team": "y"}},
    )


def test_without_policies_nothing_is_shared():
    policy = resolve_fleet(fleet())
    assert policy.workloads.keys() == {A, B}
    assert (policy.shared_caps, policy.price_overrides) == ((), {})


def test_caps_cover_what_both_selectors_match():
    everyone = made("PowerPolicy", {"maxPowerUsage": 500}, "p")
    team_x = made(
        "CostPolicy",
        {"costPerHourLimit": 9.5, "namespaceSelector": {"matchLabels": {"team": "x"}}},
        "c",
    )
    nobody = made(
        "CostPolicy",
        {
            "costPerHourLimit": 1,
            "namespaceSelector": {"matchLabels": {"team": "x"}},
            "workloadSelector": {"matchLabels": {"tier": "tin"}},
        },
        "n",
    )
    objects = fleet(everyone, team_x, nobody)
    assert resolve_fleet(objects).shared_caps == (
        SharedCap("c/costPerHourLimit", CapUnit.USD_PER_HOUR, 9.5, frozenset({A})),
        SharedCap("p/maxPowerUsage", CapUnit.WATTS, 500.0, frozenset({A, B})),
    )
    assert covered(nobody.spec, objects) == frozenset()


def test_an_unlabelled_namespace_matches_only_what_asks_for_absence():
    strangers = made(
        "CostPolicy",
        {
            "costPerHourLimit": 1,
            "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]},
        },
        "s",
    )
    objects = FleetObjects([made("WorkloadOptimizer", {}, "c", "grey")], [strangers])
    assert covered(strangers.spec, objects) == {WorkloadKey("grey", "c")}


def test_of_two_prices_the_dearer_counts():
    cheap = made("CostPolicy", {"resourceCostPolicy": {"gpuCostPerHour": 2.0, "cpuCostPerCorePerHour": 0.05}}, "one")
    dear = made("CostPolicy", {"resourceCostPolicy": {"gpuCostPerHour": 3.0, "npuCostPerHour": 0}}, "two")
    prices = resolve_fleet(fleet(cheap, dear)).price_overrides
    assert prices[A] == prices[B] == PriceOverride(3.0, 0.0, 0.05, None)


def test_the_order_of_objects_does_not_matter():
    one = made("CostPolicy", {"costPerHourLimit": 1}, "one")
    two = made("CostPolicy", {"costPerHourLimit": 2}, "two")
    assert resolve_fleet(fleet(one, two)) == resolve_fleet(fleet(two, one))
