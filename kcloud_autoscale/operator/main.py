"""Puts the parts together and keeps them running: clients, watches, lease, cycle, writers, probes."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import kopf
from kubernetes.aio.client import ApiClient, Configuration

from kcloud_autoscale.act.events import EVENTS_A_MINUTE, Event, EventWriter, ObjectRef
from kcloud_autoscale.act.ledger_record import LedgerRecord
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import Json, Rest
from kcloud_autoscale.act.scale import ScaleWriter
from kcloud_autoscale.act.status_writer import PLURALS, StatusWriter
from kcloud_autoscale.domain.errors import KcloudError
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.observe.tenant_queries import TenantQueries, TenantQueryRules
from kcloud_autoscale.operator.clock import FleetClock
from kcloud_autoscale.operator.connect import load_configuration, login, new_client
from kcloud_autoscale.operator.fitting import WorkerFitter
from kcloud_autoscale.operator.handlers import kopf_settings, registry_for, slim
from kcloud_autoscale.operator.health import Health, serve
from kcloud_autoscale.operator.leader import AlwaysLeader, LeaderElection
from kcloud_autoscale.operator.logs import configure_logging
from kcloud_autoscale.operator.memory import settle
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.reconcile import Cycle, Reconciler
from kcloud_autoscale.operator.record import Recorder
from kcloud_autoscale.operator.resync import Resync
from kcloud_autoscale.operator.settings import Settings
from kcloud_autoscale.operator.store import ObjectStore
from kcloud_autoscale.operator.teaching import WorkerTeacher

logger = logging.getLogger(__name__)

# Writes that are still waiting when the process is told to stop get this long.
FLUSH_SECONDS = 2.0


class OperatorError(KcloudError):
    """A part ended that must not; the process goes down with it and is started anew."""


def run(settings: Settings) -> None:
    """Run until told to stop.

    Raises:
        ConfigError: There is no way to the cluster.
        OperatorError: A part ended by itself.
    """
    configure_logging(settings.log_level, settings.log_format)
    settle()
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    configuration = await load_configuration()
    async with AsyncExitStack() as stack:
        client = new_client(configuration)
        stack.push_async_callback(client.close)
        operator = await _assemble(settings, configuration, client, stack)
        await operator.run()


@dataclass(slots=True)
class _Operator:
    """The assembled parts and how they run together."""

    settings: Settings
    configuration: Configuration
    store: ObjectStore
    health: Health
    leader: LeaderElection | AlwaysLeader
    resync: Resync
    informers: Informers
    cycle: Cycle
    statuses: StatusWriter
    events: EventWriter
    bucket: TokenBucket
    metrics: Metrics
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _told_to_stop: asyncio.Event = field(default_factory=asyncio.Event)
    _watching: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until a signal, or until a part that must not end has ended."""
        # A signal before kopf has its own handlers must give the lease back too.
        self._stop_on_signals()
        # What is started before kopf is left alone by its shutdown.
        self._start("loop lag", self.health.watch_lag())
        self._start("events", self.events.run())
        self._start("statuses", self.statuses.run())
        self._start("lease", self.leader.run())
        self._start("gauges", self._watch_gauges())
        self._start("resync", self._resync())
        self._start("cycle", self._cycle())
        self._start("signals", self._take_signals())
        watches = asyncio.create_task(self._watch(), name="watches")
        stop = asyncio.create_task(self._until_told(), name="stop")
        try:
            done, _ = await asyncio.wait([stop, watches, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _raise_if_broken(task, may_end=task in (stop, watches))
        finally:
            await self._stop([stop, watches])

    async def _until_told(self) -> None:
        await self._told_to_stop.wait()

    async def _take_signals(self) -> None:
        """Once kopf has installed its own handlers: we stop deciding first, kopf last."""
        await self._watching.wait()
        self._stop_on_signals()
        await asyncio.Event().wait()

    def _stop_on_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop.set)

    async def _resync(self) -> None:
        await self.resync.until_done()
        await self.resync.for_ever(self.settings.resync_seconds)

    async def _watch(self) -> None:
        namespaces = self.settings.watch_namespaces
        await kopf.operator(
            registry=registry_for(
                self.store,
                lambda: login(self.configuration),
                self.cycle.wake,
                self.health.watched,
                with_namespaces=not namespaces,
            ),
            settings=kopf_settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            # kopf's own default asks for the user's name, and a container's uid has none. It exports no name of the
            # type, which is a string to anybody but mypy.
            identity=cast(Any, self.settings.pod_name),
            ready_flag=self._watching,
        )

    async def _cycle(self) -> None:
        await self.resync.done.wait()
        if not await self.informers.wait_synced(60.0):
            logger.warning("Not everything could be read from the cluster: %s", "; ".join(self.informers.problems()))
        while not self.leader.is_leader():
            await self.leader.changed.wait()
            self.leader.changed.clear()
        await self.cycle.run()

    async def _watch_gauges(self) -> None:
        while True:
            leads = self.leader.is_leader()
            self.metrics.leader.set(leads)
            self.metrics.loop_lag.set(self.health.lag_seconds)
            self.metrics.write_rate.set(self.bucket.rate_per_second)
            if not leads:
                self.health.leading_since_seconds = None
                self.metrics.stand_by()
            elif self.health.leading_since_seconds is None:
                self.health.leading_since_seconds = self.health.clock()
                self.cycle.wake()
            await asyncio.sleep(1.0)

    def _start(self, name: str, work: Awaitable[None]) -> None:
        async def named() -> None:
            await work

        self._tasks[name] = asyncio.create_task(named(), name=name)

    async def _stop(self, others: list[asyncio.Task[None]]) -> None:
        """No more decisions first, then what is waiting to be written, then the lease; the watches last."""
        logger.info("Stopping.")
        await _cancel([task for name, task in self._tasks.items() if name in ("cycle", "resync")])
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.events.flush()
                self.statuses.hurry()
                await self.statuses.flush()
        except TimeoutError:
            logger.warning("Some statuses or Events were not written any more.")
        await _cancel(list(self._tasks.values()))
        await self.leader.release()
        await _cancel(others)


async def _assemble(
    settings: Settings, configuration: Configuration, client: ApiClient, stack: AsyncExitStack
) -> _Operator:
    metrics, store, clock = Metrics(), ObjectStore(), FleetClock()
    rest = Rest(client, metrics.kubernetes_answered, partial(clock.hear, "kubernetes"))
    leader = _leader(settings, rest)
    health = _health(settings, leader)
    bucket = TokenBucket(settings.write_qps, settings.write_burst)
    # Half of the writes' rate, as of their number; no reserve, since nothing else shares it.
    for_events = TokenBucket(settings.write_qps / 2.0, EVENTS_A_MINUTE, 0)
    events = EventWriter(rest, for_events, settings.operator_name, settings.pod_name, clock.now_seconds)
    statuses = StatusWriter(rest, bucket, *_known_objects(store), leader.is_leader, refused=_refused(events, metrics))
    gatherer, informers = _sources(settings, client, metrics, clock, stack)
    health.watch_silence_seconds = informers.idle_seconds
    scaler = ScaleWriter(rest, bucket, leader.is_leader, settings.dry_run)
    recorder = Recorder(statuses, events, metrics)
    teacher, fitter = WorkerTeacher(metrics), WorkerFitter(metrics)
    stack.callback(teacher.close)
    stack.callback(fitter.close)
    record = LedgerRecord(rest, settings.pod_namespace, settings.operator_name, settings.pod_name)
    reconciler = Reconciler(settings, store, gatherer, rest, scaler, record, recorder, metrics, teacher, fitter)
    cycle = Cycle(reconciler, leader.is_leader, settings.cycle_seconds, health.cycled, metrics, clock)
    resync = Resync(rest, store, settings.watch_namespaces, cycle.wake, health.watched)
    runner, ports = await serve(
        health, metrics.expose, settings.bind_address, settings.metrics_port, settings.probe_port
    )
    stack.push_async_callback(runner.cleanup)
    logger.info("Metrics on port %d, probes on port %d.", ports["metrics"], ports["probe"])
    return _Operator(
        settings, configuration, store, health, leader, resync, informers, cycle, statuses, events, bucket, metrics
    )


def _leader(settings: Settings, rest: Rest) -> LeaderElection | AlwaysLeader:
    if not settings.leader_election:
        return AlwaysLeader()
    # A pod's name is its own. Without one two processes on a host must not take each other for themselves.
    identity = settings.pod_name if os.environ.get("POD_NAME") else f"{settings.pod_name}-{secrets.token_hex(4)}"
    return LeaderElection(rest, settings.pod_namespace, settings.operator_name, identity)


def _health(settings: Settings, leader: LeaderElection | AlwaysLeader) -> Health:
    return Health(
        # A cycle that finds Prometheus slow may take its whole budget; three in a row may not fail.
        cycle_limit_seconds=3.0 * settings.cycle_seconds + 30.0,
        watch_limit_seconds=2.5 * settings.resync_seconds,
        is_leader=leader.is_leader,
        lease_silence_seconds=leader.silence_seconds,
    )


def _sources(
    settings: Settings, client: ApiClient, metrics: Metrics, clock: FleetClock, stack: AsyncExitStack
) -> tuple[Gatherer, Informers]:
    prometheus = Prometheus(
        PrometheusSettings(
            url=settings.prometheus_url,
            token_file=settings.prometheus_token_file,
            tenant=settings.prometheus_tenant,
            ca_file=settings.prometheus_ca_file,
            timeout_seconds=settings.prometheus_timeout_seconds,
        ),
        metrics.prometheus_answered,
        partial(clock.hear, "prometheus"),
    )
    stack.callback(prometheus.close)
    informers = Informers(client, settings.watch_namespaces, metrics.kubernetes_answered)
    informers.start()
    stack.push_async_callback(informers.stop)
    gathering = GatherSettings(
        history_days=settings.history_days,
        settle_seconds=settings.settle_seconds,
        tenant_queries=TenantQueryRules(TenantQueries(settings.tenant_queries), settings.tenant_namespace_label),
    )
    return Gatherer(prometheus, informers, gathering), informers


def _known_objects(
    store: ObjectStore,
) -> tuple[Callable[[ObjectRef], Mapping[str, Any] | None], Callable[[ObjectRef, Json], None]]:
    """How the status writer looks an object up, and how its answer gets back into the store."""

    def known(ref: ObjectRef) -> Mapping[str, Any] | None:
        body = store.bodies[PLURALS[ref.kind]].get((ref.namespace, ref.name))
        return body if body is not None and body["metadata"].get("uid") == ref.uid else None

    def written(ref: ObjectRef, answer: Json) -> None:
        if known(ref) is not None:  # it may have been deleted meanwhile
            store.put(PLURALS[ref.kind], slim(answer))

    return known, written


def _refused(events: EventWriter, metrics: Metrics) -> Callable[[ObjectRef, str], None]:
    """What is told of a status that the API server did not take."""

    def refused(ref: ObjectRef, why: str) -> None:
        metrics.statuses_refused.labels(ref.kind).inc()
        events.post(Event(ref, "StatusRefused", why, "Record", warning=True, lasting=True))

    return refused


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _raise_if_broken(task: asyncio.Task[None], may_end: bool) -> None:
    """The watches may end, by a signal that came early; nothing else may end at all."""
    if task.cancelled():
        return
    error = task.exception()
    if error is not None or not may_end:
        # A kind that is watched was taken away. Started anew, the operator waits until it is back.
        hint = ". Are the CRDs installed (make install)?" if getattr(error, "status", None) == 404 else ""
        raise OperatorError(f"{task.get_name()} ended: {error or 'without an error'}{hint}") from error
