"""Nodes and metrics APIs as plain manifests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_ALLOCATABLE: Mapping[str, int | str] = {
    "cpu": "128",
    "memory": "1024Gi",
    "ephemeral-storage": "1Ti",
    "pods": 110,
}
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Node:
    """A node that kwok plays the kubelet of.

    Allocatable resources are Kubernetes quantities, e.g. `{"nvidia.com/gpu": 8}`; what is not named is that of a large
    server (128 CPUs, 1 TiB). A taint is what `kubectl taint` takes, as `nvidia.com/gpu=:NoSchedule`.
    """

    name: str
    allocatable: Mapping[str, int | str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()

    def manifest(self) -> Manifest:
        resources = {name: str(count) for name, count in {**DEFAULT_ALLOCATABLE, **self.allocatable}.items()}
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "type": "kwok",
            **self.labels,
        }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"taints": [parse_taint(taint) for taint in self.taints]},
            "status": {"allocatable": resources, "capacity": resources},
        }


def parse_taint(text: str) -> dict[str, str]:
    """`key=value:Effect` or `key:Effect` → the fields of a taint."""
    key_value, _, effect = text.rpartition(":")
    key, _, value = key_value.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


def metrics_api(
    group: str, version: str, service: str, namespace: str, port: int, authority_base64: str
) -> list[Manifest]:
    """An aggregated API served on loopback: a Service that is only a name for `localhost`, and the APIService for it.

    The aggregator trusts the server by the name `<service>.<namespace>.svc`, whatever the address.
    """
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service, "namespace": namespace},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port, "protocol": "TCP"}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": authority_base64,
                "service": {"name": service, "namespace": namespace, "port": port},
            },
        },
    ]
