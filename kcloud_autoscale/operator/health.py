"""Probes and metrics over HTTP, on our own server: answers that mean something.

``/healthz`` fails when the process cannot do its work any more and a restart may help. ``/readyz`` says, line by line,
what is not as it should be; it is what a person reads first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

# The loop is watched this closely; a lag beyond the limit means that something blocks it.
LAG_PROBE_SECONDS = 1.0
LAG_LIMIT_SECONDS = 5.0


# Bookmarks come once a minute even where nothing happens.
SILENT_WATCH_SECONDS = 300.0


@dataclass(slots=True)
class Health:
    """What the parts of the operator say of themselves; times are monotonic seconds.

    Attributes:
        cycle_limit_seconds: A leader whose last good cycle is older is not ready.
        watch_limit_seconds: Objects last confirmed longer ago than this are not to be trusted.
        lease_limit_seconds: Longest silence of the API server about the Lease.
    """

    cycle_limit_seconds: float
    watch_limit_seconds: float
    lease_limit_seconds: float = 30.0
    is_leader: Callable[[], bool] = lambda: True
    lease_silence_seconds: Callable[[], float] = lambda: 0.0
    watch_silence_seconds: Callable[[], float] = lambda: 0.0
    clock: Callable[[], float] = time.monotonic
    watched_at_seconds: float | None = None
    cycled_at_seconds: float | None = None
    leading_since_seconds: float | None = None
    lag_seconds: float = 0.0

    def watched(self) -> None:
        """A watch or a list has just told us something."""
        self.watched_at_seconds = self.clock()

    def cycled(self) -> None:
        """A fleet cycle has just ended well."""
        self.cycled_at_seconds = self.clock()

    def illness(self) -> list[str]:
        """Why this process should be restarted; empty when it should not."""
        return [f"the event loop lags {self.lag_seconds:.1f} s"] if self.lag_seconds > LAG_LIMIT_SECONDS else []

    def unreadiness(self) -> list[str]:
        """Why this process does not do its work now; empty when it does."""
        problems = self.illness()
        problems += self._overdue("our objects have not been seen", self.watched_at_seconds, self.watch_limit_seconds)
        if (silence := self.lease_silence_seconds()) > self.lease_limit_seconds:
            problems.append(f"no word about the Lease for {silence:.0f} s")
        if (silence := self.watch_silence_seconds()) > SILENT_WATCH_SECONDS:
            problems.append(f"a watch of pods, targets or autoscalers has been silent for {silence:.0f} s")
        if self.is_leader() and self._led_seconds() > self.cycle_limit_seconds:
            problems += self._overdue("no fleet cycle has succeeded", self.cycled_at_seconds, self.cycle_limit_seconds)
        return problems

    async def watch_lag(self) -> None:
        """Measure how late the event loop wakes us, for ever."""
        while True:
            before = self.clock()
            await asyncio.sleep(LAG_PROBE_SECONDS)
            self.lag_seconds = max(0.0, self.clock() - before - LAG_PROBE_SECONDS)

    def _led_seconds(self) -> float:
        return 0.0 if self.leading_since_seconds is None else self.clock() - self.leading_since_seconds

    def _overdue(self, what: str, at_seconds: float | None, limit_seconds: float) -> list[str]:
        if at_seconds is None:
            return [f"{what} yet"]
        age = self.clock() - at_seconds
        return [f"{what} for {age:.0f} s (limit {limit_seconds:.0f} s)"] if age > limit_seconds else []


async def serve(
    health: Health, expose: Callable[[], bytes], address: str, metrics_port: int, probe_port: int
) -> tuple[web.AppRunner, Mapping[str, int]]:
    """Listen; port 0 takes a free one.

    Returns:
        What to clean up in the end, and the ports by name: ``metrics``, ``probe``.
    """

    async def metrics(_: web.Request) -> web.Response:
        # A thousand workloads are 77,000 lines: most of a second that the loop does not have.
        text = await asyncio.to_thread(expose)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def healthz(_: web.Request) -> web.Response:
        return _answer(health.illness())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(health.unreadiness())

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    ports = {}
    for name, port in (("metrics", metrics_port), ("probe", probe_port)):
        site = web.TCPSite(runner, address, port)
        await site.start()
        assert site._server is not None
        ports[name] = int(site._server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
    return runner, ports


def _answer(problems: list[str]) -> web.Response:
    return web.Response(status=503 if problems else 200, text="\n".join(problems or ["ok"]) + "\n")
