"""An API server of one dictionary, for what needs no real one: order, timing, outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcloud_autoscale.act.rest import Json, RequestError, Rest

DEPLOYMENTS = "/apis/apps/v1"
APPS = {
    "resources": [
        {"name": "deployments", "kind": "Deployment"},
        {"name": "deployments/scale", "kind": "Scale"},
        {"name": "deployments/status", "kind": "Deployment"},
        {"name": "daemonsets", "kind": "DaemonSet"},
    ]
}


class FakeRest(Rest):
    """Keeps objects by path, remembers every request, and can be told to refuse.

    ``refuse`` is asked before each request with (verb, path) and may return an error to raise.
    """

    def __init__(self, objects: Mapping[str, Json] | None = None) -> None:
        self.objects: dict[str, Json] = {DEPLOYMENTS: APPS, **(objects or {})}
        self._version = 100
        self.requests: list[tuple[str, str, Mapping[str, Any] | None]] = []
        self.refuse: Callable[[str, str], RequestError | None] = lambda verb, path: None

    async def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Json:
        self._note("GET", path, None)
        if path not in self.objects:
            raise RequestError(404, "NotFound", f"{path} not found")
        return self.objects[path]

    async def post(self, path: str, body: Mapping[str, Any]) -> Json:
        self._note("POST", path, body)
        object_path = f"{path}/{body['metadata']['name']}"
        if object_path in self.objects:
            raise RequestError(409, "AlreadyExists", f"{object_path} already exists")
        return self._keep(object_path, body)

    async def put(self, path: str, body: Mapping[str, Any]) -> Json:
        self._note("PUT", path, body)
        known, given = self.objects.get(path, {}), body["metadata"].get("resourceVersion")
        if given is not None and given != known.get("metadata", {}).get("resourceVersion"):
            raise RequestError(409, "Conflict", f"{path} has been modified")
        return self._keep(path, body)

    def _keep(self, path: str, body: Mapping[str, Any]) -> Json:
        self._version += 1
        kept = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        self.objects[path] = kept
        return kept

    async def patch(self, path: str, body: Mapping[str, Any], query: Sequence[tuple[str, str]] = ()) -> Json:
        self._note("PATCH", path, body)
        known = self.objects.get(path)
        if known is None:
            raise RequestError(404, "NotFound", f"{path} not found")
        if ("dryRun", "All") not in query:
            for key, value in body.items():
                known[key] = {**known.get(key, {}), **value} if isinstance(value, dict) else value
        return known

    def written(self, verb: str) -> list[Mapping[str, Any]]:
        return [body for seen, _, body in self.requests if seen == verb and body is not None]

    def _note(self, verb: str, path: str, body: Mapping[str, Any] | None) -> None:
        self.requests.append((verb, path, body))
        if error := self.refuse(verb, path):
            raise error


def scale_path(name: str, namespace: str = "ai") -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"


def scale_object(name: str, replicas: int, uid: str = "") -> Json:
    """A Scale as the API server gives it: a count of 0 is left out."""
    spec = {"replicas": replicas} if replicas else {}
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": "7"}, "spec": spec}
