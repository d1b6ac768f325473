"""Writes against a real API server: what a conflict, a quota of rights, a dry run and an expired Event really are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config

from hack.chart import release
from hack.cluster import Cluster
from kcloud_autoscale.act.events import Event, EventWriter, ObjectRef
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import RequestError, Rest
from kcloud_autoscale.act.scale import ScaleWriter
from kcloud_autoscale.act.status_writer import StatusWriter
from kcloud_autoscale.domain.decision import ScaleAction, ScaleOutcome
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.operator.leader import LeaderElection
from tests.e2e.world import optimizer
from tests.integration.manifests import deployment

pytestmark = pytest.mark.integration


@pytest.fixture
async def rest(cluster: Cluster) -> AsyncIterator[Rest]:
    """Under the operator's own ServiceAccount and roles."""
    configuration = Configuration()
    await load_kube_config(config_file=str(release.install(cluster)), client_configuration=configuration)
    async with ApiClient(configuration) as client:
        yield Rest(client)


def writer(rest: Rest, dry_run: bool = False) -> ScaleWriter:
    return ScaleWriter(rest, TokenBucket(), lambda: True, dry_run)


def action(cluster: Cluster, namespace: str, wanted: int, **changes: Any) -> ScaleAction:
    found = cluster.kubectl.get("deployment", "llm", "-n", namespace)
    values: dict[str, Any] = {
        "key": WorkloadKey(namespace, "llm"),
        "decision_id": "d",
        "target": TargetRef("apps/v1", "Deployment", "llm"),
        "target_uid": found["metadata"]["uid"],
        "resource_version": found["metadata"]["resourceVersion"],
        "from_replicas": found["spec"]["replicas"],
        "to_replicas": wanted,
        "min_replicas": 1,
        "max_replicas": 5,
        "reason": "Test",
    }
    return ScaleAction(**{**values, **changes})


def at_rest(cluster: Cluster, namespace: str) -> None:
    """Two replicas that are ready: while they start, the status of the Deployment moves its version under a write."""
    cluster.kubectl.apply([deployment(namespace, "llm", 2, "0s", gpus=0)])
    cluster.kubectl("rollout", "status", "deployment/llm", "-n", namespace, "--timeout=60s")


def replicas(cluster: Cluster, namespace: str) -> int:
    return int(cluster.kubectl.get("deployment", "llm", "-n", namespace)["spec"]["replicas"])


async def test_writes_the_scale_and_nothing_else(cluster: Cluster, namespace: str, rest: Rest):
    at_rest(cluster, namespace)
    before = cluster.kubectl.get("deployment", "llm", "-n", namespace)
    result = await writer(rest).write(action(cluster, namespace, 4))
    assert (result.outcome, result.replicas) == (ScaleOutcome.WRITTEN, 4)
    after = cluster.kubectl.get("deployment", "llm", "-n", namespace)
    assert after["spec"] == {**before["spec"], "replicas": 4}
    ours = {"kubectl.kubernetes.io", "kcloud.io"}
    assert not [key for key in after["metadata"].get("annotations", {}) if key.split("/")[0] in ours]


async def test_a_dry_run_is_checked_and_not_kept(cluster: Cluster, namespace: str, rest: Rest):
    at_rest(cluster, namespace)
    result = await writer(rest, dry_run=True).write(action(cluster, namespace, 4))
    assert result.outcome is ScaleOutcome.DRY_RUN
    assert replicas(cluster, namespace) == 2


async def test_somebody_elses_change_wins(cluster: Cluster, namespace: str, rest: Rest):
    cluster.kubectl.apply([deployment(namespace, "llm", 2, "0s", gpus=0)])
    decided = action(cluster, namespace, 5)
    cluster.kubectl("scale", "deployment", "llm", "--replicas=3", "-n", namespace)
    assert (await writer(rest).write(decided)).outcome is ScaleOutcome.STALE
    assert replicas(cluster, namespace) == 3


async def test_a_change_between_our_look_and_our_write_is_a_conflict(cluster: Cluster, namespace: str, rest: Rest):
    cluster.kubectl.apply([deployment(namespace, "llm", 2, "0s", gpus=0)])
    decided = action(cluster, namespace, 5)
    get = rest.get

    async def look_then_lose(path: str, query: Any = ()) -> dict[str, Any]:
        answer = await get(path, query)
        if path.endswith("/scale"):
            await asyncio.to_thread(cluster.kubectl, "scale", "deployment", "llm", "--replicas=3", "-n", namespace)
        return answer

    rest.get = look_then_lose  # type: ignore[method-assign]
    assert (await writer(rest).write(decided)).outcome is ScaleOutcome.STALE
    assert replicas(cluster, namespace) == 3


async def test_the_successor_of_a_target_is_another_target(cluster: Cluster, namespace: str, rest: Rest):
    cluster.kubectl.apply([deployment(namespace, "llm", 2, "0s", gpus=0)])
    decided = action(cluster, namespace, 5)
    cluster.kubectl("delete", "deployment", "llm", "-n", namespace)
    assert (await writer(rest).write(decided)).outcome is ScaleOutcome.GONE
    cluster.kubectl.apply([deployment(namespace, "llm", 2, "0s", gpus=0)])
    assert (await writer(rest).write(decided)).outcome is ScaleOutcome.STALE
    assert replicas(cluster, namespace) == 2


async def test_a_right_that_is_missing_is_a_refusal_in_words(cluster: Cluster, namespace: str, rest: Rest):
    controller = {"metadata": {"name": "llm", "namespace": namespace}, "spec": {"replicas": 1}}
    controller |= {"apiVersion": "v1", "kind": "ReplicationController"}
    controller["spec"] |= {"selector": {"a": "b"}, "template": _template()}
    cluster.kubectl.apply([deployment(namespace, "llm", 2, "0s", gpus=0), controller])
    target = TargetRef("v1", "ReplicationController", "llm")
    result = await writer(rest).write(action(cluster, namespace, 2, target=target))
    assert result.outcome is ScaleOutcome.REFUSED
    assert "forbidden" in result.message


def _template() -> dict[str, Any]:
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


async def test_a_status_is_patched_where_it_differs(cluster: Cluster, namespace: str, rest: Rest):
    cluster.kubectl.apply([optimizer(namespace, "llm")])

    def known(_: ObjectRef) -> dict[str, Any]:
        return cluster.kubectl.get("workloadoptimizer", "llm", "-n", namespace)

    body = known(None)  # type: ignore[arg-type]
    ref = ObjectRef(body["apiVersion"], body["kind"], namespace, "llm", body["metadata"]["uid"])
    statuses = StatusWriter(rest, TokenBucket(), known, lambda ref, answer: None)
    await statuses.write(ref, {"replicas": 2, "desiredReplicas": 3})
    await statuses.write(ref, {"desiredReplicas": 4})
    assert known(ref)["status"] == {"desiredReplicas": 4}
    assert known(ref)["metadata"]["generation"] == body["metadata"]["generation"]


async def test_a_status_that_the_server_refuses_is_written_without_what_it_objects_to(
    cluster: Cluster, namespace: str, rest: Rest
):
    cluster.kubectl.apply([optimizer(namespace, "llm")])
    found = cluster.kubectl.get("workloadoptimizer", "llm", "-n", namespace)
    ref = ObjectRef("kcloud.io/v1alpha1", "WorkloadOptimizer", namespace, "llm", found["metadata"]["uid"])
    known, told = {"now": found}, []
    statuses = StatusWriter(
        rest, TokenBucket(), lambda _: known["now"], lambda ref, answer: known.update(now=answer),
        refused=lambda ref, why: told.append(why),
    )  # fmt: skip
    broken = {"desiredReplicas": 3, "conditions": [], "savings": {"usd": "much"}, "currentCost": float("inf")}
    await statuses.write(ref, broken)
    status = cluster.kubectl.get("workloadoptimizer", "llm", "-n", namespace)["status"]
    assert status["desiredReplicas"] == 3
    assert "savings" not in status
    assert status["conditions"][0]["type"] == "StatusWritten"
    assert "status.savings.usd" in status["conditions"][0]["message"]
    assert len(told) == 1


async def test_a_status_never_reaches_the_successor_of_its_object(cluster: Cluster, namespace: str, rest: Rest):
    cluster.kubectl.apply([optimizer(namespace, "llm")])
    old = cluster.kubectl.get("workloadoptimizer", "llm", "-n", namespace)
    ref = ObjectRef(old["apiVersion"], old["kind"], namespace, "llm", old["metadata"]["uid"])
    cluster.kubectl("delete", "workloadoptimizer", "llm", "-n", namespace)
    cluster.kubectl.apply([optimizer(namespace, "llm")])
    statuses = StatusWriter(rest, TokenBucket(), lambda _: old, lambda ref, answer: None)  # the watch lags behind
    with pytest.raises(RequestError) as caught:
        await statuses.write(ref, {"desiredReplicas": 9})
    assert caught.value.status == 409
    assert "status" not in cluster.kubectl.get("workloadoptimizer", "llm", "-n", namespace)


async def test_kubectl_describe_shows_events_and_their_series(cluster: Cluster, namespace: str, rest: Rest):
    cluster.kubectl.apply([optimizer(namespace, "llm")])
    body = cluster.kubectl.get("workloadoptimizer", "llm", "-n", namespace)
    ref = ObjectRef(body["apiVersion"], body["kind"], namespace, "llm", body["metadata"]["uid"])
    now = [time.time()]
    events = EventWriter(rest, TokenBucket(), "kcloud-autoscale", "pod-0", lambda: now[0])
    task = asyncio.create_task(events.run())
    events.post(Event(ref, "ScaledUp", "2 -> 3 (decision d1)", "Scale"))
    events.post(Event(ref, "Conflict", "HPA llm", warning=True, lasting=True))
    await events.flush()
    now[0] += 601.0
    events.post(Event(ref, "Conflict", "HPA llm", warning=True, lasting=True))
    await events.flush()
    task.cancel()
    described = cluster.kubectl("describe", "workloadoptimizer", "llm", "-n", namespace)
    assert "2 -> 3 (decision d1)" in described
    listed = cluster.kubectl.get("events.events.k8s.io", "-n", namespace)["items"]
    series = [event["series"]["count"] for event in listed if event["reason"] == "Conflict"]
    assert series == [2]


async def test_a_lease_is_taken_renewed_and_released_under_the_roles_shipped(cluster: Cluster, rest: Rest):
    first = LeaderElection(rest, release.NAMESPACE, release.NAME, "first")
    second = LeaderElection(rest, release.NAMESPACE, release.NAME, "second")
    await first.attempt()
    if not first.is_leader():  # a test before this one was killed as the leader
        cluster.kubectl("delete", "lease", release.NAME, "-n", release.NAMESPACE)
        await first.attempt()
    await first.attempt()
    await second.attempt()
    assert (first.is_leader(), second.is_leader()) == (True, False)
    await first.release()
    await second.attempt()
    assert second.is_leader()
    await second.release()
