"""The local control plane itself: what everything else that is tested on it relies on."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hack.cluster import Cluster, ClusterError
from tests.integration.loopback_servers import ExternalMetric, RefusingWebhook, json_server
from tests.integration.manifests import STAGE, deployment, hpa_on_external_metric, pod, pod_webhook
from tests.integration.waiting import eventually

pytestmark = pytest.mark.integration


def condition_time(pod: dict[str, Any], kind: str) -> datetime:
    stamp = next(c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == kind)
    return datetime.fromisoformat(stamp)


def replicas_of(cluster: Cluster, namespace: str, name: str) -> int:
    return int(cluster.kubectl.get("deployment", name, "-n", namespace)["spec"]["replicas"])


def test_nodes_are_ready_with_the_devices_they_were_created_with(cluster: Cluster) -> None:
    node = cluster.kubectl.get("node", "gpu-0")

    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert {"type": "Ready", "status": "True"}.items() <= next(
        c for c in node["status"]["conditions"] if c["type"] == "Ready"
    ).items()


def test_the_server_knows_its_version(cluster: Cluster) -> None:
    """An unstamped build calls itself v0.0.0 and clients refuse it."""
    assert '"gitVersion": "v1.36.3"' in cluster.kubectl("get", "--raw=/version")


def test_pods_become_ready_after_the_start_up_time_asked_for(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl.apply([deployment(namespace, "llm", replicas=2, ready_delay="4s", gpus=2)])

    def pods() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = cluster.kubectl.get("pods", "-n", namespace)["items"]
        return items

    bound = eventually(pods, lambda seen: len(seen) == 2 and all("podIP" in p["status"] for p in seen), 15)
    assert {p["status"]["phase"] for p in bound} == {"Pending"}

    running = eventually(pods, lambda seen: all(p["status"]["phase"] == "Running" for p in seen), 15)
    for each in running:
        waited = (condition_time(each, "Ready") - condition_time(each, "PodScheduled")).total_seconds()
        # 4 s were asked; both stamps are cut to whole seconds (−1), and two busy cores may be late.
        assert 3 <= waited <= 8
    assert cluster.kubectl.get("deployment", "llm", "-n", namespace)["status"]["readyReplicas"] == 2


def test_the_scheduler_says_which_device_is_missing(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl.apply([pod(namespace, "greedy", gpus=9)])  # a node has 8

    def reasons() -> str:
        return cluster.kubectl("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].message}")

    assert "Insufficient nvidia.com/gpu" in eventually(reasons, lambda text: "Insufficient" in text, 15)


def test_a_training_pod_completes_when_its_annotation_says_so(cluster: Cluster, namespace: str) -> None:
    annotations = {f"pod-complete.{STAGE}/delay": "1s"}
    cluster.kubectl.apply([pod(namespace, "training", annotations=annotations), pod(namespace, "serving")])

    def phase(name: str) -> str:
        return str(cluster.kubectl.get("pod", name, "-n", namespace)["status"].get("phase"))

    eventually(lambda: phase("training"), lambda seen: seen == "Succeeded", 15)
    assert phase("serving") == "Running"


def test_deletion_waits_for_finalizers(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl.apply([pod(namespace, "held", finalizers=["example.com/drain"]), pod(namespace, "free")])
    cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", "-n", namespace, "--timeout=15s")
    cluster.kubectl("delete", "pod", "held", "free", "-n", namespace, "--wait=false")

    def left() -> str:
        return cluster.kubectl("get", "pods", "-n", namespace, "-o", "name").strip()

    eventually(left, lambda names: names == "pod/held", 10)
    cluster.kubectl("patch", "pod", "held", "-n", namespace, "-p", '{"metadata":{"finalizers":null}}')
    eventually(left, lambda names: names == "", 10)


def test_a_service_account_may_do_what_its_role_says_and_no_more(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "serviceaccount", "operator", "-n", namespace)
    operator = cluster.kubectl_as(cluster.kubeconfig_for(namespace, "operator"))
    with pytest.raises(ClusterError, match=rf"forbidden.*system:serviceaccount:{namespace}:operator"):
        operator("get", "pods", "-n", namespace)

    cluster.kubectl(
        "create", "rolebinding", "view", "--clusterrole=view", f"--serviceaccount={namespace}:operator", "-n", namespace
    )

    def may_list() -> str:
        rights = operator("auth", "can-i", "--list", "-n", namespace)
        return next((line for line in rights.splitlines() if line.startswith("pods ")), "")

    eventually(may_list, lambda line: "list" in line, 5)  # RBAC's cache takes a moment to see the binding
    assert operator("get", "pods", "-n", namespace) == ""
    with pytest.raises(ClusterError, match="forbidden"):
        operator("delete", "pod", "any", "-n", namespace)


def test_the_real_hpa_scales_on_an_external_metric(cluster: Cluster, namespace: str) -> None:
    certificate = cluster.server_certificate("test-metrics")
    metric = ExternalMetric(300)
    with json_server(certificate, metric.answer) as port:
        cluster.register_external_metrics(port, service="test-metrics")
        cluster.kubectl.apply(
            [
                deployment(namespace, "twin", replicas=3, ready_delay="0s"),
                hpa_on_external_metric(namespace, "twin", "requests_waiting", per_replica="100", most=8),
            ]
        )
        cluster.kubectl("rollout", "status", "deployment/twin", "-n", namespace, "--timeout=20s")

        metric.value = 600  # 600 / 100 per replica = 6
        eventually(lambda: replicas_of(cluster, namespace, "twin"), lambda count: count == 6, 30)

        metric.value = 120  # 1.2 → 2; the controller's own 5 min window is overridden by the HPA's behavior
        eventually(lambda: replicas_of(cluster, namespace, "twin"), lambda count: count == 2, 30)
    cluster.kubectl("delete", "apiservice", "v1beta1.external.metrics.k8s.io")


def test_a_metrics_api_that_does_not_answer_is_an_error(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"external\.metrics\.k8s\.io is not available: .*refused"):
        cluster.register_external_metrics(1, service="nobody", timeout_seconds=3)
    cluster.kubectl("delete", "apiservice", "v1beta1.external.metrics.k8s.io")


def test_an_admission_webhook_on_loopback_is_asked(cluster: Cluster, namespace: str) -> None:
    certificate = cluster.server_certificate("test-webhook")
    webhook = RefusingWebhook("no pods on a Tuesday")
    with json_server(certificate, webhook.answer) as port:
        cluster.kubectl.apply([pod_webhook(namespace, f"https://127.0.0.1:{port}/", certificate.authority)])

        def refusal() -> str:
            """A new webhook takes effect within a second or so; a dry run leaves nothing behind until then."""
            try:
                return cluster.kubectl("run", "asked", "--image=a", "-n", namespace, "--dry-run=server")
            except ClusterError as error:
                return str(error)

        eventually(refusal, lambda text: "denied the request: no pods on a Tuesday" in text, 10)
        assert "asked" in webhook.asked
        cluster.kubectl("delete", "validatingwebhookconfiguration", namespace)


def test_an_attached_cluster_is_used_and_left_as_it_is(cluster: Cluster, namespace: str) -> None:
    with Cluster.attach(cluster.kubeconfig) as attached:
        assert attached.url == cluster.url
        attached.kubectl("create", "serviceaccount", "guest", "-n", namespace)
        guest = attached.kubectl_as(attached.kubeconfig_for(namespace, "guest"))
        assert f"system:serviceaccount:{namespace}:guest" in guest("auth", "whoami")
        with pytest.raises(ClusterError, match="was not started here"):
            attached.stop_part("kube-apiserver")

    assert not attached.directory.exists()
    assert cluster.kubectl("get", "--raw=/readyz") == "ok"


def test_a_kubeconfig_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="nowhere"):
        Cluster.attach(tmp_path / "nowhere.kubeconfig")
