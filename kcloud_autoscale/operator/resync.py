"""Our objects listed anew: before anything is decided, and from time to time, in case a watch lost one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from kcloud_autoscale.act.rest import RequestError, Rest
from kcloud_autoscale.operator.handlers import GROUP, VERSION, slim
from kcloud_autoscale.operator.store import COST_POLICIES, NAMESPACES, OPTIMIZERS, POWER_POLICIES, Body, ObjectStore

logger = logging.getLogger(__name__)

PAGE = 500
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0


class Resync:
    """Makes the store equal to what the API server has.

    Args:
        rest: Requests.
        store: Made equal.
        namespaces: Served; empty for all.
        changed: Called when something people decided differed.
        watched: Called after each good list.
    """

    def __init__(
        self,
        rest: Rest,
        store: ObjectStore,
        namespaces: tuple[str, ...],
        changed: Callable[[], None],
        watched: Callable[[], None],
    ) -> None:
        self._rest = rest
        self._store = store
        self._namespaces = namespaces
        self._changed = changed
        self._watched = watched
        self.done = asyncio.Event()

    async def until_done(self) -> None:
        """The first one: retried until it succeeds, each time saying what is wrong."""
        wait_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                return await self.once()
            except RequestError as error:
                hint = " Are the CRDs installed (make install)?" if error.status == 404 else ""
                logger.warning("Our objects cannot be listed, trying again in %g s: %s%s", wait_seconds, error, hint)
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2.0 * wait_seconds, LONGEST_RETRY_SECONDS)

    async def for_ever(self, every_seconds: float) -> None:
        """The later ones; one that fails is left to the next."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.once()
            except RequestError as error:
                logger.warning("Our objects could not be listed anew: %s", error)

    async def once(self) -> None:
        """List everything.

        Raises:
            RequestError: A list failed; the store is as it was, or partly renewed.
        """
        differed = [self._store.replace(OPTIMIZERS, await self._optimizers())]
        for plural in (COST_POLICIES, POWER_POLICIES):
            listed = [body async for body in self._pages(f"/apis/{GROUP}/{VERSION}/{plural}")]
            differed.append(self._store.replace(plural, listed))
        differed.append(self._store.replace(NAMESPACES, await self._labelled()))
        self._watched()
        self.done.set()
        if any(differed):
            self._changed()

    async def _optimizers(self) -> list[Body]:
        root = f"/apis/{GROUP}/{VERSION}"
        paths = [f"{root}/namespaces/{namespace}/{OPTIMIZERS}" for namespace in self._namespaces]
        return [body for path in paths or [f"{root}/{OPTIMIZERS}"] async for body in self._pages(path)]

    async def _labelled(self) -> list[Body]:
        """Namespaces with their labels. One that may not be read has only the label every namespace has."""
        if not self._namespaces:
            return [body async for body in self._pages("/api/v1/namespaces")]
        return [await self._namespace(name) for name in self._namespaces]

    async def _namespace(self, name: str) -> Body:
        try:
            return slim(await self._rest.get(f"/api/v1/namespaces/{name}"))
        except RequestError as error:
            if error.status not in (403, 404):
                raise
            return {"metadata": {"name": name, "uid": "", "labels": {"kubernetes.io/metadata.name": name}}}

    async def _pages(self, path: str) -> AsyncIterator[Body]:
        token = ""
        while True:
            query = [("limit", str(PAGE)), *([("continue", token)] if token else [])]
            page = await self._rest.get(path, query)
            for item in page.get("items") or []:
                yield _complete(item, page)
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return


def _complete(item: dict[str, Any], page: dict[str, Any]) -> Body:
    """Items of a typed list come without the kind."""
    kind = str(page.get("kind", "")).removesuffix("List")
    return slim({"apiVersion": page.get("apiVersion", ""), "kind": kind, **item})
