"""A step of everybody's load on a real kube-apiserver and etcd: when is whose count changed, at a given write budget?

The Deployments are paused, so that nothing but the writes is measured: there are no pods. The load is given, the rest
is the operator's own: tick, order of the writes, re-check, budget. Each status that is wanted takes its share.
"""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config

from hack.bench.fleet import keys, name_of
from hack.bench.table import Table, publish
from hack.cluster import Cluster
from kcloud_autoscale.act.execute import execute
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import Rest
from kcloud_autoscale.act.scale import ScaleWriter
from kcloud_autoscale.domain.decision import ScaleAction, ScaleResult
from kcloud_autoscale.domain.observation import Observation, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import DemandSource, FleetPolicy, RatePolicy, ScalingRules, WorkloadPolicy
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.tick import FleetState, note_writes, tick

NAMESPACE = "ai"
HEAD = ("writes a second", "workloads", "first write p50", "p99", "last", "bar", "met", "a second before all firsts")
# 10 load per second and replica at a target of 70 %: 100 ask for 15, of which 4 may come in a cycle.
BEFORE, AFTER, CAPACITY = 5.0, 100.0, 10.0
MORE_A_CYCLE = 4


@dataclass
class Step:
    """What happened since the load rose.

    Attributes:
        first_seconds: From the first decision to the first write, by workload.
        order: Who was written, one after the other; empty where a write was not made.
    """

    first_seconds: dict[str, float] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def seconds_too_early(self) -> int:
        """Writes that were a workload's second while others waited for their first."""
        seen: set[str] = set()
        early = 0
        written = [name for name in self.order if name]
        everybody = len(set(written))
        for name in written:
            early += name in seen and len(seen) < everybody
            seen.add(name)
        return early


def add_parser(subparsers: object) -> ArgumentParser:
    """Declare the bench."""
    parser: ArgumentParser = subparsers.add_parser("writes", help=__doc__)  # type: ignore[attr-defined]
    parser.add_argument("--workloads", type=int, default=1_000)
    parser.add_argument("--cycle-seconds", type=float, default=15.0)
    parser.add_argument("--qps", type=float, default=20.0, help="as in WRITE_QPS")
    parser.set_defaults(run=run)
    return parser


def run(args: Namespace) -> int:
    """Print the table; 1 when the bar is missed."""
    with Cluster.start(nodes=[]) as cluster:
        create(cluster, args.workloads)
        step = asyncio.run(load_step(cluster.kubeconfig, args.workloads, args.cycle_seconds, args.qps))
    p50, p99, last = np.quantile(list(step.first_seconds.values()), [0.5, 0.99, 1.0])
    bar = 1.1 * args.workloads / args.qps
    met = p99 <= bar and len(step.first_seconds) == args.workloads and not step.seconds_too_early()
    row = [f"{args.qps:g}", str(args.workloads), f"{p50:.1f} s", f"{p99:.1f} s", f"{last:.1f} s", f"{bar:.1f} s"]
    row += ["yes" if met else "no", str(step.seconds_too_early())]
    notes = [f"A cycle of {args.cycle_seconds:g} s; the bar is 1.1 times workloads over writes a second."]
    publish("bench-writes", [Table("A step of everybody's load", HEAD, [tuple(row)])], notes)
    return 0 if met else 1


def create(cluster: Cluster, workloads: int) -> None:
    """The Deployments, 200 at a time."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    for start in range(0, workloads, 200):
        cluster.kubectl.apply(_deployment(name_of(index)) for index in range(start, min(start + 200, workloads)))


async def load_step(kubeconfig: Path, workloads: int, cycle_seconds: float, qps: float) -> Step:
    """Cycles from the rise of the load until every workload has what it needs.

    Args:
        kubeconfig: Of the cluster that has the Deployments.
        workloads: How many.
        cycle_seconds: From the start of one cycle to the next.
        qps: The budget of writes.
    """
    configuration = Configuration()
    await load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client:
        fleet = _Fleet(Rest(client), TokenBucket(qps), workloads, cycle_seconds)
        statuses = asyncio.create_task(fleet.tell())
        try:
            await fleet.cycle(BEFORE)
            return await fleet.rise(cycle_seconds)
        finally:
            statuses.cancel()


class _Fleet:
    def __init__(self, rest: Rest, bucket: TokenBucket, workloads: int, cycle_seconds: float) -> None:
        self._rest, self._bucket = rest, bucket
        self._writer = ScaleWriter(rest, bucket, lambda: True)
        self._policy = FleetPolicy(
            {key: _policy(key, cycle_seconds) for key in keys(workloads)}, cycle_seconds=cycle_seconds
        )
        self._state = FleetState(LiveForecaster())
        self._step = Step()
        self._began = 0.0

    async def tell(self) -> None:
        """Statuses without end, as in a storm: what scaling leaves them of the budget is taken."""
        while True:
            await self._bucket.take()

    async def rise(self, cycle_seconds: float) -> Step:
        """The load rises; cycles until nothing is left to write."""
        self._step, self._began = Step(), time.monotonic()
        while True:
            started = time.monotonic()
            if not await self.cycle(AFTER):
                return self._step
            await asyncio.sleep(max(0.0, started + cycle_seconds - time.monotonic()))

    async def cycle(self, load: float) -> Sequence[ScaleResult]:
        """One cycle of the operator, with the load given."""
        started, now_seconds = time.monotonic(), time.time()
        ticked = await asyncio.to_thread(
            tick, await self._seen(load, now_seconds), self._policy, self._state, now_seconds
        )
        self._state, actions = ticked.state, ticked.fleet.actions
        self._writer.expect(len(actions))
        cycle_seconds = self._policy.cycle_seconds
        results = await execute(
            actions, self._write, max(0.5 * cycle_seconds, started + cycle_seconds - time.monotonic())
        )
        self._writer.expect(sum(not result.outcome.tried for result in results))
        note_writes(self._state, results, now_seconds)
        return results

    async def _write(self, action: ScaleAction, until_seconds: float) -> ScaleResult:
        # Eight are under way at once: whose turn came first counts, not whose answer.
        place = len(self._step.order)
        self._step.order.append(action.key.name)
        result = await self._writer.write(action, until_seconds)
        if not result.written:
            self._step.order[place] = ""
        else:
            self._step.first_seconds.setdefault(action.key.name, time.monotonic() - self._began)
        return result

    async def _seen(self, load: float, now_seconds: float) -> Observation:
        listed = await self._rest.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
        seen = {}
        for item in listed["items"]:
            meta, key = item["metadata"], WorkloadKey(NAMESPACE, item["metadata"]["name"])
            target = TargetRef("apps/v1", "Deployment", key.name)
            found = TargetObservation(target, meta["uid"], meta["resourceVersion"], item["spec"].get("replicas", 0))
            seen[key] = WorkloadObservation(key, found, demand=Sample(load, now_seconds))
        return Observation(now_seconds, seen)


def _policy(key: WorkloadKey, cycle_seconds: float) -> WorkloadPolicy:
    return WorkloadPolicy(
        key,
        uid=f"uid-{key.name}",
        target=TargetRef("apps/v1", "Deployment", key.name),
        max_replicas=20,
        demand=DemandSource("vllm"),
        capacity_per_replica=CAPACITY,
        scale_up=ScalingRules(0.0, (RatePolicy(cycle_seconds, pods=MORE_A_CYCLE),)),
    )


def _deployment(name: str) -> dict[str, object]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "paused": True,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "none"}]}},
        },
    }
