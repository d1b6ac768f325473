"""What `check` reads of a cluster: the objects that matter, and whether Prometheus, CRDs and rights are there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from kubernetes.aio.client import (
    ApiClient,
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
)
from kubernetes.aio.client.exceptions import ApiException

from kcloud_autoscale.domain.errors import ConfigError, ObservationError
from kcloud_autoscale.observe.prometheus import Prometheus
from kcloud_autoscale.observe.reader import Json, Reader, ReadError

PAGE = 500
_OURS = "/apis/kcloud.io/v1alpha1"
# Lists with the kind of their items, which a list leaves out; of the cluster, then of namespaces.
_CLUSTER = (
    ("/api/v1/nodes", "v1", "Node"),
    ("/api/v1/namespaces", "v1", "Namespace"),
    (f"{_OURS}/costpolicies", "kcloud.io/v1alpha1", "CostPolicy"),
    (f"{_OURS}/powerpolicies", "kcloud.io/v1alpha1", "PowerPolicy"),
    ("/apis/resource.k8s.io/v1/resourceslices", "resource.k8s.io/v1", "ResourceSlice"),
)
_NAMESPACED = (
    ("/api/v1{}/pods", "v1", "Pod"),
    ("/apis/apps/v1{}/deployments", "apps/v1", "Deployment"),
    ("/apis/apps/v1{}/statefulsets", "apps/v1", "StatefulSet"),
    ("/apis/apps/v1{}/replicasets", "apps/v1", "ReplicaSet"),
    ("/apis/autoscaling/v2{}/horizontalpodautoscalers", "autoscaling/v2", "HorizontalPodAutoscaler"),
    ("/apis/keda.sh/v1alpha1{}/scaledobjects", "keda.sh/v1alpha1", "ScaledObject"),
    ("/apis/resource.k8s.io/v1{}/resourceclaims", "resource.k8s.io/v1", "ResourceClaim"),
    (_OURS + "{}/workloadoptimizers", "kcloud.io/v1alpha1", "WorkloadOptimizer"),
)
# What the operator cannot do without, in the words of an access review.
_RIGHTS = (
    ("list", "", "pods", ""),
    ("watch", "", "pods", ""),
    ("list", "", "nodes", ""),
    ("list", "apps", "deployments", ""),
    ("list", "kcloud.io", "workloadoptimizers", ""),
    ("patch", "kcloud.io", "workloadoptimizers", "status"),
    ("patch", "apps", "deployments", "scale"),
    ("patch", "apps", "statefulsets", "scale"),
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something the operator needs, and whether it is there."""

    name: str
    met: bool
    message: str = ""

    def __str__(self) -> str:
        return f"{'ok  ' if self.met else 'FAIL'} {self.name}" + (f": {self.message}" if self.message else "")


async def requirements(client: ApiClient, prometheus: Prometheus, at_seconds: float) -> list[Requirement]:
    """Whether Prometheus answers, the CRDs are installed and the rights of these credentials suffice."""
    return [
        await _prometheus(prometheus, at_seconds),
        await _definitions(client),
        *await asyncio.gather(*(_right(client, *right) for right in _RIGHTS)),
    ]


async def _prometheus(prometheus: Prometheus, at_seconds: float) -> Requirement:
    try:
        await prometheus.query("vector(1)", at_seconds)
    except ObservationError as error:
        return Requirement("Prometheus answers", False, str(error))
    return Requirement("Prometheus answers", True)


async def _definitions(client: ApiClient) -> Requirement:
    name = "CustomResourceDefinitions of kcloud.io/v1alpha1 are installed"
    try:
        served = {each["name"] for each in (await Reader(client).get(_OURS)).get("resources") or ()}
    except ReadError as error:
        return Requirement(name, False, str(error))
    absent = {"workloadoptimizers", "costpolicies", "powerpolicies"} - served
    return Requirement(name, not absent, f"{', '.join(sorted(absent))} missing" if absent else "")


async def _right(client: ApiClient, verb: str, group: str, resource: str, subresource: str) -> Requirement:
    name = f"may {verb} {resource}{f'/{subresource}' if subresource else ''}{f' ({group})' if group else ''}"
    attributes = V1ResourceAttributes(verb=verb, group=group, resource=resource, subresource=subresource)
    review = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    try:
        answer = await AuthorizationV1Api(client).create_self_subject_access_review(review, _request_timeout=10)
    except ApiException as error:
        return Requirement(name, False, f"access review refused: {error.status} {error.reason}")
    status = answer.status
    return Requirement(name, status is not None and bool(status.allowed), (status.reason or "") if status else "")


async def read_documents(client: ApiClient, namespaces: Sequence[str]) -> list[Json]:
    """Everything that `check` looks at, in some namespaces or everywhere.

    Raises:
        ConfigError: Pods or WorkloadOptimizers may not be read.
        ObservationError: The API server does not answer.
    """
    reader = Reader(client)
    scopes = [f"/namespaces/{name}" for name in namespaces] or [""]
    lists = [*_CLUSTER, *((path.format(scope), *rest) for path, *rest in _NAMESPACED for scope in scopes)]
    found = await asyncio.gather(*(_list(reader, *each) for each in lists))
    documents = [item for items in found for item in items]
    return documents + await _foreign_scales(reader, documents)


async def _list(reader: Reader, path: str, version: str, kind: str) -> list[Json]:
    """All pages; empty for a kind that is not installed, or that these credentials may not read and is not needed."""
    items: list[Json] = []
    query = {"limit": str(PAGE)}
    try:
        while True:
            page = await reader.get(path, query)
            items += [{"apiVersion": version, "kind": kind, **item} for item in page.get("items") or ()]
            more = page["metadata"].get("continue")
            if not more:
                return items
            query["continue"] = more
    except ReadError as error:
        needed = kind in ("Pod", "WorkloadOptimizer")
        if error.status in (403, 404) and not needed:
            return []
        if error.status in (403, 404):
            raise ConfigError(f"{kind}s cannot be read: {error}") from error
        raise


async def _foreign_scales(reader: Reader, documents: Sequence[Json]) -> list[Json]:
    """The Scale of each target that is neither a Deployment nor a StatefulSet, and the object itself."""
    found: list[Json] = []
    for each in documents:
        ref = (each.get("spec") or {}).get("targetRef") if each["kind"] == "WorkloadOptimizer" else None
        if not ref or ref.get("kind") in ("Deployment", "StatefulSet"):
            continue
        path = (
            f"/apis/{ref['apiVersion']}/namespaces/{each['metadata']['namespace']}/{ref['kind'].lower()}s/{ref['name']}"
        )
        try:
            own = await reader.get(path)
            scale = await reader.get(f"{path}/scale")
        except ReadError:
            continue  # the check itself says that it is not found, or has no scale
        annotations = {**(scale["metadata"].get("annotations") or {}), "of": f"{ref['apiVersion']}/{ref['kind']}"}
        scale["metadata"]["annotations"] = annotations
        found += [own, scale]
    return found
