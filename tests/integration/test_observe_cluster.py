"""Watches, targets and pods on a real API server: what is there, what is not, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient

from hack.cluster import Cluster
from kcloud_autoscale.domain.observation import ClaimedDevice, TargetObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.informer import Informer
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.reader import Reader
from kcloud_autoscale.observe.targets import Target, Targets
from tests.integration.manifests import deployment, hpa_on_external_metric

pytestmark = pytest.mark.integration

Value = TypeVar("Value")


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[ApiClient]:
    async with await connect(cluster) as client:
        yield client


@pytest.fixture
async def informers(client: ApiClient, namespace: str) -> AsyncIterator[Informers]:
    watching = Informers(client, (namespace,))
    watching.start()
    assert await watching.wait_synced(15.0)
    yield watching
    await watching.stop()


async def connect(cluster: Cluster) -> ApiClient:
    return await config.new_client_from_config(str(cluster.kubeconfig))


async def eventually(
    read: Callable[[], Awaitable[Value]], holds: Callable[[Value], bool], timeout_seconds: float = 20.0
) -> Value:
    deadline = time.monotonic() + timeout_seconds
    while not holds(value := await read()):
        assert time.monotonic() < deadline, f"still {value!r} after {timeout_seconds:g} s"
        await asyncio.sleep(0.1)
    return value


def policy(namespace: str, name: str, target: TargetRef | None = None) -> WorkloadPolicy:
    return WorkloadPolicy(WorkloadKey(namespace, name), target=target, max_replicas=10)


async def find(targets: Targets, each: WorkloadPolicy) -> Target:
    return (await targets.find({each.key: each}))[each.key]


async def kubectl(cluster: Cluster, *words: str) -> str:
    return await asyncio.to_thread(cluster.kubectl, *words)


def seen(target: Target) -> TargetObservation:
    assert isinstance(target.seen, TargetObservation), target.seen
    return target.seen


async def test_a_deployment_is_found_by_name_with_its_pods(
    cluster: Cluster, namespace: str, informers: Informers
) -> None:
    cluster.kubectl.apply([deployment(namespace, "llm", 2, "1s", gpus=2), deployment(namespace, "other", 1, "0s")])
    targets = Targets(informers)
    found = await eventually(lambda: find(targets, policy(namespace, "llm")), lambda t: has_ready(t, 2))
    scale = cluster.kubectl.get("deployment", "llm", "-n", namespace)

    assert seen(found).ref == TargetRef("apps/v1", "Deployment", "llm")
    assert seen(found).uid == scale["metadata"]["uid"]
    assert seen(found).desired_replicas == 2
    assert [pod.requests.accelerators for pod in found.pods] == [(("nvidia.com/gpu", 2),)] * 2
    assert all(pod.seen.node in informers.nodes() for pod in found.pods)
    again = await find(targets, policy(namespace, "llm"))
    assert seen(again).pods is seen(found).pods  # nothing happened: the very same tuple


async def test_devices_of_a_resource_claim_are_found_through_the_slices_of_their_driver(
    cluster: Cluster, namespace: str, informers: Informers
) -> None:
    pool = f"pool-{namespace}"
    attributes = {"productName": {"string": "NVIDIA H100 80GB HBM3"}, "type": {"string": "gpu"}}
    cluster.kubectl.apply(
        [
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": pool},
                "spec": {
                    "driver": "gpu.nvidia.com",
                    "nodeName": "nowhere",
                    "pool": {"name": pool, "generation": 1, "resourceSliceCount": 1},
                    "devices": [{"name": "gpu-0", "attributes": attributes}],
                },
            },
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": "one-gpu", "namespace": namespace},
                "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}},
            },
        ]
    )

    async def claimed() -> object:
        return informers.claimed(namespace, ("one-gpu",))

    waiting = await eventually(claimed, lambda got: isinstance(got, Missing) and "no devices yet" in got.message)
    assert waiting == Missing(MissingReason.NO_DATA, "ResourceClaim one-gpu has no devices yet")
    result = {"request": "gpu", "driver": "gpu.nvidia.com", "pool": pool, "device": "gpu-0"}
    status = json.dumps({"status": {"allocation": {"devices": {"results": [result]}}}})
    words = ("patch", "resourceclaim", "one-gpu", "-n", namespace, "--subresource=status", "--type=merge", "-p", status)
    await kubectl(cluster, *words)
    got = await eventually(claimed, lambda got: isinstance(got, tuple))
    assert got == (ClaimedDevice("gpu.nvidia.com", "NVIDIA H100 80GB HBM3", 1.0, "gpu"),)


async def test_the_version_seen_is_accepted_by_the_scale_subresource(
    cluster: Cluster, namespace: str, informers: Informers
) -> None:
    cluster.kubectl.apply([deployment(namespace, "llm", 1, "0s")])
    targets = Targets(informers)
    await eventually(lambda: find(targets, policy(namespace, "llm")), lambda t: has_ready(t, 1))

    def up_to_date(target: Target) -> bool:
        live = cluster.kubectl.get("deployment", "llm", "-n", namespace)["metadata"]["resourceVersion"]
        return seen(target).resource_version == str(live)

    found = await eventually(lambda: find(targets, policy(namespace, "llm")), up_to_date)
    version = seen(found).resource_version
    words = ("scale", "deployment/llm", "-n", namespace, "--replicas=3", f"--resource-version={version}")
    assert "scaled" in await kubectl(cluster, *words)
    after = await eventually(lambda: find(targets, policy(namespace, "llm")), lambda t: seen(t).desired_replicas == 3)
    assert seen(after).resource_version != version


async def test_without_a_deployment_the_owner_of_labelled_pods_is_the_target(
    cluster: Cluster, namespace: str, informers: Informers
) -> None:
    manifest = deployment(namespace, "llm-server", 1, "0s")
    manifest["spec"]["template"]["metadata"]["labels"]["kcloud.io/workload-optimizer"] = "chat"
    cluster.kubectl.apply([manifest])

    found = await eventually(lambda: find(Targets(informers), policy(namespace, "chat")), lambda t: has_ready(t, 1))

    assert seen(found).ref == TargetRef("apps/v1", "Deployment", "llm-server")


async def test_a_hpa_on_the_same_target_is_a_conflict_and_on_another_is_none(
    cluster: Cluster, namespace: str, informers: Informers
) -> None:
    cluster.kubectl.apply([deployment(namespace, name, 1, "0s") for name in ("llm", "free")])
    cluster.kubectl.apply([hpa_on_external_metric(namespace, "llm", "queue", "10", 5)])
    targets = Targets(informers)

    taken = await eventually(lambda: find(targets, policy(namespace, "llm")), lambda t: t.conflict is not None)
    assert taken.conflict == "HorizontalPodAutoscaler llm"
    assert (await find(targets, policy(namespace, "free"))).conflict is None

    await kubectl(cluster, "delete", "hpa", "llm", "-n", namespace)
    await eventually(lambda: find(targets, policy(namespace, "llm")), lambda t: t.conflict is None)


async def test_what_cannot_be_found_says_so_and_leaves_the_rest_alone(
    cluster: Cluster, namespace: str, informers: Informers
) -> None:
    cluster.kubectl.apply([deployment(namespace, "llm", 1, "0s")])
    named = {
        "nothing": None,
        "gone": TargetRef("apps/v1", "Deployment", "gone"),
        "node-agent": TargetRef("apps/v1", "DaemonSet", "node-agent"),
        "unknown-kind": TargetRef("apps/v1", "Balloon", "red"),
        "unknown-group": TargetRef("balloons.io/v1", "Balloon", "red"),
        "no-such-set": TargetRef("apps/v1", "ReplicaSet", "no-such-set"),
        "llm": None,
    }
    policies = {each.key: each for each in (policy(namespace, name, ref) for name, ref in named.items())}
    targets = Targets(informers)

    found = await eventually(
        lambda: targets.find(policies), lambda all_: has_ready(all_[WorkloadKey(namespace, "llm")], 1)
    )

    def missing(name: str) -> tuple[MissingReason, str]:
        each = found[WorkloadKey(namespace, name)].seen
        assert isinstance(each, Missing)
        return each.reason, each.message

    assert missing("nothing") == (
        MissingReason.NO_DATA,
        f"no Deployment or StatefulSet {namespace}/nothing and no pod labelled kcloud.io/workload-optimizer=nothing; "
        "set spec.targetRef",
    )
    assert missing("gone") == (MissingReason.NO_DATA, f"Deployment {namespace}/gone not found")
    assert missing("node-agent") == (MissingReason.NOT_CONFIGURED, "apps/v1 DaemonSet has no scale subresource")
    assert missing("unknown-kind") == (MissingReason.NOT_CONFIGURED, "apps/v1 Balloon does not exist")
    assert missing("unknown-group") == (MissingReason.NOT_CONFIGURED, "the API server has no balloons.io/v1")
    assert missing("no-such-set") == (MissingReason.NO_DATA, f"ReplicaSet {namespace}/no-such-set not found")


async def test_a_namespace_that_is_not_watched_is_named(informers: Informers) -> None:
    found = await find(Targets(informers), policy("elsewhere", "llm"))

    assert found.seen == Missing(MissingReason.SOURCE_ERROR, "namespace elsewhere is not watched (WATCH_NAMESPACE)")


async def test_a_custom_kind_with_a_scale_is_read_each_time_and_one_without_is_refused(
    cluster: Cluster, namespace: str, informers: Informers
) -> None:
    group = f"{namespace}.example.com"
    cluster.kubectl.apply([crd(group, "Engine", scale=True), crd(group, "Rigid", scale=False)])
    await asyncio.to_thread(cluster.kubectl.wait_established, f"crd/engines.{group}", f"crd/rigids.{group}")
    cluster.kubectl.apply([custom(group, "Engine", namespace, 3), custom(group, "Rigid", namespace, 3)])
    targets = Targets(informers)

    engine = policy(namespace, "llm", TargetRef(f"{group}/v1", "Engine", "llm"))
    found = await eventually(lambda: find(targets, engine), lambda t: isinstance(t.seen, TargetObservation))
    assert seen(found).desired_replicas == 3
    await kubectl(cluster, "scale", f"engines.{group}/llm", "-n", namespace, "--replicas=5")
    assert seen(await find(targets, engine)).desired_replicas == 5

    rigid = await find(targets, policy(namespace, "llm", TargetRef(f"{group}/v1", "Rigid", "llm")))
    assert rigid.seen == Missing(MissingReason.NOT_CONFIGURED, f"{group}/v1 Rigid has no scale subresource")
    await kubectl(cluster, "delete", f"crd/engines.{group}", f"crd/rigids.{group}", "--wait=false")


async def test_keda_is_noticed_once_it_is_there(
    cluster: Cluster, namespace: str, client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcloud_autoscale.observe.informer.ABSENT_PAUSE_SECONDS", 0.5)
    watching = Informers(client, (namespace,))
    watching.start()
    assert await watching.wait_synced(15.0)  # a kind that is not installed holds nothing up
    assert "scaledobjects" not in "".join(watching.problems())
    cluster.kubectl.apply([deployment(namespace, "llm", 1, "0s"), crd("keda.sh", "ScaledObject", False, "v1alpha1")])
    await asyncio.to_thread(cluster.kubectl.wait_established, "crd/scaledobjects.keda.sh")
    scaled = custom("keda.sh", "ScaledObject", namespace, 1, "v1alpha1")
    scaled["spec"] = {"scaleTargetRef": {"name": "llm"}}
    cluster.kubectl.apply([scaled])

    found = await eventually(
        lambda: find(Targets(watching), policy(namespace, "llm")), lambda t: t.conflict is not None
    )

    assert found.conflict == "ScaledObject llm"
    await watching.stop()
    await kubectl(cluster, "delete", "crd/scaledobjects.keda.sh", "--wait=false")


async def test_a_watch_without_rights_is_a_problem_that_names_the_path(cluster: Cluster, namespace: str) -> None:
    await kubectl(cluster, "create", "serviceaccount", "nobody", "-n", namespace)
    kubeconfig = await asyncio.to_thread(cluster.kubeconfig_for, namespace, "nobody")
    async with await config.new_client_from_config(str(kubeconfig)) as client:
        watching = Informers(client, (namespace,))
        watching.start()
        assert not await watching.wait_synced(1.0)
        problems = "\n".join(watching.problems())
        await watching.stop()
    assert f"/api/v1/namespaces/{namespace}/pods: HTTP 403" in problems
    assert "/api/v1/nodes: HTTP 403" in problems


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """One whose API server may be stopped."""
    with Cluster.start() as started:
        yield started


async def test_it_outlives_the_api_server_and_catches_up_by_itself(own_cluster: Cluster) -> None:
    own_cluster.kubectl.apply([deployment("default", "llm", 1, "0s"), deployment("default", "gone", 1, "0s")])
    async with await connect(own_cluster) as client:
        watching = Informers(client)
        watching.start()
        assert await watching.wait_synced(15.0)
        targets = Targets(watching)
        await eventually(
            lambda: find(targets, policy("default", "llm")), lambda t: isinstance(t.seen, TargetObservation)
        )

        await asyncio.to_thread(own_cluster.stop_part, "kube-apiserver", kill=True)
        await eventually(problems_of(watching), lambda found: "/api/v1/pods" in "\n".join(found), 30.0)
        assert seen(await find(targets, policy("default", "llm"))).desired_replicas == 1  # as last known
        idle = watching.idle_seconds()
        await asyncio.sleep(0.5)
        assert watching.idle_seconds() >= idle + 0.4

        await asyncio.to_thread(own_cluster.start_part, "kube-apiserver")
        await kubectl(own_cluster, "scale", "deployment/llm", "--replicas=2")
        await kubectl(own_cluster, "delete", "deployment/gone")
        await eventually(lambda: find(targets, policy("default", "llm")), lambda t: seen(t).desired_replicas == 2, 60.0)
        await eventually(lambda: find(targets, policy("default", "gone")), lambda t: isinstance(t.seen, Missing), 60.0)
        await eventually(problems_of(watching), lambda found: found == (), 60.0)
        await watching.stop()


async def test_a_list_of_many_pages_is_read_whole(cluster: Cluster, namespace: str, client: ApiClient) -> None:
    cluster.kubectl.apply(
        [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"each-{i}", "namespace": namespace}}
            for i in range(30)
        ]
    )
    informer: Informer[Any] = Informer(
        Reader(client), f"/api/v1/namespaces/{namespace}/configmaps", lambda item: item["metadata"]["name"]
    )
    informer.page = 7
    task = asyncio.create_task(informer.run())
    await asyncio.wait_for(informer.listed.wait(), 10.0)
    task.cancel()
    assert {f"each-{i}" for i in range(30)} <= set(informer.objects.values())


def problems_of(informers: Informers) -> Callable[[], Awaitable[tuple[str, ...]]]:
    async def read() -> tuple[str, ...]:
        return informers.problems()

    return read


def has_ready(target: Target, count: int) -> bool:
    return isinstance(target.seen, TargetObservation) and target.seen.ready_replicas == count


def crd(group: str, kind: str, scale: bool, version: str = "v1") -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    "subresources": {"scale": paths} if scale else {"status": {}},
                }
            ],
        },
    }


def custom(group: str, kind: str, namespace: str, replicas: int, version: str = "v1") -> dict[str, Any]:
    return {
        "apiVersion": f"{group}/{version}",
        "kind": kind,
        "metadata": {"name": "llm", "namespace": namespace},
        "spec": {"replicas": replicas},
    }
