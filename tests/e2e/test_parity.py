"""The simulator tells what the operator does: one recorded day through both, the same decision at every step.

Real: the API server (the Deployment, its ``/scale``, statuses, watches), the roles of the chart, a Prometheus
that holds the recorded days, and the operator's own parts as `operator.main` puts them together. The test calls
`Reconciler.reconcile` with recorded instants, so a day takes seconds; both sides read demand from the same Prometheus
and their knobs from the same manifest.

Not real: the pods. The API server dates creation and readiness by the clock on the wall, so pods with recorded times
are put into the informers' copies; their number is what ``/scale`` says, their start-up the simulated world's rule.
No controller and no kwok runs, leader election is off, and kopf's watch of our own objects is replaced by one list:
nobody changes them. The whole day's steps are read at their very end (SETTLE_SECONDS=0), as a simulation sees them by
default, and those between eight and twenty o'clock also as the operator does by default, which
`simulate --settle-seconds 10` replays.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kubernetes.aio import config

from hack.chart import release
from hack.cluster import Cluster, Prometheus
from hack.load.demand import DemandShape, Gap, Ramp
from kcloud_autoscale.act.rest import Rest
from kcloud_autoscale.cli.demand_source import from_prometheus
from kcloud_autoscale.cli.scenario_file import read_fleet
from kcloud_autoscale.domain.decision import Decision
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.objects import Pod, Requests
from kcloud_autoscale.operator.main import _assemble, _Operator
from kcloud_autoscale.operator.settings import Settings
from kcloud_autoscale.simulate import run as simulate_run
from kcloud_autoscale.simulate.predictive import SimulatedPods, grid_seconds
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import Run, World, WorldRules, initial_replicas
from tests.integration.manifests import Manifest, deployment
from tests.integration.series import Series, write_blocks

pytestmark = pytest.mark.e2e

NAMESPACE, NAME = "recorded", "served"
KEY = WorkloadKey(NAMESPACE, NAME)
QUERY = f'sum(recorded_load{{workload="{NAME}"}})'
STEP, DAY_STEPS, HISTORY_DAYS = 60, 1440, 2
START = 1_772_409_600  # Monday 2026-03-02, midnight UTC
FIRST = HISTORY_DAYS * DAY_STEPS
USD_PER_REPLICA_HOUR = 2.5
GAP_FROM, GAP_STEPS = FIRST + 1000, 15
MORNING, EVENING = 480, 1200
PRICES = {
    "apiVersion": "kcloud.io/v1alpha1",
    "kind": "CostPolicy",
    "metadata": {"name": "prices"},
    "spec": {"resourceCostPolicy": {"gpuCostPerHour": USD_PER_REPLICA_HOUR}},
}


def optimizer() -> Manifest:
    """10 requests per second per replica that takes 90 s to start; 25 USD/h are 10 replicas, the wave needs more."""
    return {
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "WorkloadOptimizer",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "workloadType": "serving",
            "costConstraints": {"maxCostPerHour": 25},
            "resources": {"gpu": 1},
            "autoScaling": {
                "minReplicas": 1,
                "maxReplicas": 20,
                "capacityPerReplica": 10,
                "leadTimeSeconds": 90,
                "demand": {"query": QUERY},
            },
        },
    }


def recorded_load() -> dict[int, float]:
    """Load by seconds since the start, told at the end of each minute; a wave each morning, bursts, one gap today."""
    wave = Ramp(9 * 3600.0, 55.0, 1200.0, 3600.0, 900.0, start_jitter_seconds=120.0, height_jitter_fraction=0.05)
    gap = Gap(START + GAP_FROM * STEP, GAP_STEPS * STEP)
    shape = DemandShape(origin_seconds=float(START), bursts_per_day=6.0, ramps=(wave,), gaps=(gap,))
    ends = np.arange(1, (HISTORY_DAYS + 1) * DAY_STEPS + 1) * STEP
    load = shape.sample(START + ends - 0.5 * STEP)
    return {int(end): float(each) for end, each in zip(ends, load, strict=True) if np.isfinite(each)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The recorded days in a real Prometheus."""
    load = recorded_load()
    series = Series("recorded_load", {"namespace": NAMESPACE, "workload": NAME}, load.__getitem__)
    data = write_blocks([series], START, max(load), tmp_path_factory.mktemp("blocks"), scrapes=load)
    with Prometheus() as running:
        running.start(data_dir=data)
        yield running


@pytest.fixture
def still_cluster() -> Iterator[Cluster]:
    """An API server on which nobody but us acts: what the test says of pods is all there is to say."""
    with Cluster.start() as cluster:
        release.install(cluster)
        for part in cluster.pids.keys() - {"etcd", "kube-apiserver"}:
            cluster.stop_part(part, kill=True)
        yield cluster


class Noted:
    """Stands in for the report's trail: keeps every decision of the simulator as it is."""

    def __init__(self, kappa: float) -> None:
        self.kappa = kappa
        self.decisions: list[Decision] = []

    def note(self, decision: Decision, before: int, after: int) -> None:
        self.decisions.append(decision)


@dataclass
class Lived:
    """What the operator did, one entry per step: replicas on the API server after it, and its decision."""

    replicas: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


class Shell:
    """The operator's parts on the API server, and the pods that its writes bring about."""

    def __init__(self, operator: _Operator, rest: Rest, trace: Trace, rules: WorldRules) -> None:
        self.operator, self.rest, self.trace = operator, rest, trace
        startup_steps = rules.startup_steps(trace.step_seconds)
        self.world = World.at_rest(initial_replicas(trace, rules), startup_steps)
        self.pods = SimulatedPods(startup_steps * trace.step_seconds)

    async def step(self, step: int) -> tuple[int, Decision]:
        """One cycle at the beginning of `step`; replicas on the API server after it, and what was decided."""
        now = grid_seconds(self.trace, step)
        self.world.mature(step)
        self._show_pods(now)
        await self.operator.cycle._reconciler.reconcile(now)
        replicas = await self._replicas()
        if replicas != self.world.replicas:
            self.world.order(step, replicas)
            await self._watched(replicas)
        return replicas, self.operator.metrics.collector.outcomes[KEY].decision

    def _show_pods(self, now: float) -> None:
        copies = self.operator.informers._pods[NAMESPACE].objects
        copies.clear()
        for pod in self.pods.of(self.world, now - self.trace.step_seconds):
            requests = Requests(accelerators=(("nvidia.com/gpu", 1),))
            copies[NAMESPACE, pod.name] = Pod(pod, {"app": NAME}, requests, None)

    async def _replicas(self) -> int:
        scale = await self.rest.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}/scale")
        return int(scale["spec"].get("replicas", 0))

    async def _watched(self, replicas: int) -> None:
        """Until the operator's own watch has told it of its write, as it has long before the next cycle."""
        async with asyncio.timeout(10.0):
            while True:
                seen = self.operator.informers.scalable(NAMESPACE, "Deployment", NAME)
                if seen is not None and seen.replicas == replicas:
                    return
                await asyncio.sleep(0.001)


@asynccontextmanager
async def assembled(settings: Settings, kubeconfig: Path) -> AsyncIterator[tuple[_Operator, Rest]]:
    """The operator's parts, its writers and watches at work, its objects listed; nothing cycles by itself."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(await config.new_client_from_config(str(kubeconfig)))
        operator = await _assemble(settings, client.configuration, client, stack)
        writers = [asyncio.create_task(each) for each in (operator.statuses.run(), operator.events.run())]
        await operator.resync.once()
        assert await operator.informers.wait_synced(20.0), operator.informers.problems()
        # On a busy machine the forecast worker may not be up within the first cycle, which then does without.
        assert await asyncio.to_thread(operator.cycle._reconciler._teacher.ready, 60.0)
        yield operator, Rest(client)
        await operator.statuses.flush()
        for task in writers:
            task.cancel()


def rules_of(manifest: Path, settle_seconds: float, history_steps: int) -> tuple[WorkloadPolicy, WorldRules]:
    """The workload as `simulate --optimizer` resolves it, and its world."""
    workload = read_fleet(manifest).fleet.workloads[KEY]
    assert workload.capacity_per_replica is not None
    assert workload.lead_time_seconds is not None
    return workload, WorldRules(
        workload.capacity_per_replica,
        workload.lead_time_seconds,
        workload.min_replicas,
        workload.max_replicas,
        usd_per_replica_hour=USD_PER_REPLICA_HOUR,
        history_steps=history_steps,
        settle_seconds=settle_seconds,
    )


async def lived(settings: Settings, kubeconfig: Path, trace: Trace, rules: WorldRules) -> Lived:
    """The recorded day through the operator."""
    found = Lived()
    async with assembled(settings, kubeconfig) as (operator, rest):
        shell = Shell(operator, rest, trace, rules)
        for step in range(rules.history_steps, len(trace.demand)):
            replicas, decision = await shell.step(step)
            found.replicas.append(replicas)
            found.decisions.append(decision)
    return found


def told(decision: Decision) -> dict[str, Any]:
    """What must be the same to the letter."""
    return {
        "current": decision.current_replicas,
        "desired": decision.desired_replicas,
        "uncapped": decision.uncapped_replicas,
        "ready": decision.ready_replicas,
        "reason": decision.final_reason,
        "hold": decision.hold_reason,
        "steps": [(step.stage.value, step.before, step.after, step.reason) for step in decision.steps],
        "proposals": [(each.name, each.replicas) for each in decision.proposals],
        "lead time": (decision.lead_time_seconds, decision.lead_time_source),
        "capacity": decision.capacity,
        "level": decision.level is None,
        "forecast": None if decision.forecast is None else (decision.forecast.trusted, decision.forecast.reason),
    }


def numbers(decision: Decision) -> list[float]:
    """What must be the same to a millionth: the level, and the forecast peak at it and in the middle."""
    if decision.forecast is None or decision.level is None:
        return []
    return [decision.level, decision.forecast.at(decision.level), decision.forecast.at(0.5)]


def differences(operator: Decision, simulator: Decision) -> dict[str, tuple[Any, Any]]:
    ours, theirs = told(operator), told(simulator)
    found = {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
    if not found and numbers(operator) != pytest.approx(numbers(simulator), rel=1e-6):
        found["numbers"] = (numbers(operator), numbers(simulator))
    return found


def simulated(trace: Trace, rules: WorldRules, workload: WorkloadPolicy) -> tuple[Run, list[Decision]]:
    """The recorded day through `simulate`, and its decisions in full instead of the report's extract."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulate_run, "Trail", Noted)
        made = simulate_run.simulate(trace, rules, ["predictive"], workload, lambda name: None, remember=True)
    noted: Any = made["predictive"].trail
    return made["predictive"].run, noted.decisions


def settings_for(server: Prometheus, settle_seconds: float) -> Settings:
    return Settings(
        prometheus_url=server.url,
        watch_namespaces=(NAMESPACE,),
        pod_namespace=release.NAMESPACE,
        operator_name=release.NAME,
        history_days=float(HISTORY_DAYS),
        settle_seconds=settle_seconds,
        leader_election=False,
        write_qps=1000.0,
        write_burst=1000,
        bind_address="127.0.0.1",
        metrics_port=0,
        probe_port=0,
    )


@pytest.mark.parametrize(
    ("settle_seconds", "first", "end"), [(0.0, 0, DAY_STEPS), (10.0, MORNING, EVENING)], ids=["day", "settled"]
)
def test_operator_and_simulator_decide_alike_at_every_step_of_a_recorded_day(
    server: Prometheus, still_cluster: Cluster, tmp_path: Path, settle_seconds: float, first: int, end: int
) -> None:
    manifest = tmp_path / "optimizer.yaml"
    manifest.write_text(json.dumps(optimizer()))
    # The operator reads so many days of complete steps, and the last one is not complete before it has settled.
    history_steps = FIRST + math.ceil(settle_seconds / STEP)
    workload, rules = rules_of(manifest, settle_seconds, history_steps)
    days = (history_steps + end - first) / DAY_STEPS
    trace = from_prometheus(server.url, QUERY, days, STEP, START + (FIRST + end) * STEP)
    run, noted = simulated(trace, rules, workload)

    still_cluster.kubectl("create", "namespace", NAMESPACE)
    before = initial_replicas(trace, rules)
    still_cluster.kubectl.apply([deployment(NAMESPACE, NAME, before, "0s"), PRICES, optimizer()])
    kubeconfig = still_cluster.kubeconfig_for(release.NAMESPACE, release.NAME)
    operator = asyncio.run(lived(settings_for(server, settle_seconds), kubeconfig, trace, rules))

    pairs = zip(operator.decisions, noted, strict=True)
    different = [(step, found) for step, pair in enumerate(pairs) if (found := differences(*pair))]
    assert not different, f"{len(different)} of {len(noted)} steps differ, first: {different[:3]}"
    assert operator.replicas == run.replicas.tolist()
    status = still_cluster.kubectl.get("workloadoptimizer", NAME, "-n", NAMESPACE)["status"]
    assert status["desiredReplicas"] == operator.replicas[-1]
    assert len(operator.decisions) == end - first
    assert_eventful(operator)


def assert_eventful(day: Lived) -> None:
    """Two that always say "no change" would agree as well: this day has every kind of moment."""
    reasons = Counter(decision.final_reason for decision in day.decisions)
    assert reasons.keys() >= {"ForecastNeed", "ScaleDownStabilized", "MaxCostPerHour"}
    signals = {proposal.name for decision in day.decisions for proposal in decision.proposals}
    assert signals >= {"observed-demand", "forecast", "keep"}
    # A sample stands for two more minutes (in the third it is 180 s old): 15 steps without one are 13 that are unknown.
    assert reasons["MetricsUnknown"] == GAP_STEPS - 2
    assert {decision.forecast.trusted for decision in day.decisions if decision.forecast} == {True, False}
    assert max(day.replicas) == 10  # 25 USD/h at 2.5 USD/h each
    assert sum(one != other for one, other in pairwise(day.replicas)) >= 20
