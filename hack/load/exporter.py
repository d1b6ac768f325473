"""The exporter: simulated services that follow their Deployments' ready pods, served as one scrape target."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from hack.load.exposition import Fault, FaultKind, Faults, render
from hack.load.live import LiveService
from hack.load.service import Node, Series, node_levels
from hack.load.watch import Mirror, close, connect, mirror_nodes, mirror_pods, node_of, pod_of

_log = logging.getLogger(__name__)

_FIRST_SIGHT_TIMEOUT_SECONDS = 20.0
_TICK_SECONDS = 1.0
_GARBAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>\n"


@dataclass(slots=True)
class Exporter:
    """All services, the nodes they run on, and the faults in force. `collect` is the whole of a scrape."""

    services: Sequence[LiveService]
    nodes: dict[str, Node] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    clock: Callable[[], float] = time.time

    def advance(self) -> None:
        for service in self.services:
            service.advance(self.clock())

    def collect(self) -> dict[Series, float]:
        """Every series as it is told: the truth, then the faults."""
        self.advance()
        samples: dict[Series, float] = {}
        for service in self.services:
            if service.is_measured:
                samples |= service.samples()
        for node in self.nodes.values():
            samples |= node_levels(node)
        return self.faults.distort(samples)


def application(exporter: Exporter) -> web.Application:
    """Routes: GET /metrics; GET, POST {"kind", "match"} and DELETE /faults; GET /healthz."""

    async def metrics(_: web.Request) -> web.Response:
        if exporter.faults.has(FaultKind.ERROR):
            return web.Response(status=500, text="injected failure\n")
        if exporter.faults.has(FaultKind.GARBAGE):
            return web.Response(text=_GARBAGE, content_type="text/html")
        return web.Response(text=render(exporter.collect()), content_type="text/plain", charset="utf-8")

    async def show_faults(_: web.Request) -> web.Response:
        return web.json_response([{"kind": fault.kind, "match": fault.match} for fault in exporter.faults.active])

    async def add_fault(request: web.Request) -> web.Response:
        try:
            wanted = await request.json()
            fault = Fault(FaultKind(wanted["kind"]), wanted.get("match", ""))
        except (ValueError, KeyError, TypeError) as error:
            kinds = ", ".join(FaultKind)
            raise web.HTTPBadRequest(text=f"no fault: {error}; kinds are {kinds}\n") from error
        exporter.faults.active.append(fault)
        return await show_faults(request)

    async def clear_faults(request: web.Request) -> web.Response:
        exporter.faults.clear()
        return await show_faults(request)

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/faults", show_faults),
            web.post("/faults", add_fault),
            web.delete("/faults", clear_faults),
            web.get("/healthz", healthz),
        ]
    )
    return app


@contextlib.asynccontextmanager
async def serving(exporter: Exporter, kubeconfig: str, port: int = 0) -> AsyncIterator[int]:
    """Serve on loopback while following the cluster of `kubeconfig`; yields the port.

    Entered once every Deployment's pods and the nodes have been seen, so that the first scrape is already right.

    Raises:
        kubernetes.aio.client.ApiException: a Deployment does not exist or may not be read.
        TimeoutError: the API server did not list pods and nodes in time.
    """
    api_client = await connect(kubeconfig)
    runner = web.AppRunner(application(exporter), access_log=None)
    background: list[asyncio.Task[None]] = []
    try:
        nodes = mirror_nodes(api_client)
        pods = [await mirror_pods(api_client, each.service.namespace, each.service.name) for each in exporter.services]
        background += [asyncio.create_task(mirror.run()) for mirror in (nodes, *pods)]
        async with asyncio.timeout(_FIRST_SIGHT_TIMEOUT_SECONDS):
            await asyncio.gather(*(mirror.filled.wait() for mirror in (nodes, *pods)))
        _look(exporter, nodes, pods)
        background.append(asyncio.create_task(_tick(exporter, nodes, pods)))
        for task in background:
            task.add_done_callback(_complain)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
        for task in background:
            task.cancel()
        ended = await asyncio.gather(*background, return_exceptions=True)
        await close(api_client)
        if broken := [error for error in ended if isinstance(error, Exception)]:
            raise ExceptionGroup("the exporter stopped following the cluster", broken)


def scrape_config(port: int, interval_seconds: float) -> dict[str, object]:
    """The Prometheus job that scrapes an exporter: labels are honoured, as job and instance are part of the series."""
    return {
        "job_name": "load",
        "honor_labels": True,
        "scrape_interval": f"{round(interval_seconds * 1000)}ms",
        "scrape_timeout": f"{round(min(interval_seconds, 10) * 1000)}ms",
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
    }


def _complain(task: asyncio.Task[None]) -> None:
    """None of the background loops ends by itself: whoever watches the scrapes should not have to guess."""
    if not task.cancelled():
        _log.error("the exporter no longer follows the cluster", exc_info=task.exception())


async def _tick(exporter: Exporter, nodes: Mirror, pods: Sequence[Mirror]) -> None:
    """Every second: let time pass with the pods as they were, then look who is there now."""
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        exporter.advance()
        _look(exporter, nodes, pods)


def _look(exporter: Exporter, nodes: Mirror, pods: Sequence[Mirror]) -> None:
    for service, mirror in zip(exporter.services, pods, strict=True):
        service.follow(pod for raw in mirror.objects.values() if (pod := pod_of(raw)))
    device = exporter.services[0].service.device  # one kind of accelerator in the cluster
    exporter.nodes = {name: node_of(raw, device) for name, raw in nodes.objects.items()}
