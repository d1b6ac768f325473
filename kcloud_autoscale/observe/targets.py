"""From optimizers to what they scale: the object, its pods, and who else lays hands on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from kcloud_autoscale.domain.observation import Pods, TargetObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.objects import OPTIMIZER_LABEL, Pod, Requests, Scalable, group_of
from kcloud_autoscale.observe.reader import Json, ReadError
from kcloud_autoscale.observe.selectors import LabelSelector, Requirement, from_text

CONCURRENT_READS = 8

_APPS = ("Deployment", "StatefulSet")


@dataclass(frozen=True, slots=True)
class Target:
    """What an optimizer scales, or why it cannot be found; with its pods, and what its template asks for."""

    seen: TargetObservation | Missing
    pods: tuple[Pod, ...] = ()
    conflict: str | None = None
    requests: Requests | None = None


@dataclass(slots=True)
class Targets:
    """Finds targets; remembers which kinds can be scaled, and each target's last pods.

    Args:
        informers: Copies of pods, Deployments, StatefulSets and autoscalers.
        limit_seconds: For all reads of kinds that are not watched.
    """

    informers: Informers
    limit_seconds: float = 5.0
    _scale_paths: dict[tuple[str, str], str] = field(default_factory=dict)
    _last: dict[WorkloadKey, TargetObservation] = field(default_factory=dict)

    async def find(self, policies: Mapping[WorkloadKey, WorkloadPolicy]) -> dict[WorkloadKey, Target]:
        """One target per optimizer. What one of them lacks is its own Missing, never an error for the rest."""
        refs = self._refs(policies)
        found = {key: ref if isinstance(ref, Missing) else self._watched(key, ref) for key, ref in refs.items()}
        try:
            async with asyncio.timeout(self.limit_seconds):
                await self._read_others(found)
        except TimeoutError:
            _give_up(found, self.limit_seconds)
        scalables = {key: each for key, each in found.items() if isinstance(each, Scalable)}
        pods = self.informers.matching({key: (key.namespace, each.selector) for key, each in scalables.items()})
        others = self.informers.autoscalers()
        result: dict[WorkloadKey, Target] = {}
        for key, each in found.items():
            if isinstance(each, Scalable):
                taken = others.get((key.namespace, group_of(each.ref.api_version), each.ref.kind, each.ref.name))
                conflict = f"{taken.kind} {taken.name}" if taken else None
                result[key] = Target(self._observed(key, each, pods[key]), tuple(pods[key]), conflict, each.requests)
            elif isinstance(each, Missing):
                result[key] = Target(each)
        self._last = {key: each.seen for key, each in result.items() if isinstance(each.seen, TargetObservation)}
        return result

    def _observed(self, key: WorkloadKey, each: Scalable, pods: list[Pod]) -> TargetObservation:
        seen = Pods(pod.seen for pod in pods)
        last = self._last.get(key)
        if last is not None and last.pods == seen:
            seen = last.pods  # the same object tells the reader at a glance that nothing happened
        return TargetObservation(
            each.ref,
            each.uid,
            each.resource_version,
            each.replicas,
            seen,
            each.existing,
            each.creation_refused,
            each.replicas_are_ours,
        )

    def _refs(self, policies: Mapping[WorkloadKey, WorkloadPolicy]) -> dict[WorkloadKey, TargetRef | Missing]:
        refs: dict[WorkloadKey, TargetRef | Missing | None] = {}
        for key, policy in policies.items():
            refs[key] = policy.target or self._by_name(key)
        unnamed = {key for key, ref in refs.items() if ref is None}
        owners = self._labelled_owners(unnamed) if unnamed else {}
        return {key: ref or _only_owner(key, owners.get(key, set())) for key, ref in refs.items()}

    def _by_name(self, key: WorkloadKey) -> TargetRef | Missing | None:
        for kind in _APPS:
            if self.informers.scalable(key.namespace, kind, key.name) is not None:
                return TargetRef("apps/v1", kind, key.name)
            if unknown := self.informers.unknown(key.namespace, kind):
                return Missing(MissingReason.SOURCE_ERROR, unknown)
        return None

    def _labelled_owners(self, keys: set[WorkloadKey]) -> dict[WorkloadKey, set[TargetRef]]:
        """Owners of pods that carry an optimizer's label, one pass for all."""
        owners: dict[WorkloadKey, set[TargetRef]] = {}
        for namespace, pod in self.informers.pods():
            name = pod.labels.get(OPTIMIZER_LABEL)
            if name and pod.owner and (key := WorkloadKey(namespace, name)) in keys:
                owners.setdefault(key, set()).add(self._scaled_owner(namespace, pod))
        return owners

    def _scaled_owner(self, namespace: str, pod: Pod) -> TargetRef:
        """A pod's ReplicaSet stands for its Deployment: ``llm-6d9f7c5b8`` with hash ``6d9f7c5b8`` for ``llm``."""
        owner = pod.owner
        assert owner is not None
        template_hash = pod.labels.get("pod-template-hash", "")
        if owner.kind == "ReplicaSet" and template_hash:
            name = owner.name.removesuffix(f"-{template_hash}")
            if self.informers.scalable(namespace, "Deployment", name) is not None:
                return TargetRef("apps/v1", "Deployment", name)
        return owner

    def _watched(self, key: WorkloadKey, ref: TargetRef) -> Scalable | Missing | TargetRef:
        """The object from its watch; the reference itself when its kind is not watched."""
        if group_of(ref.api_version) != "apps" or ref.kind not in _APPS:
            return ref
        if unknown := self.informers.unknown(key.namespace, ref.kind):
            return Missing(MissingReason.SOURCE_ERROR, unknown)
        return self.informers.scalable(key.namespace, ref.kind, ref.name) or _not_found(key, ref)

    async def _read_others(self, found: dict[WorkloadKey, Scalable | Missing | TargetRef]) -> None:
        """Replace references by their Scale, read side by side."""
        refs = {key: each for key, each in found.items() if isinstance(each, TargetRef)}
        kinds = {(ref.api_version, ref.kind) for ref in refs.values()} - self._scale_paths.keys()
        unscalable = dict(zip(kinds, await asyncio.gather(*(self._discover(*kind) for kind in kinds)), strict=True))
        slots = asyncio.Semaphore(CONCURRENT_READS)

        async def read(key: WorkloadKey, ref: TargetRef) -> None:
            async with slots:
                missing = unscalable.get((ref.api_version, ref.kind))
                found[key] = missing or await self._read_scale(key, ref)

        await asyncio.gather(*(read(key, ref) for key, ref in refs.items()))

    async def _discover(self, api_version: str, kind: str) -> Missing | None:
        """Learn where the kind's ``/scale`` is. Only a hit is remembered: a kind may be installed later."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            resources = (await self.informers.reader.get(root)).get("resources") or ()
        except ReadError as error:
            gone = error.status == 404
            reason = MissingReason.NOT_CONFIGURED if gone else MissingReason.SOURCE_ERROR
            return Missing(reason, f"the API server has no {api_version}" if gone else str(error))
        kinds = {each["name"]: each["kind"] for each in resources}
        for plural, named in kinds.items():
            if named == kind and f"{plural}/scale" in kinds:
                self._scale_paths[api_version, kind] = f"{root}/namespaces/{{namespace}}/{plural}/{{name}}/scale"
                return None
        why = "has no scale subresource" if kind in kinds.values() else "does not exist"
        return Missing(MissingReason.NOT_CONFIGURED, f"{api_version} {kind} {why}")

    async def _read_scale(self, key: WorkloadKey, ref: TargetRef) -> Scalable | Missing:
        path = self._scale_paths[ref.api_version, ref.kind].format(namespace=key.namespace, name=ref.name)
        try:
            return _scalable(key, ref, await self.informers.reader.get(path))
        except ReadError as error:
            if error.status == 404:
                self._scale_paths.pop((ref.api_version, ref.kind), None)  # the kind itself may be gone
                return _not_found(key, ref)
            return Missing(MissingReason.SOURCE_ERROR, str(error))


def _give_up(found: dict[WorkloadKey, Scalable | Missing | TargetRef], limit_seconds: float) -> None:
    for key, each in found.items():
        if isinstance(each, TargetRef):
            found[key] = Missing(MissingReason.SOURCE_ERROR, f"the scale of {each} was not read in {limit_seconds:g} s")


def _scalable(key: WorkloadKey, ref: TargetRef, scale: Json) -> Scalable:
    text = (scale.get("status") or {}).get("selector")
    # A CRD need not say which pods are its own; then those labelled for the optimizer are.
    labelled = LabelSelector((Requirement(OPTIMIZER_LABEL, "in", frozenset((key.name,))),))
    meta = scale["metadata"]
    replicas = int((scale.get("spec") or {}).get("replicas", 0))
    return Scalable(ref, meta["uid"], meta["resourceVersion"], replicas, from_text(text) if text else labelled)


def _only_owner(key: WorkloadKey, owners: set[TargetRef]) -> TargetRef | Missing:
    if len(owners) == 1:
        return next(iter(owners))
    if owners:
        names = ", ".join(sorted(map(str, owners)))
        return Missing(MissingReason.AMBIGUOUS, f"pods labelled {OPTIMIZER_LABEL}={key.name} are of several: {names}")
    return Missing(
        MissingReason.NO_DATA,
        f"no Deployment or StatefulSet {key} and no pod labelled {OPTIMIZER_LABEL}={key.name}; set spec.targetRef",
    )


def _not_found(key: WorkloadKey, ref: TargetRef) -> Missing:
    return Missing(MissingReason.NO_DATA, f"{ref.kind} {key.namespace}/{ref.name} not found")
