"""What `recommend` reads: workloads from the API server, their past from Prometheus. Nothing is written anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kubernetes.aio.client import ApiClient

from kcloud_autoscale.cli.no_forecaster import NoForecaster
from kcloud_autoscale.cli.recommend_targets import Optimizers, absent_namespaces, named_targets, read_optimizers
from kcloud_autoscale.domain.decision import Decision
from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.observation import Observation, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import DemandSource, FleetPolicy, MetricKind, MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.series import DemandHistory, FloatArray
from kcloud_autoscale.domain.workload import Mode, TargetRef, WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.prometheus import Prometheus
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.reader import Reader
from kcloud_autoscale.observe.survey import demand_signals, measured_latency, ready_replicas
from kcloud_autoscale.report.recommendation import CannotTell, Past
from kcloud_autoscale.tick import FleetState, tick

SYNC_SECONDS = 30.0
# Nobody waits for a cycle here; a busy Prometheus may take its time.
ANSWER_SECONDS = 60.0
HISTORY_SECONDS = 600.0
STEP_SECONDS = 60.0
LATENCY_QUANTILE = 0.95

Targets = Mapping[WorkloadKey, TargetRef]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user said.

    Attributes:
        namespaces: Where to look; everywhere when empty.
        history_days: Read at most.
        capacity_per_replica: Load per second; None to learn it.
        latency_ms: p95 latency that is still good; None when not said.
        startup_seconds: None to learn it.
    """

    namespaces: tuple[str, ...] = ()
    history_days: float = 14.0
    capacity_per_replica: float | None = None
    latency_ms: float | None = None
    startup_seconds: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What was found: workloads with a past, those without a demand signal, and what could not be read."""

    pasts: tuple[Past, ...]
    silent: tuple[CannotTell, ...]
    problems: tuple[str, ...] = ()


async def read(client: ApiClient, prometheus: Prometheus, wish: Wish, now_seconds: float) -> Reading:
    """Read everything.

    Raises:
        ConfigError: None of the namespaces exists.
        ObservationError: The API server or Prometheus cannot be read.
    """
    absent = await absent_namespaces(Reader(client), wish.namespaces)
    namespaces = tuple(name for name in wish.namespaces if name not in absent)
    async with _informers(client, namespaces) as informers:
        optimizers = await read_optimizers(informers, namespaces)
        targets = named_targets(((namespace, each.ref) for namespace, each in informers.scalables()), optimizers)
        asker = QuerySession(prometheus, now_seconds, HISTORY_SECONDS)
        signals = await demand_signals(asker, targets, wish.history_days)
        presets = {key: found[0].preset for key, found in signals.items() if found}
        policy = _fleet(targets, presets, wish)
        settings = GatherSettings(wish.history_days, 10.0, ANSWER_SECONDS, HISTORY_SECONDS, single_look=True)
        seen = await Gatherer(prometheus, informers, settings).gather(policy, {}, now_seconds)
        pasts = await _pasts(asker, policy, presets, seen, optimizers)
        problems = (*(f"there is no namespace {name}" for name in absent), *informers.problems())
    known = {past.key for past in pasts}
    silent = [_silent(key, ref, presets.get(key), seen) for key, ref in targets.items() if key not in known]
    return Reading(tuple(pasts), tuple(silent), problems)


@asynccontextmanager
async def _informers(client: ApiClient, namespaces: tuple[str, ...]) -> AsyncIterator[Informers]:
    """Copies of what may be read. Whoever may not see nodes or KEDA's objects can still be told of their workloads."""
    informers = Informers(client, namespaces)
    informers.start()
    try:
        await informers.wait_answered(SYNC_SECONDS)
        blind = [
            informers.unknown(scope, kind) for scope in namespaces or ("",) for kind in ("Deployment", "StatefulSet")
        ]
        if any(blind):
            raise ObservationError("the cluster cannot be read: " + "; ".join(filter(None, blind)))
        yield informers
    finally:
        await informers.stop()


def _fleet(targets: Targets, presets: Mapping[WorkloadKey, str], wish: Wish) -> FleetPolicy:
    """The workloads as optimizers in mode Recommend would have them."""
    objectives: tuple[MetricTarget, ...] = ()
    if wish.latency_ms is not None:
        objectives = (MetricTarget("latency", MetricKind.VALUE, wish.latency_ms / 1_000.0, LATENCY_QUANTILE),)
    workloads = {
        key: WorkloadPolicy(
            key,
            target=targets[key],
            mode=Mode.RECOMMEND,
            targets=objectives,
            demand=DemandSource(preset),
            lead_time_seconds=wish.startup_seconds,
            capacity_per_replica=wish.capacity_per_replica,
        )
        for key, preset in presets.items()
    }
    return FleetPolicy(workloads, step_seconds=STEP_SECONDS)


async def _pasts(
    asker: QuerySession,
    policy: FleetPolicy,
    presets: Mapping[WorkloadKey, str],
    seen: Observation,
    optimizers: Optimizers,
) -> list[Past]:
    histories = {key: each.demand_history for key, each in seen.workloads.items() if each.demand_history is not None}
    if not histories:
        return []
    start = min(each.start_seconds for each in histories.values())
    end = max(each.end_seconds for each in histories.values())
    span = Span(start, round((end - start) / STEP_SECONDS), STEP_SECONDS)
    targets = {key: ref for key in histories if (ref := policy.workloads[key].target) is not None}
    ready = await ready_replicas(asker, targets, presets, span)
    judged_by_latency = targets if any(each.targets for each in policy.workloads.values()) else {}
    waited = await measured_latency(asker, judged_by_latency, presets, LATENCY_QUANTILE, span)
    # One tick prices a replica and learns its capacity and start-up, as the operator's first would.
    result = tick(seen, policy, FleetState(NoForecaster()), seen.at_seconds)
    taken = {(key.namespace, ref) for key, ref in optimizers.items()}
    decisions = {each.key: each for each in result.fleet.decisions}
    return [
        _past(
            targets[key],
            presets[key],
            demand,
            _slice(ready[key], span, demand),
            decisions[key],
            seen.workloads[key],
            (key.namespace, targets[key]) in taken,
            _slice(waited[key], span, demand) if key in waited else None,
        )
        for key, demand in histories.items()
    ]


def _slice(values: FloatArray, span: Span, history: DemandHistory) -> FloatArray:
    first = round((history.start_seconds - span.start_seconds) / span.step_seconds)
    return values[first : first + len(history.values)]


def _past(
    target: TargetRef,
    preset: str,
    demand: DemandHistory,
    ready: FloatArray,
    decision: Decision,
    seen: WorkloadObservation,
    has_optimizer: bool,
    latency: FloatArray | None,
) -> Past:
    unpriced = Missing(MissingReason.NO_DATA, "the workload was not found again")
    return Past(
        key=decision.key,
        target=target,
        preset=preset,
        demand=demand,
        ready=ready,
        capacity=decision.capacity,
        startup_seconds=decision.lead_time_seconds or 0.0,
        startup_source=decision.lead_time_source,
        usd_per_replica_hour=decision.usd_per_replica_hour or unpriced,
        watts_per_replica=decision.watts_per_replica or unpriced,
        desired_replicas=seen.target.desired_replicas if isinstance(seen.target, TargetObservation) else None,
        other=seen.conflict or "",
        has_optimizer=has_optimizer,
        latency_seconds=latency,
    )


def _silent(key: WorkloadKey, ref: TargetRef, preset: str | None, seen: Observation) -> CannotTell:
    if preset is None:
        text = "no demand signal: no serving stack's metrics name it in the whole history"
        return CannotTell(key, ref, "NoDemandSignal", text)
    found = seen.workloads.get(key)
    why = found.demand.message if found is not None and isinstance(found.demand, Missing) else "it was not read in time"
    return CannotTell(key, ref, "HistoryUnreadable", f"{preset} tells its load, but the history was not read: {why}")
