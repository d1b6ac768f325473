"""Objects -> FleetPolicy: what can be understood is served, what cannot is named, neither stops the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kcloud_autoscale.act.events import ObjectRef
from kcloud_autoscale.api.resolve import ResourceNames, parse
from kcloud_autoscale.api.resolve_fleet import FleetObjects, covered, key_of, resolve_fleet
from kcloud_autoscale.api.v1alpha1 import CostPolicy, PowerPolicy, WorkloadOptimizer
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from kcloud_autoscale.operator.exclusion import excluding
from kcloud_autoscale.operator.handlers import FINALIZER
from kcloud_autoscale.operator.settings import Settings
from kcloud_autoscale.operator.store import COST_POLICIES, NAMESPACES, OPTIMIZERS, POWER_POLICIES, Body, ObjectStore

Ours = WorkloadOptimizer | CostPolicy | PowerPolicy


@dataclass(frozen=True, slots=True)
class Fleet:
    """One cycle's view of our objects.

    Attributes:
        policy: Every optimizer that can be understood and is not being deleted, resolved; one that is being deleted
            is still in it, with mode Off and ``restoring``, while its replicas are to be restored.
        bodies: Of all optimizers in ``policy``, as the API server has them.
        optimizers: The same, parsed.
        policies: Cost and power policies with their bodies and members.
        invalid: Bodies that cannot be understood, with what is wrong.
        excluded: Optimizers that would scale where nothing may be, by the pattern that names their namespace; in
            ``policy`` they only recommend.
    """

    policy: FleetPolicy
    bodies: Mapping[WorkloadKey, Body]
    optimizers: Mapping[WorkloadKey, WorkloadOptimizer]
    policies: tuple[tuple[CostPolicy | PowerPolicy, Body, frozenset[WorkloadKey]], ...] = ()
    invalid: tuple[tuple[Body, str], ...] = ()
    excluded: Mapping[WorkloadKey, str] = field(default_factory=dict)

    def status_of(self, key: WorkloadKey) -> Mapping[str, Any]:
        """Status as last read."""
        status: Mapping[str, Any] = self.bodies[key].get("status", {})
        return status


@dataclass(slots=True)
class FleetReader:
    """Parses each object once per change of its spec: the checks cost a millisecond each, a thousand times a cycle."""

    settings: Settings
    _parsed: dict[str, tuple[object, Ours | str]] = field(default_factory=dict)

    def read(self, store: ObjectStore) -> Fleet:
        """The fleet as the store has it now."""
        bodies = [body for plural in (OPTIMIZERS, COST_POLICIES, POWER_POLICIES) for body in store.of(plural)]
        understood: list[tuple[Ours, Body]] = []
        invalid: list[tuple[Body, str]] = []
        for body in bodies:
            parsed = self._parse(body)
            if isinstance(parsed, str):
                invalid.append((body, parsed))
            elif not _leaving(body):
                understood.append((parsed, body))
        self._forget({body["metadata"]["uid"] for body in bodies})
        return self._fleet(understood, tuple(invalid), _namespace_labels(store))

    def _fleet(
        self,
        understood: list[tuple[Ours, Body]],
        invalid: tuple[tuple[Body, str], ...],
        labels: Mapping[str, Mapping[str, str]],
    ) -> Fleet:
        ours = [parsed for parsed, _ in understood]
        objects = FleetObjects(
            optimizers=[item for item in ours if isinstance(item, WorkloadOptimizer)],
            cost_policies=[item for item in ours if isinstance(item, CostPolicy)],
            power_policies=[item for item in ours if isinstance(item, PowerPolicy)],
            namespace_labels=labels,
        )
        optimizers = {key_of(item): item for item in objects.optimizers}
        excluded = self._excluded(optimizers)
        return Fleet(
            policy=self._policy(objects, excluded),
            bodies={key_of(item): body for item, body in understood if isinstance(item, WorkloadOptimizer)},
            optimizers=optimizers,
            policies=tuple(
                (item, body, covered(item.spec, objects))
                for item, body in understood
                if not isinstance(item, WorkloadOptimizer)
            ),
            invalid=invalid,
            excluded=excluded,
        )

    def _excluded(self, optimizers: Mapping[WorkloadKey, WorkloadOptimizer]) -> dict[WorkloadKey, str]:
        patterns = self.settings.excluded_namespaces
        scaling = ((key, each.spec.auto_scaling) for key, each in optimizers.items())
        acting = {key for key, spec in scaling if spec is not None and Mode(spec.mode) is Mode.AUTO}
        leaving = {key for key, each in optimizers.items() if each.metadata.deletion_timestamp}
        return {key: pattern for key in acting | leaving if (pattern := excluding(key.namespace, patterns)) is not None}

    def _policy(self, objects: FleetObjects, excluded: Collection[WorkloadKey]) -> FleetPolicy:
        names = ResourceNames(npu=self.settings.npu_resource_names)
        resolved = resolve_fleet(objects, names)
        leaving = {key_of(item): item for item in objects.optimizers if item.metadata.deletion_timestamp}
        workloads = {
            key: _as_it_may_act(workload, leaving.get(key), key in excluded)
            for key, workload in resolved.workloads.items()
        }
        return replace(
            resolved,
            workloads=workloads,
            cycle_seconds=self.settings.cycle_seconds,
            step_seconds=self.settings.step_seconds,
            max_metric_age_seconds=self.settings.max_metric_age_seconds,
            default_lead_time_seconds=self.settings.default_lead_time_seconds,
        )

    def _parse(self, body: Body) -> Ours | str:
        metadata = body["metadata"]
        version = (metadata.get("generation"), metadata.get("labels"), metadata.get("deletionTimestamp"))
        known = self._parsed.get(metadata["uid"])
        if known is None or known[0] != version:
            known = self._parsed[metadata["uid"]] = (version, _parse(body))
        return known[1]

    def _forget(self, present: set[str]) -> None:
        for uid in self._parsed.keys() - present:
            del self._parsed[uid]


def _as_it_may_act(workload: WorkloadPolicy, leaving: WorkloadOptimizer | None, excluded: bool) -> WorkloadPolicy:
    """A deleted one at most restores, one in an excluded namespace at most recommends."""
    if leaving is not None:
        restores = leaving.spec.deletion_policy == "Restore" and not excluded
        return replace(workload, mode=Mode.OFF, restoring=restores)
    return replace(workload, mode=Mode.RECOMMEND) if excluded else workload


def ref_of(body: Body) -> ObjectRef:
    """What Events and statuses point at."""
    metadata = body["metadata"]
    return ObjectRef(
        body["apiVersion"], body["kind"], metadata.get("namespace", ""), metadata["name"], metadata.get("uid", "")
    )


def _parse(body: Body) -> Ours | str:
    try:
        return parse(body)
    except ConfigError as error:
        return str(error)


def is_deleted(body: Body) -> bool:
    """Its deletion has been asked for."""
    return "deletionTimestamp" in body["metadata"]


def is_held(body: Body) -> bool:
    """Its deletion waits for us."""
    return FINALIZER in body["metadata"].get("finalizers", [])


def _leaving(body: Body) -> bool:
    """It is being deleted, and not waiting for us."""
    return is_deleted(body) and not is_held(body)


def _namespace_labels(store: ObjectStore) -> dict[str, dict[str, str]]:
    return {body["metadata"]["name"]: dict(body["metadata"].get("labels", {})) for body in store.of(NAMESPACES)}
