"""What was seen in one fleet cycle, before anyone decides anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import StrEnum
from functools import cached_property

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.reading import BoundedReading, Missing, MissingReason, Reading
from kcloud_autoscale.domain.series import DemandHistory, FloatArray
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey

NOT_ASKED = Missing(MissingReason.NOT_CONFIGURED)


class PodPhase(StrEnum):
    """Kubernetes' own; UNKNOWN also stands for a pod that has none yet."""

    PENDING = "Pending"  # not all containers have run
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


_FINISHED = frozenset({PodPhase.FAILED, PodPhase.SUCCEEDED})


@frozen
class PodObservation:
    """One pod of a target.

    Attributes:
        name: Of the pod.
        created_seconds: Unix time of creation.
        ready_seconds: When its Ready condition last became True; None while it is not ready.
        node: Where it is bound; None while unscheduled.
        deleting: It has a deletion timestamp.
        phase: As its node's kubelet last told it.
        started_seconds: When its kubelet took it up; None before.
        unready_seconds: When its Ready condition last became False; None while it is True or not told.
        unscheduled: Why no node has it, in the words of its PodScheduled condition; empty while nothing was said.
    """

    name: str
    created_seconds: float
    ready_seconds: float | None = None
    node: str | None = None
    deleting: bool = False
    phase: PodPhase = PodPhase.RUNNING
    started_seconds: float | None = None
    unready_seconds: float | None = None
    unscheduled: str = ""

    @property
    def finished(self) -> bool:
        """It holds nothing and serves nobody any more."""
        return self.phase in _FINISHED

    @property
    def staying(self) -> bool:
        """It serves or is about to."""
        return not self.finished and not self.deleting

    @property
    def ready(self) -> bool:
        """It serves. One that was evicted may still be told to be Ready, and is not."""
        return self.ready_seconds is not None and self.staying


class Pods(tuple[PodObservation, ...]):
    """The pods of a target, counted once: while nothing changes the same object is seen again.

    Attributes:
        ready: Those that serve.
        active: Those that serve, start or wait for a node.
        placed: Of the active those that have a node: they hold devices, serving or starting.
        held: Those that hold devices and are paid for: a pod on its way out still does, a finished one does not, and
            one without a node holds nothing yet.
    """

    def __init__(self, _: Iterable[PodObservation] = ()) -> None:
        """The pods themselves are in place already, as with every tuple."""
        self.ready = self.active = self.placed = self.held = 0
        for pod in self:
            if pod.finished:
                continue
            bound = pod.node is not None
            self.held += bound
            if not pod.deleting:
                self.active += 1
                self.placed += bound
                self.ready += pod.ready

    @property
    def unscheduled(self) -> int:
        """Those that wait for a node."""
        return self.active - self.placed

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Nodes they are bound to, each once, in the order of the pods."""
        return tuple(dict.fromkeys([pod.node for pod in self if pod.node is not None]))

    @cached_property
    def staying_by_node(self) -> Mapping[str, int]:
        """Those bound to a node that serve or are about to, by node, in the order of the pods."""
        return Counter(pod.node for pod in self if pod.node is not None and pod.staying)


NO_PODS = Pods()


@frozen
class TargetObservation:
    """The scaled object as the API server last told it.

    Attributes:
        ref: What it is.
        uid: Checked again before every write.
        resource_version: Of the scale subresource; a write against an older one is refused.
        desired_replicas: ``spec.replicas`` of its scale.
        pods: The pods its selector matches.
        existing_replicas: Pods that its controller says it has made; None where it does not say.
        creation_refused: Why its controller cannot make more, in the API server's words (a quota, a webhook); empty
            when it can.
        replicas_are_ours: The API server says that its present count was written by us.
    """

    ref: TargetRef
    uid: str
    resource_version: str
    desired_replicas: int
    pods: Pods = NO_PODS
    existing_replicas: int | None = None
    creation_refused: str = ""
    replicas_are_ours: bool = False

    @property
    def ready_replicas(self) -> int:
        return self.pods.ready


@frozen
class MetricObservation:
    """One metric of a policy: the whole workload's value, and the pods' own where the kind needs them.

    ``total`` is the value itself for VALUE metrics, the sum over the workload for AVERAGE_VALUE metrics and the
    mean over pods for UTILIZATION metrics. ``window_seconds`` is what the pods' own values are means over; 0 for what
    is read at an instant.
    """

    name: str
    total: BoundedReading
    per_pod: Mapping[str, float] = field(default_factory=dict)
    window_seconds: float = 0.0


@frozen
class NodeObservation:
    """What a node costs and carries.

    Attributes:
        name: Of the node.
        labels: All labels; price, capacity type, model and zone are read from them.
        hourly_usd: OpenCost's whole-node price, if it exports one.
        gpu_hourly_usd: OpenCost's price of one GPU on this node.
        core_hourly_usd: OpenCost's price of one of its cores.
        gib_hourly_usd: OpenCost's price of one GiB of its memory.
        allocatable: What pods may hold of it: ``cpu`` in cores, ``memory`` in bytes, extended resources in units.
        unschedulable: Cordoned, or tainted as leaving.
        free: Of the allocatable what no pod that we see has asked for; None where pods were not added up.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    hourly_usd: Reading = NOT_ASKED
    gpu_hourly_usd: Reading = NOT_ASKED
    core_hourly_usd: Reading = NOT_ASKED
    gib_hourly_usd: Reading = NOT_ASKED
    allocatable: Mapping[str, float] = field(default_factory=dict)
    unschedulable: bool = False
    free: Mapping[str, float] | None = None


@frozen
class ClaimedDevice:
    """A device, or a part of one, that a ResourceClaim was given.

    Attributes:
        driver: Of the device, as ``gpu.nvidia.com``.
        product: What the driver calls the model; empty where it does not.
        card_fraction: What part of a card it is.
        family: ``gpu`` or ``npu``.
    """

    driver: str
    product: str
    card_fraction: float
    family: str


@frozen(eq=False)
class CapacityHistory:
    """Pairs from which the capacity of a replica is learned; NaN where a step is unknown.

    Attributes:
        start_seconds: Unix time of the first step.
        step_seconds: Spacing.
        demand: Shape ``(steps,)``, load per second.
        ready_replicas: Shape ``(steps,)``.
        metric: Shape ``(steps,)``, the target metric in the unit of its threshold.
        metric_name: Which target the values belong to.
    """

    start_seconds: float
    step_seconds: float
    demand: FloatArray
    ready_replicas: FloatArray
    metric: FloatArray
    metric_name: str


@frozen
class PodNeeds:
    """What a node must have to take a pod, as far as it can be told apart cheaply.

    Attributes:
        resources: What it asks for by name, in the units of a node's allocatable; those it asks nothing of are absent.
        labels: Of its nodeSelector.
    """

    resources: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


@frozen
class WorkloadObservation:
    """Everything seen of one workload in this cycle.

    Attributes:
        key: The optimizer.
        target: What it scales, or why it cannot be found.
        conflict: Name of another autoscaler on the same target; None when there is none.
        demand: Load per second right now, or at least.
        demand_source: Where it is read, for people: a preset, one that was found by its metrics, or a query.
        demand_of_pods: The demand is read from series that the target's own pods export.
        demand_history: The steps not fed to the forecaster before: two weeks for a new workload, then one or two.
        capacity_history: New pairs to learn the capacity of a replica from, per target metric.
        metrics: In the order of the policy's targets.
        watts: Measured draw of the whole workload.
        watts_per_pod: Measured draw of each pod.
        utilization_fraction: Accelerator utilization, mean over pods; power is estimated from it when unmeasured.
        accelerator_model: Product label of the device, from a metric or the node; empty when unknown.
        replica_accelerators: Extended resources of one replica by name, read from its pods; empty when none.
        replica_shares: Memory and core shares that go with those devices, by resource.
        replica_claims: Devices its ResourceClaims have been given; Missing where they cannot be read.
        device_measured: An exporter measures an accelerator of its pods.
        replica_cpu_cores: Cores one replica asks for; None where its pods ask for none or there are no pods.
        replica_memory_bytes: Memory one replica asks for; None likewise.
        pod_needs: What a node must have for one more of its pods; None while it has none.
    """

    key: WorkloadKey
    target: TargetObservation | Missing
    conflict: str | None = None
    demand: BoundedReading = NOT_ASKED
    demand_source: str = ""
    demand_of_pods: bool = False
    demand_history: DemandHistory | None = None
    capacity_history: tuple[CapacityHistory, ...] = ()
    metrics: tuple[MetricObservation, ...] = ()
    watts: Reading = NOT_ASKED
    watts_per_pod: Mapping[str, float] = field(default_factory=dict)
    utilization_fraction: Reading = NOT_ASKED
    accelerator_model: str = ""
    replica_accelerators: Mapping[str, int] = field(default_factory=dict)
    replica_shares: Mapping[str, float] = field(default_factory=dict)
    replica_claims: tuple[ClaimedDevice, ...] | Missing = ()
    device_measured: bool = False
    replica_cpu_cores: float | None = None
    replica_memory_bytes: float | None = None
    pod_needs: PodNeeds | None = None


@frozen
class Observation:
    """One look at the whole fleet.

    ``problems`` are sources that failed as a whole, in words, for conditions and ``check``.
    """

    at_seconds: float
    workloads: Mapping[WorkloadKey, WorkloadObservation]
    nodes: Mapping[str, NodeObservation] = field(default_factory=dict)
    carbon_grams_per_kwh: Reading = NOT_ASKED
    problems: tuple[str, ...] = ()
