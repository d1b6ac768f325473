"""What the exporter must know of the cluster, kept current by watches: the pods of its Deployments, and the nodes."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from kubernetes.aio import client, config

from hack.load.live import Pod
from hack.load.service import Device, Node

_log = logging.getLogger(__name__)

_LIST_TIMEOUT_SECONDS = 10.0
_WATCH_SECONDS = 290  # the server ends the watch; a little more is the client's own limit
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.25, 10.0
_SPOT_PRICE_FRACTION = 0.4

Json = dict[str, Any]


class GoneError(Exception):
    """The API server refused a list or a watch, or ended it with an error: list again."""


class Mirror:
    """Objects of one list call, by name, as of the last event. Lists, watches, and begins again when the watch breaks.

    Waits between attempts double from 0.25 s to 10 s and start over with the first list that succeeds. While the
    API server is away the objects stay as they were last seen: a serving pod does not stop because the API does.
    """

    def __init__(self, request: Callable[..., Awaitable[Any]]) -> None:
        self._request = request
        self.objects: dict[str, Json] = {}
        self.filled = asyncio.Event()
        self.broken_count = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            try:
                version = await self.list_once()
                wait_seconds = _FIRST_WAIT_SECONDS
                await self._follow(version)
                await asyncio.sleep(_FIRST_WAIT_SECONDS)  # a server that ends every watch at once is not to be hammered
            except (aiohttp.ClientError, TimeoutError, GoneError, OSError, ValueError) as error:
                self.broken_count += 1
                _log.warning("watch broken, again in %.1f s: %s", wait_seconds, error or type(error).__name__)
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)

    async def list_once(self) -> str:
        """See everything there is now; returns the version to watch from."""
        answer = await self._ask(_request_timeout=_LIST_TIMEOUT_SECONDS)
        listed = json.loads(await answer.read())
        self.objects = {item["metadata"]["name"]: item for item in listed.get("items") or []}
        self.filled.set()
        return str(listed["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> None:
        answer = await self._ask(
            watch=True,
            resource_version=version,
            timeout_seconds=_WATCH_SECONDS,
            _request_timeout=_WATCH_SECONDS + 15,
        )
        try:
            async for line in answer.content:
                self._note(json.loads(line))
        finally:
            answer.close()

    def _note(self, event: Json) -> None:
        changed = event["object"]
        if event["type"] == "ERROR":
            raise GoneError(changed.get("message", "watch ended with an error"))
        name = changed["metadata"]["name"]
        if event["type"] == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = changed

    async def _ask(self, **arguments: Any) -> aiohttp.ClientResponse:
        answer: aiohttp.ClientResponse = await self._request(**arguments)
        if answer.status != 200:
            text = (await answer.text())[:200]
            answer.close()
            raise GoneError(f"{answer.status}: {text}")
        return answer


async def connect(kubeconfig: str) -> client.ApiClient:
    """A client of the cluster of a kubeconfig; the caller closes it."""
    connected: client.ApiClient = await config.new_client_from_config(kubeconfig)  # type: ignore[no-untyped-call]
    return connected


async def close(api_client: client.ApiClient) -> None:
    await api_client.close()  # type: ignore[no-untyped-call]


async def ready_pods(kubeconfig: str, namespace: str, deployment: str) -> list[Pod]:
    """The ready pods of a Deployment at this moment, in order of name."""
    api_client = await connect(kubeconfig)
    try:
        mirror = await mirror_pods(api_client, namespace, deployment)
        await mirror.list_once()
    finally:
        await close(api_client)
    pods = (pod_of(raw) for _, raw in sorted(mirror.objects.items()))
    return [pod for pod in pods if pod and pod.is_ready]


def mirror_nodes(api_client: client.ApiClient) -> Mirror:
    core = client.CoreV1Api(api_client)
    return Mirror(core.list_node_without_preload_content)


async def mirror_pods(api_client: client.ApiClient, namespace: str, deployment: str) -> Mirror:
    """A mirror of the pods the Deployment selects.

    Raises:
        kubernetes.aio.client.ApiException: there is no such Deployment, or it may not be read.
    """
    found = await client.AppsV1Api(api_client).read_namespaced_deployment(
        deployment, namespace, _request_timeout=_LIST_TIMEOUT_SECONDS
    )
    labels = found.spec.selector.match_labels or {}
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    core = client.CoreV1Api(api_client)

    async def pods(**arguments: Any) -> Any:
        return await core.list_namespaced_pod_without_preload_content(namespace, label_selector=selector, **arguments)

    return Mirror(pods)


def pod_of(raw: Json) -> Pod | None:
    """What matters of a Pod; None for one that has ended. A pod being deleted serves no more but holds its device."""
    status = raw.get("status", {})
    if status.get("phase") in {"Succeeded", "Failed"}:
        return None
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or []}
    is_ready = conditions.get("Ready") == "True" and "deletionTimestamp" not in raw["metadata"]
    return Pod(name=raw["metadata"]["name"], node=raw.get("spec", {}).get("nodeName", ""), is_ready=is_ready)


def node_of(raw: Json, device: Device) -> Node:
    """The bill of a Node object: its accelerators at the device's price, host included; spot at two fifths of it."""
    labels = raw["metadata"].get("labels") or {}
    capacity = raw.get("status", {}).get("capacity") or {}
    is_spot = labels.get("karpenter.sh/capacity-type") == "spot"
    return Node(
        name=raw["metadata"]["name"],
        instance_type=labels.get("node.kubernetes.io/instance-type", "unknown"),
        region=labels.get("topology.kubernetes.io/region", "unknown"),
        gpus=int(capacity.get("nvidia.com/gpu", 0)),
        gpu_usd_per_hour=device.usd_per_hour * (_SPOT_PRICE_FRACTION if is_spot else 1.0),
        is_spot=is_spot,
    )
