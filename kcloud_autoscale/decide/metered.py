"""Which pods a metric of their own speaks for, as Kubernetes' HPA tells them apart.

Source: `groupPods` in kubernetes/pkg/controller/podautoscaler/replica_calculator.go, v1.36.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import MetricObservation, PodObservation, PodPhase
from kcloud_autoscale.domain.reading import Missing

# Defaults of kube-controller-manager's flags `--horizontal-pod-autoscaler-…`.
CPU_INITIALIZATION_SECONDS = 300.0  # a start burns CPU: until then a value counts only if it was taken while Ready
INITIAL_READINESS_DELAY_SECONDS = 30.0  # a pod that turned unready so soon after its start had not been Ready before


@frozen
class Metered:
    """The pods of a target by what is known of their metric.

    Attributes:
        total: Sum over the measured.
        measured: Pods whose value counts.
        unready: Pods that do not serve yet: idle when scaling up, left out when scaling down.
        missing: Pods that run, Ready or not, without a value.
    """

    total: float
    measured: int
    unready: int
    missing: int


def metered(pods: Iterable[PodObservation], metric: MetricObservation) -> Metered:
    """Sort the pods of a target by a metric with values per pod.

    Only of CPU a value counts or not by the pod's readiness. A pod that was Ready for an hour and is not now counts
    with its value: it is overloaded rather than starting. So does a GPU's value while its pod loads a model.
    """
    total, groups = 0.0, dict.fromkeys(_Group, 0)
    for pod in pods:
        group = _group(pod, metric)
        groups[group] += 1
        if group is _Group.MEASURED:
            total += metric.per_pod[pod.name]
    return Metered(total, groups[_Group.MEASURED], groups[_Group.UNREADY], groups[_Group.MISSING])


class _Group(Enum):
    IGNORED = "ignored"
    UNREADY = "unready"
    MISSING = "missing"
    MEASURED = "measured"


def _group(pod: PodObservation, metric: MetricObservation) -> _Group:
    if pod.deleting or pod.phase is PodPhase.FAILED:
        return _Group.IGNORED
    if pod.phase is PodPhase.PENDING:
        return _Group.UNREADY
    if pod.name not in metric.per_pod:
        return _Group.MISSING
    if metric.name == "cpu" and _starting(pod, metric):
        return _Group.UNREADY
    return _Group.MEASURED


def _starting(pod: PodObservation, metric: MetricObservation) -> bool:
    """Whether the CPU that a pod uses may be its start's.

    With a window of 75 s, a pod started at 0 and Ready at 90 counts from 165 on. One that is not Ready at 301 counts if
    it turned so after 30, and starts for ever if it did before.
    """
    changed = pod.unready_seconds if pod.ready_seconds is None else pod.ready_seconds
    if isinstance(metric.total, Missing) or pod.started_seconds is None or changed is None:
        return True
    now, unready = metric.total.at_seconds, pod.ready_seconds is None
    if pod.started_seconds + CPU_INITIALIZATION_SECONDS > now:
        return unready or now < changed + metric.window_seconds
    return unready and pod.started_seconds + INITIAL_READINESS_DELAY_SECONDS > changed
