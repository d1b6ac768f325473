"""What `recommend` looks at: the workloads of a cluster by name, and those that have an optimizer already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.reader import Json, ReadError

Optimizers = Mapping[WorkloadKey, TargetRef | None]


def named_targets(scalables: Iterable[tuple[str, TargetRef]], optimizers: Optimizers) -> dict[WorkloadKey, TargetRef]:
    """Every workload by the name of the optimizer it would get: its own, unless that is taken.

    A StatefulSet may have the name of a Deployment beside it, and an optimizer of that name may scale the other one.
    """
    found: dict[WorkloadKey, TargetRef] = {}
    for namespace, ref in sorted(scalables, key=lambda item: (item[0], item[1].name, item[1].kind)):
        key = WorkloadKey(namespace, ref.name)
        if key in found or optimizers.get(key, ref) != ref:
            key = WorkloadKey(namespace, f"{ref.name}-{ref.kind.lower()}")
        found[key] = ref
    return found


async def read_optimizers(informers: Informers, namespaces: Sequence[str]) -> Optimizers:
    """The optimizers there are and what each scales; empty where the CRD is not installed or may not be read.

    Raises:
        ObservationError: The API server does not answer.
    """
    found: dict[WorkloadKey, TargetRef | None] = {}
    for namespace in namespaces or ("",):
        scope = f"/namespaces/{namespace}" if namespace else ""
        try:
            listed = await informers.reader.get(f"/apis/kcloud.io/v1alpha1{scope}/workloadoptimizers")
        except ReadError as error:
            if error.status in (403, 404):
                continue
            raise
        for item in listed.get("items") or ():
            key = WorkloadKey(item["metadata"]["namespace"], item["metadata"]["name"])
            found[key] = _scaled_by(informers, key, (item.get("spec") or {}).get("targetRef"))
    return found


def _scaled_by(informers: Informers, key: WorkloadKey, ref: Json | None) -> TargetRef | None:
    """What it names; else the Deployment, else the StatefulSet of its own name, as the operator finds it."""
    if ref is not None:
        return TargetRef(ref.get("apiVersion") or "apps/v1", ref.get("kind") or "Deployment", ref["name"])
    kinds = ("Deployment", "StatefulSet")
    named = (informers.scalable(key.namespace, kind, key.name) for kind in kinds)
    return next((each.ref for each in named if each is not None), None)
