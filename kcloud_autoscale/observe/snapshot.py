"""A cluster from files: objects as the API server would list them, for looking at a report without its cluster."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

from kubernetes.aio.client import ApiClient, Configuration

from kcloud_autoscale.observe.implied_scale import implied_scale
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.reader import Json, Reader, ReadError

# A Scale names the object it belongs to: its own kind does not.
SCALE_OF = "of"
_LONG_AGO = "2020-01-01T00:00:00Z"


class DocumentReader(Reader):
    """Answers reads of single objects, scales and API resources from documents.

    Args:
        documents: With complete metadata, as `completed` makes them.
    """

    def __init__(self, documents: Sequence[Json]) -> None:
        super().__init__(ApiClient(Configuration(host="http://127.0.0.1:9")))
        self._objects = {_path(each["apiVersion"], each["kind"], each): each for each in documents}
        scales = [each for each in documents if each["kind"] == "Scale"]
        self._scales: dict[str, Json] = {}
        self._resources: dict[str, dict[str, str]] = {}
        for each in documents:
            self._serve(each["apiVersion"], each["kind"], scalable=False)
        for each in scales:
            version, _, kind = _scaled(each).rpartition("/")
            self._serve(version, kind, scalable=True)
            self._scales[f"{_path(version, kind, each)}/scale"] = each
        for each in documents:
            self._imply_scale(each)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """An object, its scale, or the resources of an API.

        Raises:
            ReadError: No document stands for it.
        """
        found = self._scales.get(path) or self._objects.get(path)
        if found is not None:
            return found
        if path in self._resources:
            served = self._resources[path]
            return {"resources": [{"name": name, "kind": kind} for name, kind in served.items()]}
        raise ReadError(404, f"{path}: not among the files")

    def _serve(self, version: str, kind: str, scalable: bool) -> None:
        served = self._resources.setdefault(_root(version), {})
        served[_plural(kind)] = kind
        if scalable:
            served[f"{_plural(kind)}/scale"] = "Scale"

    def _imply_scale(self, document: Json) -> None:
        """An object of another kind that has `spec.replicas`, and whose Scale is not among the files, is its own."""
        version, kind = document["apiVersion"], document["kind"]
        path = f"{_path(version, kind, document)}/scale"
        scale = implied_scale(document)
        if scale is not None and path not in self._scales:
            self._serve(version, kind, scalable=True)
            self._scales[path] = scale


def snapshot(documents: Sequence[Json]) -> Informers:
    """Informers that hold the objects of the documents and watch nothing.

    Args:
        documents: Objects of any kind, as `completed` makes them.
    """
    informers = Informers(DocumentReader(documents))
    informers.hold(documents)
    return informers


def completed(documents: Iterable[Mapping[str, object]]) -> list[Json]:
    """The documents with what a server would have added: an identity, a version and a time of creation."""
    result = []
    for document in documents:
        made: Json = copy.deepcopy(dict(document))
        meta = made.setdefault("metadata", {})
        meta.setdefault("name", "unnamed")
        if made.get("kind") not in _CLUSTER_SCOPED:
            meta.setdefault("namespace", "default")
        meta.setdefault("resourceVersion", "1")
        meta.setdefault("uid", f"{made.get('kind')}/{meta.get('namespace', '')}/{meta['name']}")
        meta.setdefault("creationTimestamp", _LONG_AGO)
        made.setdefault("apiVersion", "v1")
        made.setdefault("kind", "")
        result.append(made)
    return result


_CLUSTER_SCOPED = ("Node", "Namespace", "CostPolicy", "PowerPolicy", "ResourceSlice", "DeviceClass")


def _scaled(scale: Json) -> str:
    return str((scale["metadata"].get("annotations") or {}).get(SCALE_OF, "apps/v1/Deployment"))


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _plural(kind: str) -> str:
    return f"{kind.lower()}s"


def _path(version: str, kind: str, document: Json) -> str:
    meta = document["metadata"]
    scope = f"/namespaces/{meta['namespace']}" if meta.get("namespace") else ""
    return f"{_root(version)}{scope}/{_plural(kind)}/{meta['name']}"
