"""Whole replicas from real numbers, and the pods of a target by what they are good for."""

from __future__ import annotations

import functools
import math

from kcloud_autoscale.domain.decision import Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import TargetObservation

# Rounding must not cost a replica: 8.4 / 0.7 is 12.000000000000002 in binary. A billionth of a replica is some ten
# thousand ulps at a thousand replicas, and a demand that exceeds a whole count by less than that serves just as well.
EPSILON = 1e-9
# The largest count `spec.replicas` can hold.
MOST_REPLICAS = 2**31 - 1


def replicas_for(load: float, per_replica: float) -> int:
    """The least count that carries a load: 71 at 10 each takes 8."""
    return math.ceil(min(load / per_replica - EPSILON, MOST_REPLICAS))


def replicas_within(limit: float, per_replica: float) -> int:
    """The largest count within a limit: 100 $/h at 13.76 $/h each is 7; without bound where a replica takes nothing."""
    if per_replica <= 0.0:
        return MOST_REPLICAS
    return math.floor(min(limit / per_replica + EPSILON, MOST_REPLICAS))


def excess(used: float, limit: float) -> float:
    """By how much a limit is exceeded; rounding exceeds nothing: 3 at 0.1 are 0.30000000000000004, within 0.3."""
    return used - limit if used > limit * (1.0 + EPSILON) else 0.0


@frozen
class PodCounts:
    """Pods of a target.

    Attributes:
        ready: Serving.
        active: Existing and not on their way out, serving or not; what HPA calls the current replicas of the status.
        placed: Of these, on a node.
        leaving: Still holding their devices, though the present count no longer asks for them: pods being deleted,
            and pods beyond `spec.replicas`.
    """

    ready: int
    active: int
    placed: int
    leaving: int


def count_pods(target: TargetObservation) -> PodCounts:
    """What the pods are good for; those beyond the count asked for are as good as gone."""
    pods = target.pods
    deleting = pods.held - pods.placed
    return PodCounts(pods.ready, pods.active, pods.placed, deleting + max(0, pods.active - target.desired_replicas))


@functools.lru_cache(maxsize=16_384)
def unchanged(stage: Stage, replicas: int, reason: str, text: str = "") -> Step:
    """A step that left the count alone. Most are the same from tick to tick, so that one object stands for all."""
    return Step(stage, replicas, replicas, reason, text)
