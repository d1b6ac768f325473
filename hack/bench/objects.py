"""The fleet's objects as an API server would send them."""

from __future__ import annotations

from typing import Any

from hack.bench.fleet import NAMESPACE, PODS_EACH, name_of

Json = dict[str, Any]

PODS_PER_NODE = 8
_CREATED = "2026-01-05T00:00:00Z"
_READY = "2026-01-05T00:02:30Z"


def pod_name(index: int, pod: int) -> str:
    """As a ReplicaSet names its pods."""
    return f"{name_of(index)}-6d9f7c5b8-bbbb{'bcdfghjk'[pod]}"


def deployment(index: int) -> Json:
    """One with all its replicas wanted."""
    name = name_of(index)
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "resourceVersion": "7"},
        "spec": {"replicas": PODS_EACH, "selector": {"matchLabels": {"app": name}}},
    }


def pod(index: int, number: int) -> Json:
    """A ready pod on one GPU that took 150 s to start."""
    name = name_of(index)
    devices = {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-6d9f7c5b8", "controller": True}
    return {
        "metadata": {
            "name": pod_name(index, number),
            "namespace": NAMESPACE,
            "creationTimestamp": _CREATED,
            "labels": {"app": name, "pod-template-hash": "6d9f7c5b8"},
            "ownerReferences": [owner],
        },
        "spec": {
            "nodeName": _node_name((index * PODS_EACH + number) // PODS_PER_NODE),
            "containers": [{"name": "server", "resources": {"requests": devices, "limits": devices}}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": _READY}],
        },
    }


def node(number: int) -> Json:
    """Eight GPUs."""
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "topology.kubernetes.io/zone": f"zone-{number % 3}"}
    return {
        "metadata": {"name": _node_name(number), "labels": labels},
        "status": {"allocatable": {"cpu": "128", "nvidia.com/gpu": "8"}},
    }


def _node_name(number: int) -> str:
    return f"gpu-{number:05d}"
