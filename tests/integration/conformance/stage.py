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
from tests.integration.conformance.script import Fault, Played, Scenario, SeenPod, World, settled
from tests.integration.loopback_servers import Answer, json_server
from tests.integration.manifests import STAGE, Manifest
from tests.integration.waiting import eventually

NAMESPACE = "conformance"
SERVICE = "external-metrics"
REQUEST_MILLICORES = 100  # so that a millicore is a per cent
_TYPES = {MetricKind.VALUE: ("Value", "value"), MetricKind.AVERAGE_VALUE: ("AverageValue", "averageValue")}


@dataclass
class LiveWorlds:
    """Deployments and pods of the namespace, as two watches tell them.

    Attributes:
        cluster: Where they are.
        counts: Per Deployment, the values that `spec.replicas` took, each with the monotonic time of its news.
    """

    cluster: Cluster
    counts: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    _objects: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for path in (f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", f"/api/v1/namespaces/{NAMESPACE}/pods"):
                kubectl = [str(tool("kubectl")), f"--kubeconfig={self.cluster.kubeconfig}"]
                command = [*kubectl, "get", f"--raw={path}?watch=true"]
                watch = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
                stack.callback(watch.kill)
                threading.Thread(target=self._follow, args=(watch,), daemon=True).start()
            yield

    def _follow(self, watch: subprocess.Popen[str]) -> None:
        assert watch.stdout is not None
        for line in watch.stdout:
            event = json.loads(line)
            seen = event["object"]
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
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    deleting = "deletionTimestamp" in pod["metadata"]
    return SeenPod(pod["metadata"]["name"], pod["status"]["phase"], conditions.get("Ready") == "True", deleting)


@dataclass
class MetricsApis:
    """`external.metrics.k8s.io` and `metrics.k8s.io`, answered from the scripts.

    An external metric is named `<scenario>-<index>`; pods are asked for by the label of their scenario.
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
        return self._pods(selector.removeprefix("app="))

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

    def _pods(self, name: str) -> Answer:
        sync = self.played[name].begin_sync()
        usage = sync.phase.values[0]
        if usage is Fault.ERROR:
            return _refused(f"no metrics of {name}")
        items = [] if isinstance(usage, Fault) else [_pod_item(pod, name, usage) for pod in sorted(sync.metered)]
        return {"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}


def _refused(message: str) -> Answer:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "message": message}


def _external_item(metric: str, value: float) -> Answer:
    quantity = f"{round(value * 1000)}m"
    return {"metricName": metric, "metricLabels": {}, "timestamp": _stamp(), "value": quantity}


def _pod_item(pod: str, name: str, percent: float) -> Answer:
    # Not older than the pod's readiness, or the controller would not use it: a second's resolution, so one ahead.
    usage = {"cpu": f"{round(percent * REQUEST_MILLICORES / 100)}m"}
    return {
        "metadata": {"name": pod, "namespace": NAMESPACE, "labels": {"app": name}},
        "timestamp": _stamp(ahead_seconds=1),
        "window": "0s",
        "containers": [{"name": "server", "usage": usage}],
    }


def _stamp(ahead_seconds: int = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=ahead_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        cluster.kubectl.apply(metrics_api("metrics.k8s.io", "v1beta1", SERVICE, "kube-system", port, authority))
        cluster.kubectl("wait", "--for=condition=Available", "--timeout=30s", "apiservice/v1beta1.metrics.k8s.io")
        # Those that take long to start take it at the beginning too; the others need not wait.
        for quick in (True, False):
            batch = [each for each in scenarios if (each.startup_seconds < 1.0) is quick]
            for each in batch:
                world = eventually(played[each.name].world, settled, timeout_seconds)
                _make_unready(cluster, world, each.unready)
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


def _make_unready(cluster: Cluster, world: World, count: int) -> None:
    """Running pods whose readiness fails; the stand-in for the kubelet leaves them so."""
    patch = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    for pod in sorted(world.pods, key=lambda pod: pod.name)[:count]:
        words = ("patch", "pod", pod.name, "-n", NAMESPACE, "--subresource=status", "-p", patch)
        cluster.kubectl(*words)


def _deployment(scenario: Scenario) -> Manifest:
    labels = {"app": scenario.name}
    delays = {
        f"pod-create.{STAGE}/delay": "0s",
        f"pod-ready.{STAGE}/delay": f"{round(scenario.startup_seconds * 1000)}ms",
        f"pod-delete.{STAGE}/delay": f"{round(scenario.shutdown_seconds * 1000)}ms",
    }
    requests = {"requests": {"cpu": f"{REQUEST_MILLICORES}m"}}
    container = {"name": "server", "image": "registry.local/server:1", "resources": requests}
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
    if scenario.kind is MetricKind.UTILIZATION:
        wanted: Manifest = {"type": "Utilization", "averageUtilization": round(target * 100)}
        return {"type": "Resource", "resource": {"name": "cpu", "target": wanted}}
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
