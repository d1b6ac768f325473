"""The replica calculator of Kubernetes' HorizontalPodAutoscaler (autoscaling/v2), on plain numbers.

Source: kubernetes/pkg/controller/podautoscaler/replica_calculator.go, v1.36. Where that computes in binary fractions
and rounds up a hair, we do not: 100 replicas at a ratio of 1.1 are 110, not 111.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kcloud_autoscale.decide.counting import EPSILON, replicas_for
from kcloud_autoscale.decide.metered import Metered
from kcloud_autoscale.domain.policy import WorkloadPolicy


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The band around a ratio of 1 in which nothing changes."""

    up: float = 0.1
    down: float = 0.1

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down - EPSILON <= ratio <= 1.0 + self.up + EPSILON


DEFAULT_TOLERANCE = Tolerance()


def tolerance_of(policy: WorkloadPolicy) -> Tolerance:
    """The tolerances of a behavior; each direction has its own."""
    up, down = policy.scale_up.tolerance_fraction, policy.scale_down.tolerance_fraction
    return DEFAULT_TOLERANCE if up == 0.1 == down else Tolerance(up, down)


def average_value(total: float, target: float, status_replicas: int, tolerance: Tolerance) -> int:
    """A total that the replicas share: ``ceil(total / target)`` unless the mean is within the tolerance.

    750 req/s at 100 each: 7 replicas carry 107 each, within a tenth, and stay; 6 carry 125, and 8 are wanted.
    """
    if status_replicas > 0 and tolerance.covers(total / (target * status_replicas)):
        return status_replicas
    return replicas_for(total, target)


def value(observed: float, target: float, current: int, ready: int, tolerance: Tolerance) -> int:
    """One number for the whole workload: ``ceil(ratio * ready)`` unless the ratio is within the tolerance.

    Latency 300 ms against 200 ms on 4 ready replicas asks for 6. Without a ready replica the number tells nothing of
    how many are needed, and the count stays (HPA would ask for none).
    """
    ratio = observed / target
    if current == 0:
        return replicas_for(observed, target)
    if ready == 0 or tolerance.covers(ratio):
        return current
    return replicas_for(ratio * ready, 1.0)


def per_pod(pods: Metered, target: float, current: int, tolerance: Tolerance, of_requests: bool) -> int:
    """A number per pod, averaged; pods without one are assumed to say what changes least.

    Args:
        pods: At least one is measured. Unready ones count as idle when scaling up, and not at all when scaling down;
            missing ones as idle when scaling up, and when scaling down as fully busy, or as on target where nothing is
            known that the number is a share of.
        target: Aimed for, in the unit of the pods' values.
        current: `spec.replicas`.
        tolerance: Applies to the ratio before and after the assumptions.
        of_requests: The values are shares of what the pods request (HPA's `Resource` metrics with a `Utilization`,
            which it cuts to whole per cent), not plain numbers (its `Pods` metrics).

    4 pods at 0.9 against 0.6 are a ratio of 1.5, and 6 are wanted. With 2 more starting it is 3.6 / (6 * 0.6) = 1.0,
    and the 6 stay. A mean of 0.7775 of the requests against 0.7 counts as 0.77, within a tenth.
    """
    mean = _whole_percent if of_requests else _mean
    ratio = mean(pods.total, pods.measured) / target
    counts_unready = pods.unready > 0 and ratio > 1.0
    if not counts_unready and pods.missing == 0:
        return current if tolerance.covers(ratio) else replicas_for(ratio * pods.measured, 1.0)
    total, counted = pods.total, pods.measured
    if pods.missing and ratio < 1.0:
        total += pods.missing * (max(1.0, target) if of_requests else target)
        counted += pods.missing
    elif pods.missing and ratio > 1.0:
        counted += pods.missing
    if counts_unready:
        counted += pods.unready
    adjusted = mean(total, counted) / target
    if tolerance.covers(adjusted) or (ratio < 1.0 < adjusted) or (ratio > 1.0 > adjusted):
        return current
    wanted = replicas_for(adjusted * counted, 1.0)
    # More pods are counted than `spec.replicas` asks for: that alone must not turn the direction.
    if (adjusted < 1.0 and wanted > current) or (adjusted > 1.0 and wanted < current):
        return current
    return wanted


def _mean(total: float, count: int) -> float:
    return total / count


def _whole_percent(total: float, count: int) -> float:
    return math.floor(total / count * 100 + EPSILON) / 100
