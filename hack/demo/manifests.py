"""What is applied: two identical Deployments, the optimizer of one, the HorizontalPodAutoscaler of the other."""

from __future__ import annotations

from typing import Any

from hack.demo.scenario import (
    CAPACITY_PER_REPLICA,
    HPA_TARGET_FRACTION,
    MAX_REPLICAS,
    MIN_REPLICAS,
    NAMESPACE,
    OURS,
    STARTUP_SECONDS,
    TWIN,
    WINDOW_SECONDS,
)

Manifest = dict[str, Any]
EXTERNAL_METRIC = "requests_per_second"


def deployment(name: str, replicas: int) -> Manifest:
    """One accelerator a pod; each takes the start-up time to become Ready, give or take two seconds."""
    delays = {
        "pod-ready.stage.kwok.x-k8s.io/delay": f"{STARTUP_SECONDS - 2}s",
        "pod-ready.stage.kwok.x-k8s.io/jitter-delay": f"{STARTUP_SECONDS}s",
    }
    container = {"name": "server", "image": "vllm/vllm-openai", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    template = {"metadata": {"labels": {"app": name}, "annotations": delays}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def optimizer() -> Manifest:
    """Ours. Lead time is not given: it is learned from the pods' start-ups."""
    return {
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "WorkloadOptimizer",
        "metadata": {"name": OURS, "namespace": NAMESPACE},
        "spec": {
            "workloadType": "serving",
            "priority": 80,
            "resources": {"cpu": "4", "memory": "32Gi", "gpu": 1},
            "autoScaling": {
                "minReplicas": MIN_REPLICAS,
                "maxReplicas": MAX_REPLICAS,
                "capacityPerReplica": CAPACITY_PER_REPLICA,
                "demand": {"preset": "istio"},
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": WINDOW_SECONDS}},
            },
        },
    }


def power_cap(watts: float) -> Manifest:
    """The merge patch that lowers the power cap of ours on the fly."""
    return {"spec": {"powerConstraints": {"maxPowerUsage": watts}}}


def autoscaler() -> Manifest:
    """The twin's: the real controller at 70 % of what a replica can serve, on the same signal."""
    metric = {"name": EXTERNAL_METRIC, "selector": {"matchLabels": {"workload": TWIN}}}
    target = {"type": "AverageValue", "averageValue": f"{HPA_TARGET_FRACTION * CAPACITY_PER_REPLICA:g}"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": TWIN, "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": TWIN},
            "minReplicas": MIN_REPLICAS,
            "maxReplicas": MAX_REPLICAS,
            "metrics": [{"type": "External", "external": {"metric": metric, "target": target}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": WINDOW_SECONDS}},
        },
    }
