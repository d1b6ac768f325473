"""What is kept of each object: few fields, equal parts shared, so that ten thousand pods cost a few megabytes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from kcloud_autoscale.domain.device import device_resource, is_accelerator
from kcloud_autoscale.domain.observation import NodeObservation, PodObservation, PodPhase
from kcloud_autoscale.domain.workload import FIELD_MANAGER, TargetRef
from kcloud_autoscale.observe.reader import Json
from kcloud_autoscale.observe.selectors import LabelSelector, from_object

OPTIMIZER_LABEL = "kcloud.io/workload-optimizer"

# A node that carries one of these is on its way out or must not be used.
LEAVING_TAINTS = frozenset(
    {
        "node.kubernetes.io/unschedulable",
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "karpenter.sh/disrupted",
        "cloud.google.com/impending-node-termination",
        "ToBeDeletedByClusterAutoscaler",
        "aws-node-termination-handler/spot-itn",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "aws-node-termination-handler/scheduled-maintenance",
        "aws-node-termination-handler/rebalance-recommendation",
    }
)

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Requests:
    """What a pod asks for; None where it asks for none.

    Attributes:
        cpu_cores: Of all containers.
        memory_bytes: Of all containers.
        accelerators: Devices by extended resource.
        shares: Memory and cores that go with each of those devices.
        unknown: Extended resources that the table of devices does not know.
        node_selector: Labels its node must have.
    """

    cpu_cores: float | None = None
    memory_bytes: float | None = None
    accelerators: tuple[tuple[str, int], ...] = ()
    shares: tuple[tuple[str, float], ...] = ()
    unknown: tuple[tuple[str, int], ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()

    @property
    def amounts(self) -> tuple[tuple[str, float], ...]:
        """By the names of a node's allocatable."""
        host = (("cpu", self.cpu_cores), ("memory", self.memory_bytes))
        return (*((name, amount) for name, amount in host if amount), *self.accelerators, *self.unknown)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, its labels and requests (shared with pods that have the same), and its controller.

    ``claims`` are the names of its ResourceClaims; a claim that has not been made yet is an empty name.
    """

    seen: PodObservation
    labels: Mapping[str, str]
    requests: Requests
    owner: TargetRef | None
    claims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scalable:
    """A Deployment, a StatefulSet, or any object's Scale.

    Attributes:
        ref: What it is.
        uid: Of this object of the name.
        resource_version: Of its Scale.
        replicas: ``spec.replicas``.
        selector: Of its pods.
        replicas_are_ours: Its managed fields say that we wrote the present count.
        requests: Of its pod template, for what a replica asks for while there is none; None where it has no template.
    """

    ref: TargetRef
    uid: str
    resource_version: str
    replicas: int
    selector: LabelSelector
    existing: int | None = None
    creation_refused: str = ""
    replicas_are_ours: bool = False
    requests: Requests | None = None


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """Somebody else who sets replicas: an HPA or a KEDA ScaledObject."""

    name: str
    kind: str
    group: str
    target_kind: str
    target_name: str


class Slimmer:
    """Makes the above from full objects, sharing what is equal."""

    def __init__(self) -> None:
        self._labels: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self._requests: dict[Requests, Requests] = {}

    def pod(self, item: Json) -> Pod:
        meta, spec, status = item["metadata"], item["spec"], item.get("status") or {}
        conditions = status.get("conditions") or ()
        ready: Json = next((each for each in conditions if each.get("type") == "Ready"), {})
        seen = PodObservation(
            name=meta["name"],
            created_seconds=unix_seconds(meta["creationTimestamp"]),
            ready_seconds=_since(ready, "True"),
            node=_interned(spec.get("nodeName")),
            deleting="deletionTimestamp" in meta,
            phase=PodPhase(status.get("phase") or PodPhase.UNKNOWN),
            started_seconds=unix_seconds(status["startTime"]) if status.get("startTime") else None,
            unready_seconds=_since(ready, "False"),
            unscheduled="" if spec.get("nodeName") else _unscheduled(conditions),
        )
        requests = pod_requests(spec)
        shared = self._requests.setdefault(requests, requests)
        return Pod(seen, self._shared(meta), shared, controller(meta), pod_claims(spec, status))

    def _shared(self, meta: Json) -> Mapping[str, str]:
        # A StatefulSet's pods each carry their own name and index as labels: no selector of ours needs those.
        pairs = sorted((meta.get("labels") or {}).items())
        kept = tuple((sys.intern(k), sys.intern(v)) for k, v in pairs if v != meta["name"] and not k.endswith("-index"))
        if len(self._labels) > 50_000:
            self._labels.clear()  # sharing begins anew; what is in use lives on with its pods
        return self._labels.setdefault(kept, dict(kept))


def node(item: Json) -> NodeObservation:
    meta, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    taints = {taint["key"] for taint in spec.get("taints") or ()}
    allocatable = {
        sys.intern(name): quantity(value)
        for name, value in (status.get("allocatable") or {}).items()
        if name in ("cpu", "memory") or is_accelerator(name)
    }
    return NodeObservation(
        name=meta["name"],
        labels={sys.intern(k): sys.intern(v) for k, v in (meta.get("labels") or {}).items()},
        allocatable=allocatable,
        unschedulable=bool(spec.get("unschedulable")) or bool(taints & LEAVING_TAINTS),
    )


def scalable(kind: str) -> Any:
    """How to slim an object of a kind in ``apps/v1``."""

    def slim(item: Json) -> Scalable:
        meta, spec = item["metadata"], item["spec"]
        ref = TargetRef("apps/v1", kind, meta["name"])
        selector = from_object(spec.get("selector"))
        status = item.get("status") or {}
        # The Scale of a Deployment carries the Deployment's own resourceVersion.
        template = (spec.get("template") or {}).get("spec")
        return Scalable(
            ref,
            meta["uid"],
            meta["resourceVersion"],
            int(spec.get("replicas", 1)),
            selector,
            int(status.get("replicas", 0)),
            _creation_refused(status.get("conditions") or ()),
            _replicas_are_ours(meta),
            pod_requests(template) if template is not None else None,
        )

    return slim


def _replicas_are_ours(meta: Json) -> bool:
    """Whether we were the last to change ``spec.replicas``: whoever does takes the field over from all others."""
    return any(
        entry.get("manager") == FIELD_MANAGER and "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        for entry in meta.get("managedFields") or ()
    )


def hpa(item: Json) -> Autoscaler:
    return _autoscaler(item, "HorizontalPodAutoscaler", item["spec"]["scaleTargetRef"])


def scaled_object(item: Json) -> Autoscaler:
    return _autoscaler(item, "ScaledObject", item["spec"]["scaleTargetRef"])


def _autoscaler(item: Json, kind: str, target: Json) -> Autoscaler:
    target_kind = target.get("kind") or "Deployment"
    version = target.get("apiVersion") or ("apps/v1" if target_kind in ("Deployment", "StatefulSet") else "")
    return Autoscaler(item["metadata"]["name"], kind, group_of(version), target_kind, target["name"])


def group_of(api_version: str) -> str:
    """``apps`` of ``apps/v1``; empty for the core group."""
    return api_version.partition("/")[0] if "/" in api_version else ""


def controller(meta: Json) -> TargetRef | None:
    """The object that made this one."""
    owner = next((each for each in meta.get("ownerReferences") or () if each.get("controller")), None)
    if owner is None:
        return None
    return TargetRef(sys.intern(owner["apiVersion"]), sys.intern(owner["kind"]), sys.intern(owner["name"]))


def pod_requests(spec: Json) -> Requests:
    """What the scheduler counts: the containers with their sidecars, or an init container that needs more.

    An extended resource counts by its limit, which equals its request.
    """
    running = _added([*_sidecars(spec), *(spec.get("containers") or ())])
    for each in spec.get("initContainers") or ():
        for name, amount in _asked_by(each).items():
            running[name] = max(running.get(name, 0.0), amount)
    running |= _asked_by(spec)  # resources of the pod as a whole stand above those of its containers
    return Requests(
        running.get("cpu"),
        running.get("memory"),
        tuple((name, int(n)) for name, n in _devices(running) if is_accelerator(name)),
        _shares(spec),
        tuple((name, int(n)) for name, n in _devices(running) if device_resource(name) is None),
        tuple(sorted((sys.intern(k), sys.intern(v)) for k, v in (spec.get("nodeSelector") or {}).items())),
    )


def pod_claims(spec: Json, status: Json) -> tuple[str, ...]:
    """Names of a pod's ResourceClaims, those of extended resources that a DeviceClass serves included."""
    made = {each["name"]: each.get("resourceClaimName") or "" for each in status.get("resourceClaimStatuses") or ()}
    named = [
        str(each.get("resourceClaimName") or made.get(each["name"], "")) for each in spec.get("resourceClaims") or ()
    ]
    extended = (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName")
    return tuple(named) + ((str(extended),) if extended else ())


def _sidecars(spec: Json) -> list[Json]:
    return [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]


def _asked_by(container: Json) -> dict[str, float]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity(value) for name, value in asked.items()}


def _added(containers: list[Json]) -> dict[str, float]:
    total: dict[str, float] = {}
    for container in containers:
        for name, amount in _asked_by(container).items():
            total[name] = total.get(name, 0.0) + amount
    return total


def _devices(asked: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted((sys.intern(name), count) for name, count in asked.items() if _is_extended(name) and count > 0.0)


def _shares(spec: Json) -> tuple[tuple[str, float], ...]:
    """Shares of the devices they go with: the largest of any container, since each is of one unit, not of all."""
    found: dict[str, float] = {}
    for container in (*_sidecars(spec), *(spec.get("containers") or ())):
        for name, amount in _asked_by(container).items():
            known = device_resource(name)
            if known is not None and known.share_of is not None:
                found[sys.intern(name)] = max(found.get(name, 0.0), amount)
    return tuple(sorted(found.items()))


def quantity(text: str | float) -> float:
    """``500m`` is 0.5, ``2Gi`` is 2147483648, ``1e3`` is 1000.

    Raises:
        ValueError: No quantity.
    """
    raw = str(text).strip()
    number = raw.rstrip("numkKMGTPEi")
    # 1E alone is an exa; the E of 1E3 stays with the number since a digit ends it.
    try:
        return float(Decimal(number) * _SUFFIXES[raw[len(number) :]])
    except (InvalidOperation, KeyError) as error:
        raise ValueError(f"{raw!r} is no quantity") from error


def unix_seconds(timestamp: str) -> float:
    """``2026-01-01T00:00:00Z`` as Unix time."""
    return datetime.fromisoformat(timestamp).timestamp()


def _since(condition: Json, status: str) -> float | None:
    """Since when a condition has this status; None where it has another."""
    return unix_seconds(condition["lastTransitionTime"]) if condition.get("status") == status else None


def _unscheduled(conditions: Iterable[Json]) -> str:
    """Why the scheduler has not placed a pod; the same sentence of many pods is kept once."""
    told = next((each for each in conditions if each.get("type") == "PodScheduled"), {})
    return sys.intern(told.get("message") or told.get("reason") or "") if told.get("status") == "False" else ""


def _creation_refused(conditions: Iterable[Json]) -> str:
    """Why a Deployment's ReplicaSet cannot make its pods: its ReplicaFailure, handed on by the Deployment."""
    told = next((each for each in conditions if each.get("type") == "ReplicaFailure"), {})
    return str(told.get("message") or told.get("reason") or "") if told.get("status") == "True" else ""


def _is_extended(name: str) -> bool:
    """Extended resources carry a domain; those of Kubernetes itself and huge pages do not count."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and not domain.endswith("kubernetes.io")


def _interned(text: str | None) -> str | None:
    return sys.intern(text) if text else None
