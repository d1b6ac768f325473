"""What is kept of pods, nodes and selectors."""

from __future__ import annotations

from typing import Any

import pytest

from kcloud_autoscale.domain.workload import TargetRef
from kcloud_autoscale.observe import objects
from kcloud_autoscale.observe.objects import Requests, Slimmer, quantity
from kcloud_autoscale.observe.selectors import from_object, from_text


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("2", 2.0), ("2Gi", 2147483648.0), ("1e3", 1000.0), ("1E", 1e18), ("1E3", 1000.0), ("100k", 1e5),
     ("1.5Mi", 1572864.0), ("3u", 3e-6), (4, 4.0)],
)  # fmt: skip
def test_quantities(text: str, value: float) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "many", "5X", "1..2"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


def pod(name: str = "llm-6d9f7c5b8-x2k4z", **status: Any) -> dict[str, Any]:
    gpu = {"limits": {"nvidia.com/gpu": "2", "cpu": "4"}, "requests": {"cpu": "500m", "memory": "1Gi"}}
    return {
        "metadata": {
            "name": name,
            "namespace": "ai",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "llm", "pod-template-hash": "6d9f7c5b8"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "llm-6d9f7c5b8", "controller": True}
            ],
        },
        "spec": {"nodeName": "n1", "containers": [{"resources": gpu}, {"resources": {"requests": {"cpu": "0.5"}}}]},
        "status": {"phase": "Running", "conditions": [ready("True")], **status},
    }


def ready(status: str) -> dict[str, str]:
    return {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:01:30Z"}


def test_a_pod_is_slimmed_to_times_requests_and_owner() -> None:
    kept = Slimmer().pod(pod())
    assert kept.seen.ready_seconds == kept.seen.created_seconds + 90.0
    assert kept.seen.ready
    assert kept.seen.node == "n1"
    # A limit without a request is a request, else the request counts: 0.5 + 0.5 cores.
    assert kept.requests == Requests(1.0, 2.0**30, (("nvidia.com/gpu", 2),))
    assert kept.owner == TargetRef("apps/v1", "ReplicaSet", "llm-6d9f7c5b8")


def test_a_pod_that_does_not_serve_is_told_from_one_that_does() -> None:
    slim = Slimmer().pod
    assert not slim(pod(conditions=[ready("False")])).seen.ready
    assert slim(pod(phase="Failed")).seen.finished
    leaving = pod()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:02:00Z"
    assert slim(leaving).seen.deleting
    unscheduled = pod(conditions=[])
    del unscheduled["spec"]["nodeName"]
    assert slim(unscheduled).seen.node is None


def test_pods_alike_share_their_labels_and_requests() -> None:
    slimmer = Slimmer()
    first, second = slimmer.pod(pod("llm-6d9f7c5b8-x2k4z")), slimmer.pod(pod("llm-6d9f7c5b8-bbbbb"))
    assert first.labels is second.labels
    assert first.requests is second.requests


def test_a_node_that_is_leaving_is_not_to_be_used() -> None:
    def node(**spec: Any) -> dict[str, Any]:
        allocatable = {"cpu": "64", "hugepages-2Mi": "0", "nvidia.com/gpu": "8", "rebellions.ai/ATOM": "4"}
        return {"metadata": {"name": "n1"}, "spec": spec, "status": {"allocatable": allocatable}}

    assert objects.node(node()).allocatable == {"cpu": 64, "nvidia.com/gpu": 8, "rebellions.ai/ATOM": 4}
    assert not objects.node(node()).unschedulable
    assert objects.node(node(unschedulable=True)).unschedulable
    assert objects.node(node(taints=[{"key": "karpenter.sh/disrupted"}])).unschedulable


def test_a_scaled_object_without_a_kind_means_a_deployment() -> None:
    item = {"metadata": {"name": "s"}, "spec": {"scaleTargetRef": {"name": "llm"}}}
    found = objects.scaled_object(item)
    assert (found.group, found.target_kind, found.target_name) == ("apps", "Deployment", "llm")


SELECTORS = [
    ("app=llm", {"app": "llm"}, True),
    ("app==llm,tier in (a, b)", {"app": "llm", "tier": "b"}, True),
    ("app=llm,tier in (a,b)", {"app": "llm", "tier": "c"}, False),
    ("app!=llm", {"app": "other"}, True),
    ("app!=llm", {}, True),
    ("tier notin (a)", {"tier": "a"}, False),
    ("app", {"app": ""}, True),
    ("!canary", {"canary": "yes"}, False),
    ("", {"app": "llm"}, False),
]


@pytest.mark.parametrize(("text", "labels", "matches"), SELECTORS)
def test_selectors_of_a_scale(text: str, labels: dict[str, str], matches: bool) -> None:
    assert from_text(text).matches(labels) is matches


def test_selectors_of_an_object_and_the_label_to_look_up_by() -> None:
    selector = from_object(
        {"matchLabels": {"app": "llm"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}
    )
    assert selector.matches({"app": "llm", "tier": "a"})
    assert not selector.matches({"app": "llm"})
    assert selector.anchor() == ("app", "llm")
    assert from_text("!canary").anchor() is None
    assert not from_object(None).matches({"app": "llm"})
