"""Small policies, pods and nodes for tests of prices, power and ledgers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kcloud_autoscale.domain.observation import (
    NodeObservation,
    PodObservation,
    Pods,
    TargetObservation,
    WorkloadObservation,
)
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey

KEY = WorkloadKey("shop", "llm")
NOW = 1_000_000.0
H100 = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def a_policy(**overrides: Any) -> WorkloadPolicy:
    """1 to 20 replicas of 10 load per second each."""
    return WorkloadPolicy(**({"key": KEY, "max_replicas": 20, "capacity_per_replica": 10.0} | overrides))


def a_node(name: str = "n1", labels: Mapping[str, str] = H100, **overrides: Any) -> NodeObservation:
    """A node with eight H100 unless told otherwise."""
    return NodeObservation(name, labels, **({"allocatable": {"nvidia.com/gpu": 8}} | overrides))


def some_pods(count: int, node: str | None = "n1", ready: bool = True) -> Pods:
    """Pods created long ago; ready ones have been so since a minute later."""
    return Pods(PodObservation(f"llm-{node}-{i}", 0.0, 60.0 if ready else None, node) for i in range(count))


def seen(pods: Iterable[PodObservation] = (), demand: float | None = None, **overrides: Any) -> WorkloadObservation:
    """A workload whose replicas hold two NVIDIA devices each."""
    running = Pods(pods)
    target = TargetObservation(TargetRef("apps/v1", "Deployment", "llm"), "uid", "1", len(running), running)
    values: dict[str, Any] = {"replica_accelerators": {"nvidia.com/gpu": 2}}
    if demand is not None:
        values["demand"] = Sample(demand, NOW)
    return WorkloadObservation(KEY, target, **(values | overrides))
