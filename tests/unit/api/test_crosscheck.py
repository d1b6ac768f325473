from __future__ import annotations

from typing import Any

import pytest

from kcloud_autoscale.api.crosscheck import check_together
from kcloud_autoscale.api.resolve import parse


def made(kind: str, name: str, spec: dict[str, Any], namespace: str = "default", **labels: str) -> Any:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return parse({"apiVersion": "kcloud.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})


def scaled(name: str, target: str | None = None, namespace: str = "default", **more: Any) -> Any:
    reference = {"targetRef": {"name": target}} if target else {}
    return made("WorkloadOptimizer", name, {**reference, "autoScaling": {"maxReplicas": 9}, **more}, namespace)


def said(objects: list[Any], others: list[dict[str, Any]] | None = None) -> list[tuple[int, str]]:
    faults = check_together(dict(enumerate(objects)), others or [])
    return [(fault.position, str(fault.problem)) for fault in faults]


def test_what_fits_together_is_fine():
    assert said([scaled("a"), scaled("b"), scaled("a", namespace="other")]) == []


def test_a_target_has_one_optimizer():
    ((position, message),) = said([scaled("a", "llm"), scaled("llm")])
    assert position == 1
    assert message.startswith("spec.targetRef: Deployment llm is scaled by WorkloadOptimizer a already")


@pytest.mark.parametrize("spec", [{}, {"autoScaling": {"maxReplicas": 2, "mode": "Off"}}])
def test_an_optimizer_that_scales_nothing_is_in_nobodys_way(spec):
    assert said([scaled("a", "llm"), made("WorkloadOptimizer", "llm", spec)]) == []


def test_the_same_name_twice():
    assert [message for _, message in said([scaled("a", "x"), scaled("a", "y")])] == [
        "metadata.name: WorkloadOptimizer a is given twice; the later would replace the earlier"
    ]


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
def test_another_autoscaler_on_the_target(kind):
    other = {"kind": kind, "metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "llm"}}}
    ((_, message),) = said([scaled("llm")], [other])
    assert f"Deployment llm is scaled by {kind} h already" in message
    assert said([scaled("llm", namespace="elsewhere")], [other]) == []


PRICES = {"resourceCostPolicy": {"gpuCostPerHour": 2.5, "cpuCostPerCorePerHour": 0.05, "memoryCostPerGiPerHour": 0.01}}


def floor(name: str, gpus: int, replicas: int, **spec: Any) -> Any:
    resources = {"gpu": gpus, "cpu": 4, "memory": "10Gi"}
    scaling = {"minReplicas": replicas, "maxReplicas": 20}
    return made("WorkloadOptimizer", name, {"resources": resources, "autoScaling": scaling, **spec})


def test_floors_above_a_shared_limit():
    # One replica: 4 GPUs x 2.50 + 4 cores x 0.05 + 10 GiB x 0.01 = 10.30 $/h; 3 of them 30.90.
    # The other: 1 x 2.50 + 0.20 + 0.10 = 2.80; 2 of them 5.60. Together 36.50.
    objects = [floor("a", 4, 3), floor("b", 1, 2), made("CostPolicy", "p", {"costPerHourLimit": 36, **PRICES}, "")]
    assert said(objects) == [
        (
            2,
            "spec.costPerHourLimit: costPerHourLimit 36 is below the 36.5 $/h of minReplicas alone "
            "(default/a 30.9, default/b 5.6)",
        )
    ]
    assert said([*objects[:2], made("CostPolicy", "p", {"costPerHourLimit": 36.5, **PRICES}, "")]) == []


def test_a_floor_above_its_own_cap():
    capped = floor("a", 4, 3, costConstraints={"maxCostPerHour": 30})
    ((position, message),) = said([capped, made("CostPolicy", "prices", PRICES, "")])
    assert position == 0
    assert "3 replicas, the fewest allowed, cost 30.9 $/h" in message
    assert message.endswith("above maxCostPerHour 30")


def test_without_a_price_nothing_is_claimed():
    assert said([floor("a", 4, 3, costConstraints={"maxCostPerHour": 1})]) == []
    npus = scaled("n", resources={"npu": 9}, costConstraints={"maxCostPerHour": 1})
    assert said([npus, made("CostPolicy", "prices", PRICES, "")]) == []


def test_namespaces_in_the_files_are_selected_by_label():
    limit = {"costPerHourLimit": 5, "namespaceSelector": {"matchLabels": {"team": "x"}}, **PRICES}
    objects = [floor("a", 4, 1), made("CostPolicy", "p", limit, "")]
    assert said(objects) == []
    default = {"kind": "Namespace", "metadata": {"name": "default", "labels": {"team": "x"}}}
    assert [position for position, _ in said(objects, [default])] == [1]
