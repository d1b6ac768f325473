"""Where the ``/scale`` of a target is: asked of the API server once per kind."""

from __future__ import annotations

from kcloud_autoscale.act.rest import Rest
from kcloud_autoscale.domain.errors import ActionError
from kcloud_autoscale.domain.workload import TargetRef


class NotScalableError(ActionError):
    """The kind does not exist or has no ``/scale`` subresource."""


class ScalePaths:
    """Paths by (apiVersion, kind); only hits are remembered, a kind may be installed later."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._plurals: dict[tuple[str, str], str] = {}

    async def path(self, namespace: str, target: TargetRef) -> str:
        """Path of one target's scale, as in ``/apis/apps/v1/namespaces/ai/deployments/llm/scale``.

        Raises:
            NotScalableError: No such kind, or it cannot be scaled.
            RequestError: The API server did not say.
        """
        key = (target.api_version, target.kind)
        if key not in self._plurals:
            self._plurals[key] = await self._find_plural(target)
        root = _group_root(target.api_version)
        return f"{root}/namespaces/{namespace}/{self._plurals[key]}/{target.name}/scale"

    async def _find_plural(self, target: TargetRef) -> str:
        answer = await self._rest.get(_group_root(target.api_version))
        names = {resource["name"]: resource["kind"] for resource in answer.get("resources", [])}
        for name, kind in names.items():
            if kind == target.kind and f"{name}/scale" in names:
                return str(name)
        raise NotScalableError(f"{target.api_version} {target.kind} has no scale subresource")


def _group_root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
