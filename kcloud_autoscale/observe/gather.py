"""One look at the whole fleet.

    prometheus = Prometheus(PrometheusSettings(url), answered=count_query)
    informers = Informers(api_client, namespaces, answered=count_request)
    informers.start()
    await informers.wait_synced(30.0)
    gatherer = Gatherer(prometheus, informers, GatherSettings())
    observation = await gatherer.gather(fleet_policy, fleet_state.seen_until(), time.time())
    ...
    await informers.stop()
    prometheus.close()

``gather`` never raises for a source that fails: what it lacks is Missing, with the reason, and a source that is away
as a whole is listed in ``problems``. It takes ``budget_seconds`` at most, plus ``history_budget_seconds`` where there
is history to read; workloads whose two weeks do not fit come with the next cycles.
"""

from __future__ import annotations

import asyncio
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kcloud_autoscale.domain.node import accelerator_product
from kcloud_autoscale.domain.observation import (
    CapacityHistory,
    NodeObservation,
    Observation,
    TargetObservation,
    WorkloadObservation,
)
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.reading import BoundedReading, Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.units import SECONDS_PER_DAY
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.fetch import Subject
from kcloud_autoscale.observe.gaps import gap_replicas
from kcloud_autoscale.observe.history import rate_window_seconds
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.objects import Pod, Requests
from kcloud_autoscale.observe.past import Reach, capacity_histories, demand_histories
from kcloud_autoscale.observe.present import Present, metrics_of, present
from kcloud_autoscale.observe.promql import pod_naming
from kcloud_autoscale.observe.query_batching import IsolatedQueries
from kcloud_autoscale.observe.query_session import QuerySession, Source
from kcloud_autoscale.observe.room import newest_pod, pod_needs, with_room
from kcloud_autoscale.observe.scrapes import DEFAULT_SECONDS, ScrapeIntervals
from kcloud_autoscale.observe.signals import (
    FleetSignals,
    device_measured,
    device_model,
    fleet_signals,
    priced,
    total_watts,
    watts_per_pod,
)
from kcloud_autoscale.observe.survey import DemandSources, leaves_source_open
from kcloud_autoscale.observe.targets import Target, Targets
from kcloud_autoscale.observe.tenant_queries import ENFORCE_NAMESPACE, TenantQueryRules
from kcloud_autoscale.observe.turns import WHOLE_VALUES, Turns
from kcloud_autoscale.observe.watched import Watched, by_preset, watched


@dataclass(frozen=True, slots=True)
class GatherSettings:
    """How far to look and how long to wait.

    Attributes:
        history_days: Read for a workload seen for the first time.
        settle_seconds: A step is complete this long after its end: the last scrape in it must have been stored.
            Remote write to a central store may need 30.
        budget_seconds: For everything about now. A Prometheus that does not answer costs this much, once per cycle.
        history_budget_seconds: For reading history, after that.
        capacity_step_seconds: Spacing of the pairs a replica's capacity is learned from: a quantile of five minutes'
            requests is steadier than one of a minute's, and two weeks of them are cheap.
        tenant_queries: What users' own queries may ask.
        single_look: No other look follows: whole histories of everybody, and pairs of those without load at present.
    """

    history_days: float = 14.0
    settle_seconds: float = 10.0
    budget_seconds: float = 10.0
    history_budget_seconds: float = 10.0
    capacity_step_seconds: float = 300.0
    tenant_queries: TenantQueryRules = ENFORCE_NAMESPACE
    single_look: bool = False


@dataclass(frozen=True, slots=True)
class _Past:
    demand: Mapping[WorkloadKey, DemandHistory] = field(default_factory=dict)
    capacity: Mapping[WorkloadKey, tuple[CapacityHistory, ...]] = field(default_factory=dict)


class Gatherer:
    """Looks at the fleet once per cycle.

    Args:
        prometheus: Where metrics are.
        informers: What the API server knows; started and stopped by the caller.
        settings: Reach and budgets.
    """

    def __init__(self, prometheus: Source, informers: Informers, settings: GatherSettings | None = None) -> None:
        self._prometheus = prometheus
        self._informers = informers
        self._settings = settings or GatherSettings()
        self._targets = Targets(informers)
        self._sources = DemandSources()
        self._scrapes = ScrapeIntervals()
        self._isolated, self._isolated_steps = IsolatedQueries(), IsolatedQueries()
        self._capacity_until: dict[WorkloadKey, float] = {}
        at_once = math.inf if self._settings.single_look else WHOLE_VALUES
        self._demand_turns, self._capacity_turns = Turns(at_once), Turns(at_once)

    async def gather(self, policy: FleetPolicy, since: Mapping[WorkloadKey, float], now_seconds: float) -> Observation:
        """Everything a tick needs.

        Args:
            policy: The fleet.
            since: Up to when each workload's demand has been learned (Unix seconds); absent ones are new.
            now_seconds: Unix time of this look.
        """
        targets = await self._targets.find(policy.workloads)
        asker = self._asker(policy, now_seconds, self._settings.budget_seconds)
        away = await asker.series("vector(1)", "Prometheus does not answer")
        open_sources = _open_sources(policy, targets)
        if isinstance(away, Missing):
            sources: Mapping[WorkloadKey, str | Missing] = dict.fromkeys(open_sources, away)
        else:
            sources = await self._sources.of(asker, open_sources)
        rules = self._settings.tenant_queries
        fleet = [watched(policy.workloads[key], each, rules, sources.get(key)) for key, each in targets.items()]
        if isinstance(away, Missing):
            return self._without_prometheus(fleet, away, now_seconds)
        askable = [each for each in fleet if each.unknown is None]
        scrapes = await self._scrapes.of(asker, by_preset(askable))
        found, signals = await self._now(asker, policy, fleet, scrapes)
        past = await self._past(policy, askable, found, since, now_seconds, scrapes)
        nodes = with_room(priced(self._informers.nodes(), signals), self._informers.pods())
        return Observation(
            at_seconds=now_seconds,
            workloads={
                each.key: self._observed(each, found, signals, past, nodes, policy.max_metric_age_seconds, now_seconds)
                for each in fleet
            },
            nodes=nodes,
            carbon_grams_per_kwh=signals.carbon,
            problems=(*self._informers.problems(), *_failures(found.demand)),
        )

    async def gap_replicas(
        self, policy: FleetPolicy, begins: Mapping[WorkloadKey, float], now_seconds: float
    ) -> Mapping[WorkloadKey, tuple[float, float]]:
        """What ran in gaps that no process accounted for, where kube-state-metrics told Prometheus.

        Args:
            policy: The fleet.
            begins: When each workload's gap began, Unix seconds; it ends now.
            now_seconds: Unix time of this look.

        Returns:
            Mean replicas, and the part of the gap (0-1) that was recorded; a workload of which nothing was is absent.
        """
        targets = await self._targets.find({key: policy.workloads[key] for key in begins})
        refs = {key: each.seen.ref for key, each in targets.items() if isinstance(each.seen, TargetObservation)}
        subjects = [Subject(key, ref.name, pod_naming(ref.kind)) for key, ref in refs.items()]
        session = self._asker(policy, now_seconds, self._settings.budget_seconds)
        return await gap_replicas(session, subjects, begins, now_seconds)

    def _asker(self, policy: FleetPolicy, now_seconds: float, limit_seconds: float) -> QuerySession:
        return QuerySession(
            source=self._prometheus,
            now_seconds=now_seconds,
            limit_seconds=limit_seconds,
            max_age_seconds=policy.max_metric_age_seconds,
            isolated=self._isolated,
            isolated_steps=self._isolated_steps,
        )

    async def _now(
        self,
        asker: QuerySession,
        policy: FleetPolicy,
        fleet: Sequence[Watched],
        scrapes: Mapping[WorkloadKey, float],
    ) -> tuple[Present, FleetSignals]:
        usual = statistics.median(scrapes.values()) if scrapes else DEFAULT_SECONDS
        general = rate_window_seconds(policy.step_seconds, usual)
        namespaces = sorted({each.key.namespace for each in fleet if each.pods_subject is not None})
        return await asyncio.gather(
            present(asker, fleet, scrapes, policy.step_seconds, general, policy.max_metric_age_seconds),
            fleet_signals(asker, namespaces, general),
        )

    async def _past(
        self,
        policy: FleetPolicy,
        askable: Sequence[Watched],
        found: Present,
        since: Mapping[WorkloadKey, float],
        now_seconds: float,
        scrapes: Mapping[WorkloadKey, float],
    ) -> _Past:
        settings = self._settings
        history_seconds = settings.history_days * SECONDS_PER_DAY
        asker = self._asker(policy, now_seconds, settings.history_budget_seconds)
        reach = Reach(policy.step_seconds, settings.settle_seconds, history_seconds)
        demand = await demand_histories(
            asker, askable, since, reach, scrapes, self._demand_turns, found.unfilled, found.partial
        )
        taught = [each for each in askable if each.key in since or each.key in demand]
        # Pairs are only worth asking for where there is load now; the first time they cost two weeks.
        loaded = [each for each in taught if settings.single_look or isinstance(found.demand.get(each.key), Sample)]
        coarse = Reach(settings.capacity_step_seconds, settings.settle_seconds, history_seconds)
        # Whoever has forgotten a workload's demand has forgotten its pairs as well.
        self._capacity_until = {key: at for key, at in self._capacity_until.items() if key in since}
        pairs = await capacity_histories(asker, loaded, self._capacity_until, coarse, scrapes, self._capacity_turns)
        self._capacity_until |= {key: span.end_seconds for key, (span, _) in pairs.items()}
        return _Past(demand, {key: pieces for key, (_, pieces) in pairs.items()})

    def _without_prometheus(self, fleet: Sequence[Watched], away: Missing, now_seconds: float) -> Observation:
        """What the API server alone can tell; every demand is missing for the one reason."""
        silent = FleetSignals(carbon=away)
        for readings in (silent.device_watts, silent.host_watts, silent.gpu, silent.npu):
            readings.failed.append(away.message)
        found = Present(away=away)
        for each in fleet:
            found.demand[each.key] = each.unknown or away
        nodes = with_room(priced(self._informers.nodes(), silent), self._informers.pods())
        return Observation(
            at_seconds=now_seconds,
            workloads={
                each.key: self._observed(each, found, silent, _Past(), nodes, 0.0, now_seconds) for each in fleet
            },
            nodes=nodes,
            carbon_grams_per_kwh=away,
            problems=(*self._informers.problems(), away.message),
        )

    def _observed(
        self,
        each: Watched,
        found: Present,
        signals: FleetSignals,
        past: _Past,
        nodes: Mapping[str, NodeObservation],
        max_age_seconds: float,
        now_seconds: float,
    ) -> WorkloadObservation:
        key, target = each.key, each.target
        pods = target.pods
        newest = newest_pod(pods)
        # At 0 replicas the template alone says what one would hold, and so what it will cost.
        requests = newest.requests if newest is not None else target.requests or Requests()
        return WorkloadObservation(
            key=key,
            target=target.seen,
            conflict=target.conflict,
            demand=found.demand[key],
            demand_source=each.demand_source,
            demand_of_pods=found.demand_of_pods(each),
            demand_history=past.demand.get(key),
            capacity_history=past.capacity.get(key, ()),
            metrics=metrics_of(each, found, signals, max_age_seconds, now_seconds),
            watts=total_watts(key.namespace, pods, signals, now_seconds),
            watts_per_pod=watts_per_pod(key.namespace, pods, signals),
            utilization_fraction=_utilization(key, pods, signals, now_seconds),
            accelerator_model=device_model(key.namespace, pods, signals) or _product(pods, nodes),
            replica_accelerators=dict((*requests.accelerators, *requests.unknown)),
            replica_shares=dict(requests.shares),
            replica_claims=self._informers.claimed(key.namespace, newest.claims) if newest is not None else (),
            device_measured=device_measured(key.namespace, pods, signals),
            replica_cpu_cores=requests.cpu_cores,
            replica_memory_bytes=requests.memory_bytes,
            pod_needs=pod_needs(pods),
        )


def _open_sources(policy: FleetPolicy, targets: Mapping[WorkloadKey, Target]) -> dict[WorkloadKey, TargetRef]:
    """Targets of the workloads whose serving stack has to be found."""
    return {
        key: target.seen.ref
        for key, target in targets.items()
        if not isinstance(target.seen, Missing) and leaves_source_open(policy.workloads[key])
    }


def _utilization(key: WorkloadKey, pods: Sequence[Pod], signals: FleetSignals, now_seconds: float) -> Reading:
    gpu = signals.gpu.mean(key.namespace, pods, "accelerator utilization", now_seconds)
    npu = signals.npu.mean(key.namespace, pods, "accelerator utilization", now_seconds)
    return npu if isinstance(gpu, Missing) and isinstance(npu, Sample) else gpu


def _product(pods: Sequence[Pod], nodes: Mapping[str, NodeObservation]) -> str:
    """Product label of the nodes most pods are on."""
    labels = (nodes[name].labels for pod in pods if (name := pod.seen.node) is not None and name in nodes)
    products = Counter(product for each in labels if (product := accelerator_product(each)))
    return products.most_common(1)[0][0] if products else ""


def _failures(demand: Mapping[WorkloadKey, BoundedReading]) -> tuple[str, ...]:
    """Demand sources that failed, each named once with how many workloads it concerns."""
    failed = Counter(
        each.message
        for each in demand.values()
        if isinstance(each, Missing) and each.reason is MissingReason.SOURCE_ERROR
    )
    return tuple(f"{message} ({count} workloads)" for message, count in failed.most_common(10))
