"""Kubernetes HPA v2 stated a second time, from its documentation and source and from nothing of ours.

Sources: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details and, where the
documentation is silent, kubernetes v1.36 pkg/controller/podautoscaler (replica_calculator.go, horizontal.go).
Arithmetic is exact where the source's is or should be: metrics are integers in thousandths, ratios are fractions. Only
the percentages of scaling policies are taken in binary, as there. `tests/integration/test_hpa_conformance.py` holds
this against the controller itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

CPU_INITIALIZATION_PERIOD, DELAY_OF_INITIAL_READINESS_STATUS = 300, 30


@dataclass
class Pod:
    """What `groupPods` looks at; times are seconds of one clock.

    ``milli`` is the metric in thousandths, None when there is no sample of this pod; ``ready`` is the status of the
    Ready condition, which last changed at ``changed``, None where there is no condition.
    """

    ready: bool | None
    milli: int | None
    deleting: bool = False
    phase: str = "Running"
    started: float | None = 0
    changed: float = 60


@dataclass
class Metric:
    """``resource`` is `cpu` or another resource of metrics.k8s.io, or None for a metric of custom.metrics.k8s.io.

    Its samples are means over ``window`` seconds and bear the time ``at``.
    """

    resource: str | None = "cpu"
    at: float = 100_000
    window: float = 0


@dataclass
class Band:
    up: Fraction = Fraction(1, 10)
    down: Fraction = Fraction(1, 10)

    def holds(self, ratio: Fraction) -> bool:
        return 1 - self.down <= ratio <= 1 + self.up


def per_pod(pods: list[Pod], metric: Metric, target_milli: int, current: int, band: Band) -> int | None:
    """`GetResourceReplicas` and `calcPlainMetricReplicas`; None where HPA reports that it received no metrics."""
    ratio = _usage_ratio if metric.resource is None else _percent_ratio
    samples, not_ready, missing = group_pods(pods, metric)
    if not samples:
        return None
    first = ratio(samples, target_milli)
    if not (not_ready and first > 1) and not missing:
        return current if band.holds(first) else math.ceil(first * len(samples))
    assumed = list(samples)
    if first < 1:
        assumed += [target_milli if metric.resource is None else max(1000, target_milli)] * missing
    elif first > 1:
        assumed += [0] * (missing + not_ready)
    second = ratio(assumed, target_milli)
    if band.holds(second) or (first < 1 < second) or (second < 1 < first):
        return current
    wanted = math.ceil(second * len(assumed))
    if (second < 1 and wanted > current) or (second > 1 and wanted < current):
        return current
    return wanted


def group_pods(pods: list[Pod], metric: Metric) -> tuple[list[int], int, int]:
    """Samples that count, how many pods are not ready, and how many have no sample."""
    samples, not_ready, missing = [], 0, 0
    for pod in pods:
        if pod.deleting or pod.phase == "Failed":
            continue
        if pod.phase == "Pending":
            not_ready += 1
        elif pod.milli is None:
            missing += 1
        elif metric.resource == "cpu" and _cpu_unready(pod, metric):
            not_ready += 1
        else:
            samples.append(pod.milli)
    return samples, not_ready, missing


def _cpu_unready(pod: Pod, metric: Metric) -> bool:
    if pod.ready is None or pod.started is None:
        return True
    if pod.started + CPU_INITIALIZATION_PERIOD > metric.at:
        return not pod.ready or metric.at < pod.changed + metric.window
    return not pod.ready and pod.started + DELAY_OF_INITIAL_READINESS_STATUS > pod.changed


def _percent_ratio(samples: list[int], target_milli: int) -> Fraction:
    """`GetResourceUtilizationRatio`: an integer of per cent, so 77.75 % are 77 %."""
    return Fraction(sum(samples) * 100 // (len(samples) * 1000) * 10, target_milli)


def _usage_ratio(samples: list[int], target_milli: int) -> Fraction:
    """`GetMetricUsageRatio`."""
    return Fraction(sum(samples), len(samples) * target_milli)


def average_value(total_milli: int, target_milli: int, status_replicas: int, band: Band) -> int:
    if band.holds(Fraction(total_milli, target_milli * status_replicas)):
        return status_replicas
    return math.ceil(Fraction(total_milli, target_milli))


def value(milli: int, target_milli: int, current: int, ready: int, band: Band) -> int:
    ratio = Fraction(milli, target_milli)
    return current if band.holds(ratio) else math.ceil(ratio * ready)


@dataclass
class Rules:
    """One direction of `behavior`: policies are (period seconds, "Pods" or "Percent", value)."""

    window: int
    policies: list[tuple[int, str, int]]
    select: str = "Max"


@dataclass
class Controller:
    """`normalizeDesiredReplicasWithBehaviors` with its memory; time is an argument."""

    up: Rules
    down: Rules
    least: int
    most: int
    recommendations: list[tuple[float, int]] = field(default_factory=list)
    added: list[tuple[float, int]] = field(default_factory=list)
    removed: list[tuple[float, int]] = field(default_factory=list)

    def found(self, now: float, current: int) -> None:
        """The first sync, with or without a metric: the count there is counts as recommended."""
        if not self.recommendations:
            self.recommendations.append((now, current))

    def sync(self, now: float, current: int, proposal: int) -> int:
        self.found(now, current)
        count = self._limited(now, current, self._stabilized(now, current, proposal))
        if count > current:
            self.added.append((now, count - current))
        elif count < current:
            self.removed.append((now, current - count))
        return count

    def _stabilized(self, now: float, current: int, proposal: int) -> int:
        low = min([proposal, *(r for at, r in self.recommendations if at > now - self.up.window)])
        high = max([proposal, *(r for at, r in self.recommendations if at > now - self.down.window)])
        self.recommendations.append((now, proposal))
        return min(max(current, low), high)

    def _limited(self, now: float, current: int, wanted: int) -> int:
        if wanted > current:
            limit = max(current, self._limit(now, current, self.up, +1))
            return min(wanted, self.most, limit)
        if wanted < current:
            limit = min(current, self._limit(now, current, self.down, -1))
            return max(wanted, self.least, limit)
        return wanted

    def _limit(self, now: float, current: int, rules: Rules, sign: int) -> int:
        if rules.select == "Disabled":
            return current
        proposed = []
        for period, kind, amount in rules.policies:
            start = current - _within(self.added, now - period) + _within(self.removed, now - period)
            if kind == "Pods":
                proposed.append(start + sign * amount)
            else:
                changed = start * (1 + sign * (amount / 100))
                proposed.append(math.ceil(changed) if sign > 0 else int(changed))
        largest = max if (rules.select == "Max") == (sign > 0) else min
        return largest(proposed)


@dataclass
class WithoutBehavior(Controller):
    """`normalizeDesiredReplicas`: of an HPA without `behavior`, by the controller's own window."""

    def _stabilized(self, now: float, current: int, proposal: int) -> int:
        # Also above the present count: what a jump wanted is still wanted while the window lasts.
        high = max([proposal, *(r for at, r in self.recommendations if at >= now - self.down.window)])
        self.recommendations.append((now, proposal))
        return high

    def _limited(self, now: float, current: int, wanted: int) -> int:
        return max(self.least, min(wanted, self.most, max(2 * current, 4)))


def _within(events: list[tuple[float, int]], cutoff: float) -> int:
    return sum(change for at, change in events if at > cutoff)
