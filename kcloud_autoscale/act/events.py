"""Kubernetes Events: one per thing that happened, a series while the same thing goes on.

Posting never waits and never fails the caller: Events are queued and written in the background, what is wrong before
what went well. They have a budget of their own: one for two attempts to scale. What went well is dropped (and counted)
beyond it, because status and log say it too; what is wrong waits. ``kubectl describe`` shows Events on the object they
regard.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict, deque
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

# In a minute of 1,000 scalings 500 Events are written; a small fleet has ten a minute in any case.
EVENTS_PER_SCALING = 0.5
EVENTS_A_MINUTE = 10
WINDOW_SECONDS = 60.0
# How soon an Event that waits looks again whether there is room for it.
WAIT_SECONDS = 1.0


class EventBudget:
    """How many Events may be written now: half as many as there were attempts to scale within the last minute.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._scalings: deque[float] = deque()
        self._events: deque[float] = deque()

    def scaled(self, attempts: int) -> None:
        """So many attempts to scale were made."""
        self._scalings.extend([self._clock()] * attempts)

    def take(self) -> bool:
        """Whether one more Event may be written; it counts as written."""
        now_seconds = self._clock()
        for times in (self._scalings, self._events):
            while times and times[0] <= now_seconds - WINDOW_SECONDS:
                times.popleft()
        if len(self._events) + 1 > max(EVENTS_A_MINUTE, EVENTS_PER_SCALING * len(self._scalings)):
            return False
        self._events.append(now_seconds)
        return True


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
        bucket: How fast they may be written; theirs alone.
        controller: Who reports, as in ``kcloud-autoscale``.
        instance: Which process reports: the pod's name.
        clock: Unix seconds.
        budget: How many may be written.
    """

    def __init__(
        self,
        rest: Rest,
        bucket: TokenBucket,
        controller: str,
        instance: str,
        clock: Callable[[], float] = time.time,
        budget: EventBudget | None = None,
    ) -> None:
        self._rest = rest
        self._bucket = bucket
        self._controller = controller
        self._instance = instance
        self._clock = clock
        self._budget = budget or EventBudget()
        self._queue: asyncio.PriorityQueue[tuple[int, int, Event]] = asyncio.PriorityQueue(QUEUE_LENGTH)
        self._posted = 0
        self._series: OrderedDict[tuple[str, str], _Series] = OrderedDict()
        self.dropped = 0

    def post(self, event: Event) -> None:
        """Hand an Event over; it is dropped when a thousand are waiting already."""
        self._posted += 1
        try:
            self._queue.put_nowait((_rank(event), self._posted, event))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write what is handed over, for ever."""
        while True:
            _, _, event = await self._queue.get()
            try:
                await self._write(event)
            except RequestError as error:
                if error.overloaded:
                    self._bucket.slow_down(error.retry_after_seconds)
                logger.warning("An Event was not written: %s", error)
            finally:
                self._queue.task_done()

    def scaled(self, attempts: int) -> None:
        """So many attempts to scale were made: half as many Events may be written."""
        self._budget.scaled(attempts)

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
        if now_seconds - series.written_at_seconds < SERIES_SECONDS or not await self._may_write(event):
            return
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
        if not await self._may_write(event):
            return
        now_seconds = self._clock()
        # Events of cluster-scoped objects live in the default namespace.
        namespace = event.regarding.namespace or "default"
        name = f"{event.regarding.name[:200]}.{int(now_seconds):x}{secrets.token_hex(4)}"
        root = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        await self._rest.post(root, self._body(event, namespace, name, now_seconds))
        self._bucket.went_well()
        if event.lasting:
            self._series[event.regarding.uid, event.reason] = _Series(f"{root}/{name}", 1, now_seconds)
            while len(self._series) > REMEMBERED_SERIES:
                self._series.popitem(last=False)

    async def _may_write(self, event: Event) -> bool:
        """Within the budget at once, or, where something is wrong, as soon as there is room."""
        while not self._budget.take():
            if not event.warning:
                self.dropped += 1
                return False
            await asyncio.sleep(WAIT_SECONDS)
        await self._bucket.take()
        return True

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


def _rank(event: Event) -> int:
    """What is wrong first, then each scaling, then the rest."""
    return 0 if event.warning else 1 if event.action == "Scale" else 2


def _fit(note: str) -> str:
    """At most 1024 bytes, cut between characters."""
    raw = note.encode()
    return note if len(raw) <= MAX_NOTE_BYTES else raw[: MAX_NOTE_BYTES - 3].decode(errors="ignore") + "…"


def _micro_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
