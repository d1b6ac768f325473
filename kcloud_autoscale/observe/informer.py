"""List once, then watch: a copy of one kind of object that follows the API server.

The copy outlives the server: while it is away the last known state stays, and `Informer.idle_seconds` says how old it
may be. Everything that can go wrong with a stream (end, silence, expired version, garbage) ends in watching again
from the last version seen, or in a new list, after a growing pause.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from kcloud_autoscale.observe.reader import Json, Reader, ReadError

logger = logging.getLogger(__name__)
# For programs that have set up logging. To a verb that looks once there is no going on: it tells `problem` itself, and
# Python would print these lines before it.
pauses = logging.getLogger(f"{__name__}.pauses")
pauses.addHandler(logging.NullHandler())

T = TypeVar("T")

PAGE = 500
GONE = 410
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# A kind that is not installed is asked for seldom.
ABSENT_PAUSE_SECONDS = 300.0


class Informer(Generic[T]):
    """Objects of one list path, slimmed down to what is needed.

    Args:
        reader: Requests.
        path: Of the list, as in ``/api/v1/pods``.
        slim: From the full object to what is kept; a KeyError or ValueError drops that object alone.
        optional: The kind may not be installed: 404 is no problem.
    """

    def __init__(self, reader: Reader, path: str, slim: Callable[[Json], T], optional: bool = False) -> None:
        self.path = path
        self.page = PAGE
        self.objects: dict[tuple[str, str], T] = {}
        self.problem = ""
        self.absent = False
        self.listed = asyncio.Event()
        self._reader = reader
        self._slim = slim
        self._optional = optional
        self._version = ""
        self._active_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Time since anything, a bookmark included, came from the server; 0 for a kind that is not installed."""
        return 0.0 if self.absent else time.monotonic() - self._active_at

    def hold(self, items: Iterable[Json]) -> None:
        """Keep these objects as if the server had listed them; for what is read from files."""
        self.objects = {}
        for item in items:
            self._put(self.objects, item)
        self._alive()

    async def run(self) -> None:
        """Follow the server until cancelled."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                pause_seconds = FIRST_PAUSE_SECONDS  # the server ends a watch after some minutes
            except ReadError as error:
                pause_seconds = self._failed(error, pause_seconds)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                odd = ReadError(400, f"{self.path}: not what the API server says: {type(error).__name__}: {error}")
                pause_seconds = self._failed(odd, pause_seconds)
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))

    def _failed(self, error: ReadError, pause_seconds: float) -> float:
        """Note the problem; how long to wait before the next attempt, at most."""
        if error.status == GONE:
            self._version = ""
            return FIRST_PAUSE_SECONDS
        if error.status == 404 and self._optional:
            self._absent()
            return ABSENT_PAUSE_SECONDS
        if error.status is not None and 400 <= error.status < 500 and error.status != 429:
            # The version may be what the server objects to: after a restore from a backup it lies in the future.
            self._version = ""
        if str(error) != self.problem:
            pauses.warning("Watching goes on after a pause: %s", error)
        self.problem = str(error)
        return min(2.0 * pause_seconds, LONGEST_PAUSE_SECONDS)

    def _absent(self) -> None:
        self.objects = {}
        self._version = self.problem = ""
        self.absent = True
        self._alive()

    def _alive(self) -> None:
        self._active_at = time.monotonic()
        self.listed.set()

    async def _list(self) -> None:
        found: dict[tuple[str, str], T] = {}
        query = {"limit": str(self.page)}
        while True:
            page = await self._reader.get(self.path, query)
            # Right after a CRD is established a list may come without items.
            for item in page.get("items") or ():
                self._put(found, item)
            more = page["metadata"].get("continue")
            if not more:
                break
            query["continue"] = more
        self.objects = found
        self.absent = False
        self._version = page["metadata"]["resourceVersion"]
        self.problem = ""
        self._alive()

    async def _watch(self) -> None:
        async for event in self._reader.watch(self.path, self._version):
            item: dict[str, Any] = event.get("object") or {}
            match event.get("type"):
                case "ADDED" | "MODIFIED":
                    self._put(self.objects, item)
                case "DELETED":
                    self.objects.pop(_key(item), None)
                case "ERROR":
                    raise ReadError(item.get("code"), f"watch of {self.path}: {item.get('message')}")
            if item:
                self._version = item["metadata"]["resourceVersion"]
            self.problem = ""
            self._alive()

    def _put(self, objects: dict[tuple[str, str], T], item: Json) -> None:
        try:
            objects[_key(item)] = self._slim(item)
        except (KeyError, ValueError, TypeError) as error:
            objects.pop(_key(item), None)
            logger.warning("An object of %s cannot be read: %s: %s", self.path, type(error).__name__, error)


def _key(item: Json) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
