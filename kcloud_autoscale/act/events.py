"""Kubernetes Events: one per thing that happened, a series while the same thing goes on.

Posting never waits and never fails the caller: Events are queued, written in the background within the write budget,
and dropped (counted) when the queue is full. ``kubectl describe`` shows them on the object they regard.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import Json, RequestError, Rest

logger = logging.getLogger(__name__)

# The API server refuses longer ones.
MAX_NOTE_BYTES = 1024

# While a condition lasts its series is written this often; the API server forgets Events after an hour.
SERIES_SECONDS = 600.0
REMEMBERED_SERIES = 4096
QUEUE_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The object an Event regards; ``namespace`` is empty for cluster-scoped ones."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object.

    Attributes:
        regarding: Whose Event it is.
        reason: CamelCase token, as in ``ScaledUp``.
        note: The sentence with the numbers and the decision id.
        action: What was being done: ``Scale``, ``Decide``, ``Resolve``.
        warning: Something a person should look at.
        lasting: True for a state that goes on (``Conflict``): repeats become one series. Each scaling is its own.
    """

    regarding: ObjectRef
    reason: str
    note: str
    action: str = "Decide"
    warning: bool = False
    lasting: bool = False


@dataclass(slots=True)
class _Series:
    """What is known of a series: where it is, how often it was seen, when it was last written."""

    path: str
    count: int
    written_at_seconds: float


class EventWriter:
    """Posts Events in the background.

    Args:
        rest: Requests.
        bucket: Write budget; Events are never urgent.
        controller: Who reports, as in ``kcloud-autoscale``.
        instance: Which process reports: the pod's name.
        clock: Unix seconds.
    """

    def __init__(
        self, rest: Rest, bucket: TokenBucket, controller: str, instance: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._rest = rest
        self._bucket = bucket
        self._controller = controller
        self._instance = instance
        self._clock = clock
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LENGTH)
        self._series: OrderedDict[tuple[str, str], _Series] = OrderedDict()
        self.dropped = 0

    def post(self, event: Event) -> None:
        """Hand an Event over; it is dropped when a thousand are waiting already."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write what is handed over, for ever."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except RequestError as error:
                self._bucket.pause(error.retry_after_seconds)
                logger.warning("An Event was not written: %s", error)
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Wait until everything handed over so far has been written or refused."""
        await self._queue.join()

    async def _write(self, event: Event) -> None:
        if event.lasting and (series := self._series.get((event.regarding.uid, event.reason))):
            await self._continue(event, series)
        else:
            await self._begin(event)

    async def _continue(self, event: Event, series: _Series) -> None:
        series.count += 1
        now_seconds = self._clock()
        if now_seconds - series.written_at_seconds < SERIES_SECONDS:
            return
        await self._bucket.take()
        try:
            seen = {"count": series.count, "lastObservedTime": _micro_time(now_seconds)}
            await self._rest.patch(series.path, {"series": seen})
        except RequestError as error:
            if error.status != 404:
                raise
            await self._begin(event)  # it has expired
        else:
            series.written_at_seconds = now_seconds

    async def _begin(self, event: Event) -> None:
        now_seconds = self._clock()
        # Events of cluster-scoped objects live in the default namespace.
        namespace = event.regarding.namespace or "default"
        name = f"{event.regarding.name[:200]}.{int(now_seconds):x}{secrets.token_hex(4)}"
        root = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        await self._bucket.take()
        await self._rest.post(root, self._body(event, namespace, name, now_seconds))
        if event.lasting:
            self._series[event.regarding.uid, event.reason] = _Series(f"{root}/{name}", 1, now_seconds)
            while len(self._series) > REMEMBERED_SERIES:
                self._series.popitem(last=False)

    def _body(self, event: Event, namespace: str, name: str, now_seconds: float) -> Json:
        regarding = {
            "apiVersion": event.regarding.api_version,
            "kind": event.regarding.kind,
            "name": event.regarding.name,
            "uid": event.regarding.uid,
        }
        if event.regarding.namespace:
            regarding["namespace"] = event.regarding.namespace
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": _micro_time(now_seconds),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "action": event.action,
            "reason": event.reason,
            "type": "Warning" if event.warning else "Normal",
            "note": _fit(event.note),
            "regarding": regarding,
        }


def _fit(note: str) -> str:
    """At most 1024 bytes, cut between characters."""
    raw = note.encode()
    return note if len(raw) <= MAX_NOTE_BYTES else raw[: MAX_NOTE_BYTES - 3].decode(errors="ignore") + "…"


def _micro_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
