"""Bodies as the API server has them."""

from __future__ import annotations

from typing import Any


def optimizer(name: str = "llm", **spec: Any) -> dict[str, Any]:
    scaling = {"maxReplicas": 10, "capacityPerReplica": 10, "demand": {"query": "sum(load)"}}
    return {
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "WorkloadOptimizer",
        "metadata": {
            "name": name,
            "namespace": "ai",
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"workloadType": "serving", "autoScaling": scaling, **spec},
    }


def deleted(body: dict[str, Any], *finalizers: str) -> dict[str, Any]:
    metadata = {**body["metadata"], "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": list(finalizers)}
    return {**body, "metadata": metadata}


def cost_policy(limit: float) -> dict[str, Any]:
    return {
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "CostPolicy",
        "metadata": {"name": "team", "uid": "uid-team", "generation": 1, "resourceVersion": "5"},
        "spec": {
            "costPerHourLimit": limit,
            "namespaceSelector": {"matchLabels": {"team": "a"}},
        },
    }
