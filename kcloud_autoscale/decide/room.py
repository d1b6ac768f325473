"""Slots on the nodes: how many more replicas of a kind would find one, as far as requests and labels tell.

Taints, affinities and pods in namespaces that are not watched are not looked at, so the figure is from above. It never
orders a replica; it says where a look at the scheduler is worth while.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from kcloud_autoscale.domain.observation import NodeObservation, PodNeeds

Amounts = Mapping[str, float]
_NOTHING: Mapping[str, Amounts] = {}


class Room:
    """The free slots of one tick; workloads that need the same share the answer."""

    def __init__(self, nodes: Mapping[str, NodeObservation]) -> None:
        """Nodes whose pods were not added up are left out; without any nothing is known."""
        self._nodes = [node for node in nodes.values() if node.free is not None and not node.unschedulable]
        self._free: dict[PodNeeds, int | None] = {}

    def free(self, needs: PodNeeds | None) -> int | None:
        """Replicas that find a node now; None where nobody knows."""
        if needs is None:
            return None
        if needs not in self._free:
            self._free[needs] = self.slots(needs)
        return self._free[needs]

    def slots(self, needs: PodNeeds | None, released: Mapping[str, Amounts] = _NOTHING) -> int | None:
        """Replicas that would find a node if ``released``, by node, were free as well.

        With 3 and 2 of 8 GPUs free on two nodes a replica of 2 finds 1 + 1 slots; 5 free on one node were 2.
        """
        if needs is None or not needs.resources or not self._nodes:
            return None
        known = [node for node in self._nodes if all(name in node.allocatable for name, _ in needs.resources)]
        if not known and not self._anywhere(needs):
            return None
        return sum(_fit(node, needs, released.get(node.name, {})) for node in known)

    def _anywhere(self, needs: PodNeeds) -> bool:
        """Whether nodes tell of each resource at all; devices by DRA stand in no node's allocatable."""
        return all(any(name in node.allocatable for node in self._nodes) for name, _ in needs.resources)


def _fit(node: NodeObservation, needs: PodNeeds, released: Amounts) -> int:
    if node.free is None or any(node.labels.get(name) != value for name, value in needs.labels):
        return 0
    return max(0, min(
        math.floor((node.free[name] + released.get(name, 0.0)) / amount + 1e-9) for name, amount in needs.resources
    ))  # fmt: skip
