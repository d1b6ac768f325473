"""The real HPA controller, a metrics API that follows the scripts, and the watches that see what came of it."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hack.cluster import Cluster, tool
from hack.cluster.nodes import metrics_api
from kcloud_autoscale.domain.policy import MetricKind, ScalingRules
from tests.integration.conformance.script import Fault, Played, Pose, Scenario, SeenPod, World, settled
from tests.integration.loopback_servers import Answer, json_server
from tests.integration.manifests import STAGE, Manifest
from tests.integration.waiting import eventually

NAMESPACE = "conformance"
SERVICE = "external-metrics"
# So that a millicore and a mebibyte are a per cent.
REQUESTS = {"cpu": "100m", "memory": "100Mi"}
METRICS_APIS = (("metrics.k8s.io", "v1beta1"), ("custom.metrics.k8s.io", "v1beta2"))
TEN_MINUTES = timedelta(minutes=10)
_TYPES = {MetricKind.VALUE: ("Value", "value"), MetricKind.AVERAGE_VALUE: ("AverageValue", "averageValue")}


@dataclass
class LiveWorlds:
    """Deployments and pods of the namespace, as two watches tell them.

    A watch that ends, as a busy API server may end it, begins anew with everything there is.

    Attributes:
        cluster: Where they are.
        counts: Per Deployment, the values that `spec.replicas` took, each with the monotonic time of its news.
    """

    cluster: Cluster
    counts: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    _objects: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _watches: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        for kind, path in (("Deployment", "/apis/apps/v1/{}/deployments"), ("Pod", "/api/v1/{}/pods")):
            raw = f"--raw={path.format(f'namespaces/{NAMESPACE}')}?watch=true"
            threading.Thread(target=self._follow, args=(kind, raw), daemon=True).start()
        yield
        self._ended.set()
        for watch in self._watches.values():
            watch.kill()

    def _follow(self, kind: str, raw: str) -> None:
        command = [str(tool("kubectl")), f"--kubeconfig={self.cluster.kubeconfig}", "get", raw]
        while not self._ended.is_set():
            with self._lock:
                self._objects = {key: each for key, each in self._objects.items() if key[0] != kind}
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
                self._watches[kind] = watch
                assert watch.stdout is not None
                for line in watch.stdout:
                    if line.endswith("\n"):
                        self._note(json.loads(line))

    def _note(self, event: Manifest) -> None:
        seen = event["object"]
        if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
            return
        key = (seen["kind"], seen["metadata"]["name"])
        with self._lock:
            if event["type"] == "DELETED":
                self._objects.pop(key, None)
            else:
                self._objects[key] = seen
            if seen["kind"] == "Deployment":
                counts = self.counts.setdefault(key[1], [])
                if not counts or counts[-1][1] != seen["spec"]["replicas"]:
                    counts.append((time.monotonic(), seen["spec"]["replicas"]))

    def of(self, name: str) -> World:
        with self._lock:
            deployment = self._objects.get(("Deployment", name), {"spec": {"replicas": -1}, "status": {}})
            pods = [
                _seen_pod(pod)
                for (kind, _), pod in self._objects.items()
                if kind == "Pod" and pod["metadata"]["labels"]["app"] == name
            ]
        return World(deployment["spec"]["replicas"], deployment["status"].get("replicas", 0), tuple(pods))


def _seen_pod(pod: Manifest) -> SeenPod:
    status = pod["status"]
    ready = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})
    return SeenPod(
        name=pod["metadata"]["name"],
        phase=status["phase"],
        ready=ready.get("status") == "True",
        deleting="deletionTimestamp" in pod["metadata"],
        started_seconds=_monotonic(status.get("startTime")),
        changed_seconds=_monotonic(ready.get("lastTransitionTime")),
    )


def _monotonic(timestamp: str | None) -> float | None:
    """A time of the API server on the clock that the syncs are timed by."""
    return None if timestamp is None else datetime.fromisoformat(timestamp).timestamp() - time.time() + time.monotonic()


@dataclass
class MetricsApis:
    """`external.metrics.k8s.io`, `metrics.k8s.io` and `custom.metrics.k8s.io`, answered from the scripts.

    An external metric is named `<scenario>-<index>`, a custom one `<scenario>`; pods are asked for by the label of
    their scenario.
    """

    played: dict[str, Played]

    def answer(self, path: str, _body: bytes) -> Answer:
        url = urllib.parse.urlsplit(path)
        group_version = "/".join(url.path.split("/")[2:4])
        if "/namespaces/" not in url.path:
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": []}
        if group_version.startswith("external"):
            return self._external(url.path.rpartition("/")[2])
        selector = urllib.parse.parse_qs(url.query)["labelSelector"][0]
        return self._pods(selector.removeprefix("app="), group_version)

    def _external(self, metric: str) -> Answer:
        name, _, index = metric.rpartition("-")
        played = self.played[name]
        sync = played.begin_sync() if index == "0" else played.syncs[-1]
        value = sync.phase.values[int(index)]
        if value is Fault.ERROR:
            return _refused(f"no value of {metric}")
        items = [] if isinstance(value, Fault) else [_external_item(metric, value)]
        group_version = "external.metrics.k8s.io/v1beta1"
        return {"kind": "ExternalMetricValueList", "apiVersion": group_version, "metadata": {}, "items": items}

    def _pods(self, name: str, group_version: str) -> Answer:
        sync = self.played[name].begin_sync()
        usage = sync.phase.values[0]
        if usage is Fault.ERROR:
            return _refused(f"no metrics of {name}")
        custom = group_version.startswith("custom")
        item, kind = (_custom_item, "MetricValueList") if custom else (_pod_item, "PodMetricsList")
        scenario = self.played[name].scenario
        items = [] if isinstance(usage, Fault) else [item(pod, scenario, usage) for pod in sorted(sync.metered)]
        return {"kind": kind, "apiVersion": group_version, "metadata": {}, "items": items}


def _refused(message: str) -> Answer:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "message": message}


def _external_item(metric: str, value: float) -> Answer:
    quantity = f"{round(value * 1000)}m"
    return {"metricName": metric, "metricLabels": {}, "timestamp": _stamp(), "value": quantity}


def _pod_item(pod: str, scenario: Scenario, percent: float) -> Answer:
    # Not older than the pod's readiness, or the controller would not use it: a second's resolution, so one ahead.
    unit = REQUESTS[scenario.resource].lstrip("0123456789")
    return {
        "metadata": {"name": pod, "namespace": NAMESPACE, "labels": {"app": scenario.name}},
        "timestamp": _stamp(timedelta(seconds=1)),
        "window": f"{scenario.window_seconds}s",
        "containers": [{"name": "server", "usage": {scenario.resource: f"{round(percent)}{unit}"}}],
    }


def _custom_item(pod: str, scenario: Scenario, percent: float) -> Answer:
    return {
        "describedObject": {"kind": "Pod", "apiVersion": "v1", "namespace": NAMESPACE, "name": pod},
        "metric": {"name": scenario.name},
        "timestamp": _stamp(),
        "windowSeconds": scenario.window_seconds,
        "value": f"{round(percent * 1000)}m",
    }


def _stamp(later: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + later).strftime("%Y-%m-%dT%H:%M:%SZ")


def play(cluster: Cluster, scenarios: Sequence[Scenario], timeout_seconds: float) -> dict[str, Played]:
    """Play all scenarios side by side; returns when each script is through."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl.apply([_deployment(scenario) for scenario in scenarios])
    worlds = LiveWorlds(cluster)
    played = {each.name: Played(each, functools.partial(worlds.of, each.name)) for each in scenarios}
    certificate = cluster.server_certificate(SERVICE)
    with worlds.watching(), json_server(certificate, MetricsApis(played).answer) as port:
        cluster.register_external_metrics(port)
        authority = base64.b64encode(certificate.authority.read_bytes()).decode()
        for group, version in METRICS_APIS:
            cluster.kubectl.apply(metrics_api(group, version, SERVICE, "kube-system", port, authority))
            cluster.kubectl("wait", "--for=condition=Available", "--timeout=30s", f"apiservice/{version}.{group}")
        # Those that take long to start take it at the beginning too; the others need not wait.
        for quick in (True, False):
            batch = [each for each in scenarios if (each.startup_seconds < 1.0) is quick]
            for each in batch:
                world = eventually(played[each.name].world, settled, timeout_seconds)
                _pose(cluster, world, each)
            cluster.kubectl.apply([_hpa(each) for each in batch])
        deadline = time.monotonic() + timeout_seconds
        for one in played.values():
            assert one.finished.wait(max(0.0, deadline - time.monotonic())), stuck(one)
    for one in played.values():
        one.counts = worlds.counts[one.scenario.name]
    return played


def stuck(played: Played) -> str:
    tail = "\n".join(str(sync) for sync in played.syncs[-5:])
    return f"{played.scenario.name} is not through after {len(played.syncs)} syncs; the last:\n{tail}"


def _pose(cluster: Cluster, world: World, scenario: Scenario) -> None:
    ready = {"type": "Ready", "status": str(scenario.pose is Pose.LONG_READY)}
    patch = {"conditions": [ready]}
    if scenario.pose is not Pose.STARTING:
        patch["startTime"] = _stamp(-TEN_MINUTES)
        since = timedelta(minutes=1) if scenario.pose is Pose.LOST else TEN_MINUTES - timedelta(seconds=10)
        ready["lastTransitionTime"] = _stamp(-since)
    for pod in sorted(world.pods, key=lambda pod: pod.name)[: scenario.posed]:
        words = ("patch", "pod", pod.name, "-n", NAMESPACE, "--subresource=status", "-p", json.dumps({"status": patch}))
        cluster.kubectl(*words)


def _deployment(scenario: Scenario) -> Manifest:
    labels = {"app": scenario.name}
    delays = {
        f"pod-create.{STAGE}/delay": "0s",
        f"pod-ready.{STAGE}/delay": f"{round(scenario.startup_seconds * 1000)}ms",
        f"pod-delete.{STAGE}/delay": f"{round(scenario.shutdown_seconds * 1000)}ms",
    }
    container = {"name": "server", "image": "registry.local/server:1", "resources": {"requests": REQUESTS}}
    template = {"metadata": {"labels": labels, "annotations": delays}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": scenario.name, "namespace": NAMESPACE},
        "spec": {"replicas": scenario.start, "selector": {"matchLabels": labels}, "template": template},
    }


def _hpa(scenario: Scenario) -> Manifest:
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": scenario.name},
        "minReplicas": scenario.least,
        "maxReplicas": scenario.most,
        "metrics": [_metric(scenario, index) for index in range(len(scenario.targets))],
    }
    if scenario.up is not None and scenario.down is not None:
        spec["behavior"] = {"scaleUp": _behavior(scenario.up), "scaleDown": _behavior(scenario.down)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": scenario.name, "namespace": NAMESPACE},
        "spec": spec,
    }


def _metric(scenario: Scenario, index: int) -> Manifest:
    target = scenario.targets[index]
    if scenario.resource not in REQUESTS:
        number: Manifest = {"type": "AverageValue", "averageValue": f"{round(target * 100_000)}m"}
        return {"type": "Pods", "pods": {"metric": {"name": scenario.name}, "target": number}}
    if scenario.kind is MetricKind.UTILIZATION:
        wanted: Manifest = {"type": "Utilization", "averageUtilization": round(target * 100)}
        return {"type": "Resource", "resource": {"name": scenario.resource, "target": wanted}}
    kind, field_name = _TYPES[scenario.kind]
    wanted = {"type": kind, field_name: f"{round(target * 1000)}m"}
    return {"type": "External", "external": {"metric": {"name": f"{scenario.name}-{index}"}, "target": wanted}}


def _behavior(rules: ScalingRules) -> Manifest:
    policies = [
        {
            "type": "Percent" if each.pods is None else "Pods",
            "value": each.percent if each.pods is None else each.pods,
            "periodSeconds": round(each.period_seconds),
        }
        for each in rules.policies
    ]
    return {
        "stabilizationWindowSeconds": round(rules.stabilization_window_seconds),
        "selectPolicy": rules.select.value,
        "policies": policies,
        "tolerance": str(rules.tolerance_fraction),
    }
