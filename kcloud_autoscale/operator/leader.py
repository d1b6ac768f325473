"""Who may act: the holder of a Lease, for as long as it is sure of it.

The times are client-go's: a Lease lasts 15 s, is renewed every 2 s, and the holder stops by itself after 10 s without
a renewal, 5 s before anybody else may take over. Clocks of other machines are never compared: a Lease has expired
when it has not changed for its duration on our own monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kcloud_autoscale.act.rest import Json, RequestError, Rest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a Lease lasts, how long its holder trusts it, how often it is renewed."""

    duration_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A Lease as it was when it last changed, on our clock."""

    holder: str
    renew_time: str
    seen_at_seconds: float


class LeaderElection:
    """Competes for one Lease.

    Args:
        rest: Requests; each attempt has ``retry_seconds`` in all.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Ours; unique per process.
        times: Durations.
        clock: Monotonic seconds.
        wall_clock: Unix seconds, only written for people to read.
    """

    def __init__(
        self,
        rest: Rest,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes = LeaseTimes(),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._rest = rest
        self._root = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._times = times
        self._clock = clock
        self._wall_clock = wall_clock
        self._renewed_at_seconds: float | None = None
        self._sighting: _Sighting | None = None
        self._heard_at_seconds: float | None = None
        self.changed = asyncio.Event()

    def is_leader(self) -> bool:
        """True while nobody else can hold the Lease; turns False by itself when renewals fail."""
        renewed = self._renewed_at_seconds
        return renewed is not None and self._clock() - renewed < self._times.renew_deadline_seconds

    def silence_seconds(self) -> float:
        """Time since the API server last told us anything about the Lease; infinite before the first answer."""
        return float("inf") if self._heard_at_seconds is None else self._clock() - self._heard_at_seconds

    async def run(self) -> None:
        """Compete for ever."""
        while True:
            before = self.is_leader()
            try:
                async with asyncio.timeout(self._times.retry_seconds):
                    await self.attempt()
            except TimeoutError:
                logger.warning("The Lease was not renewed within %g s.", self._times.retry_seconds)
            except RequestError as error:
                logger.warning("The Lease was not renewed: %s", error)
            if before != self.is_leader():
                logger.info("%s %s the Lease.", self._identity, "holds" if self.is_leader() else "has lost")
                self.changed.set()
            await asyncio.sleep(self._times.retry_seconds)

    async def attempt(self) -> None:
        """Take, renew or watch the Lease once."""
        started = self._clock()  # the Lease may have been renewed as early as this
        try:
            lease = await self._rest.get(f"{self._root}/{self._name}")
        except RequestError as error:
            if error.status != 404:
                raise
            lease = None
        self._heard_at_seconds = self._clock()
        if lease is not None and not self._may_take(lease):
            self._renewed_at_seconds = None
            return
        try:
            await self._write(lease)
        except RequestError as error:
            if error.status != 409:
                raise
            self._renewed_at_seconds = None  # somebody was faster
            return
        self._renewed_at_seconds = started

    async def release(self) -> None:
        """Give the Lease up so that the next one need not wait for it to expire."""
        if not self.is_leader():
            return
        self._renewed_at_seconds = None
        try:
            lease = await self._rest.get(f"{self._root}/{self._name}")
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"].update({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._now()})
                await self._rest.put(f"{self._root}/{self._name}", lease)
        except RequestError as error:
            logger.warning("The Lease was not released, it expires in %g s: %s", self._times.duration_seconds, error)

    def _may_take(self, lease: Json) -> bool:
        spec = lease.get("spec", {})
        holder, renew_time = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
        now = self._clock()
        seen = self._sighting
        if seen is None or (seen.holder, seen.renew_time) != (holder, renew_time):
            self._sighting = seen = _Sighting(holder, renew_time, now)
        if holder in ("", self._identity):
            return True
        return now - seen.seen_at_seconds > float(spec.get("leaseDurationSeconds") or self._times.duration_seconds)

    async def _write(self, lease: Json | None) -> None:
        spec = dict(lease.get("spec", {})) if lease else {}
        if spec.get("holderIdentity") != self._identity:
            transitions = int(spec.get("leaseTransitions") or 0) + (1 if lease else 0)
            spec.update({"acquireTime": self._now(), "leaseTransitions": transitions})
        spec.update(
            {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._times.duration_seconds),
                "renewTime": self._now(),
            }
        )
        if lease is None:
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            await self._rest.post(self._root, {**body, "spec": spec})
        else:
            # The resourceVersion read goes back with it: of two takers one gets a 409.
            await self._rest.put(f"{self._root}/{self._name}", {**lease, "spec": spec})

    def _now(self) -> str:
        return datetime.fromtimestamp(self._wall_clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class AlwaysLeader:
    """Leader election switched off: this process is the only one."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    def is_leader(self) -> bool:
        return True

    def silence_seconds(self) -> float:
        return 0.0

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Nothing is held."""
