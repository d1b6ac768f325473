"""What is free on each node, and what a node must have for one more pod of a workload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kcloud_autoscale.domain.observation import NodeObservation, PodNeeds
from kcloud_autoscale.observe.objects import Pod


def newest_pod(pods: Sequence[Pod]) -> Pod | None:
    """During a rollout the one whose template the next pod has; None where there is none."""
    return max(pods, key=lambda pod: pod.seen.created_seconds, default=None)


def pod_needs(pods: Sequence[Pod]) -> PodNeeds | None:
    """What the next pod of a workload asks of a node; None while there is no pod to read it from."""
    newest = newest_pod(pods)
    return None if newest is None else PodNeeds(newest.requests.amounts, newest.requests.node_selector)


def with_room(nodes: Mapping[str, NodeObservation], pods: Iterable[tuple[str, Pod]]) -> dict[str, NodeObservation]:
    """The nodes with what is free on each.

    Pods in namespaces that are not watched are not seen: with those the figure is from above.
    """
    free = {name: dict(node.allocatable) for name, node in nodes.items()}
    for _, pod in pods:
        left = free.get(pod.seen.node) if pod.seen.node is not None and not pod.seen.finished else None
        if left is None:
            continue
        for name, amount in pod.requests.amounts:
            if name in left:
                left[name] -= amount
    return {name: replace(node, free=free[name]) for name, node in nodes.items()}
