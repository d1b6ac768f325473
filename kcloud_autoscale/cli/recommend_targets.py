"""What `recommend` looks at: namespaces that exist, workloads by name, and those that have an optimizer already."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.reader import Json, Reader, ReadError

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


async def absent_namespaces(reader: Reader, namespaces: Sequence[str]) -> tuple[str, ...]:
    """Those of the namespaces that do not exist: a list in one of them is empty, and tells nobody of a typo.

    Raises:
        ConfigError: None of them exists.
    """

    async def is_absent(namespace: str) -> bool:
        try:
            await reader.get(f"/api/v1/namespaces/{quote(namespace, safe='')}")
        except ReadError as error:
            # Whoever may not look, or gets no answer, is told so by what is read next.
            return error.status == 404
        return False

    missing = await asyncio.gather(*map(is_absent, namespaces))
    absent = tuple(name for name, is_missing in zip(namespaces, missing, strict=True) if is_missing)
    if absent and len(absent) == len(namespaces):
        raise ConfigError(f"there is no namespace {' and no '.join(absent)}")
    return absent


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
