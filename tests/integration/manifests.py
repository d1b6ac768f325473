"""Small objects to put on a real API server."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]
STAGE = "stage.kwok.x-k8s.io"


def pod_spec(gpus: int) -> Manifest:
    limits = {"nvidia.com/gpu": str(gpus)}
    return {"containers": [{"name": "server", "image": "registry.local/server:1", "resources": {"limits": limits}}]}


def pod(namespace: str, name: str, gpus: int = 1, **metadata: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": pod_spec(gpus),
    }


def deployment(namespace: str, name: str, replicas: int, ready_delay: str, gpus: int = 1) -> Manifest:
    """A Deployment whose pods are Ready `ready_delay` (as "4s") after they are bound to a node."""
    labels = {"app": name}
    annotations = {f"pod-create.{STAGE}/delay": "0s", f"pod-ready.{STAGE}/delay": ready_delay}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod_spec(gpus)},
        },
    }


def hpa_on_external_metric(namespace: str, target: str, metric: str, per_replica: str, most: int) -> Manifest:
    """The real HPA on `metric` / replicas = `per_replica`, free to scale up and down at once."""
    at_once = {"stabilizationWindowSeconds": 0}
    wanted = {"type": "AverageValue", "averageValue": per_replica}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": target, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "minReplicas": 1,
            "maxReplicas": most,
            "behavior": {"scaleUp": at_once, "scaleDown": at_once},
            "metrics": [{"type": "External", "external": {"metric": {"name": metric}, "target": wanted}}],
        },
    }


def pod_webhook(namespace: str, url: str, authority: Path) -> Manifest:
    """A validating webhook on the creation of pods in one namespace, after which it is named."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "pods.example.com",
                "clientConfig": {"url": url, "caBundle": base64.b64encode(authority.read_bytes()).decode()},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
            }
        ],
    }
