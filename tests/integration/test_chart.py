"""The Helm chart by the real helm on a real API server: what it refuses, what it installs, what it leaves behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.chart.release import CHART, NAME, NAMESPACE, RELEASE, deploy
from hack.cluster import Cluster, ClusterError, Node
from kcloud_autoscale.api.v1alpha1 import KINDS
from kcloud_autoscale.operator.settings import load_settings
from tests.integration.waiting import eventually

pytestmark = pytest.mark.integration

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]
MONITORING = "--api-versions=monitoring.coreos.com/v1"
EVERYTHING = {
    "image": {"digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "mirror"}],
    "replicaCount": 2,
    "prometheus": {
        "url": "https://mimir.monitoring/prometheus",
        "tenant": "ai",
        "tokenSecret": {"name": "mimir", "key": "bearer"},
        "caConfigMap": {"name": "ca", "key": "root.pem"},
    },
    "watchNamespaces": ["team-a", "team-b"],
    "settings": {"CYCLE_SECONDS": 30, "LOG_FORMAT": "text", "DRY_RUN": True, "WRITE_BURST": 100},
    "rbac": {"scaleTargets": [{"apiGroup": "argoproj.io", "resource": "rollouts"}]},
    "serviceAccount": {"name": "scaler", "annotations": {"team": "ai"}},
    "service": {"annotations": {"team": "ai"}},
    "serviceMonitor": {"enabled": True, "additionalLabels": {"release": "monitoring"}},
    "prometheusRule": {"enabled": True, "additionalLabels": {"release": "monitoring"}},
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "kcloud"}},
    "excludedNamespaces": ["kube-*", "team-c"],
    "networkPolicy": {
        "enabled": True,
        "egressPorts": [443, 9009],
        "probesFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    },
    "podDisruptionBudget": {"enabled": True},
    "podAnnotations": {"team": "ai"},
    "podLabels": {"team": "ai"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "system-cluster-critical",
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}}],
}


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """Roles, CRDs and releases are cluster-wide: nobody else looks on."""
    with Cluster.start(nodes=[Node("node-0")]) as cluster:
        for name in (*EVERYTHING["watchNamespaces"], NAMESPACE):  # type: ignore[misc]
            cluster.kubectl("create", "namespace", name)
        cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        yield cluster


@pytest.fixture(scope="module")
def render(own_cluster: Cluster) -> Render:
    """`render({"replicaCount": 2})`: the manifests of a release with these values."""

    def rendered(values: Manifest | None = None, *words: str) -> list[Manifest]:
        text = own_cluster.helm(
            "template", RELEASE, str(CHART), "-n", NAMESPACE, "--values", "-", *words, input=json.dumps(values or {})
        )
        return [each for each in yaml.safe_load_all(text) if each]

    return rendered


def one(manifests: list[Manifest], kind: str, name: str = NAME) -> Manifest:
    (found,) = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def container(manifests: list[Manifest]) -> Manifest:
    return one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def environment(manifests: list[Manifest]) -> dict[str, str]:
    """What the container is told; what comes from the pod itself is filled in."""
    return {each["name"]: each.get("value", "of-the-pod") for each in container(manifests)["env"]}


def test_helm_finds_nothing_to_say_about_it(own_cluster: Cluster):
    assert "1 chart(s) linted, 0 chart(s) failed" in own_cluster.helm("lint", "--strict", str(CHART))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--set=replicas=2"], "replicas"),
        (["--set=replicaCount=-1"], "replicaCount"),
        (["--set=settings.CYCLE_SECNDS=30"], "CYCLE_SECNDS"),
        (["--set=settings.CYCLE_SECONDS=0"], "CYCLE_SECONDS"),
        (["--set=settings.LOG_FORMAT=xml"], "LOG_FORMAT"),
        (["--set=settings.PROMETHEUS_URL=http://prometheus"], "PROMETHEUS_URL"),
        (["--set=prometheus.url=prometheus:9090"], "url"),
        (["--set=prometheus.url=http://user:secret@prometheus:9090"], "url"),
        (["--set=watchNamespaces={team_a}"], "watchNamespaces"),
        (["--set=image.digest=sha256:abc"], "digest"),
        (["--set=crds.keep=yes please"], "keep"),
        (["--set=excludedNamespaces={kube_system}"], "excludedNamespaces"),
        (["--set=networkPolicy.egressPorts={all}"], "egressPorts"),
        (["--set-json=networkPolicy.metricsFrom=[{}]"], "metricsFrom"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(own_cluster: Cluster, words: list[str], named: str):
    with pytest.raises(ClusterError) as refused:
        own_cluster.helm("template", RELEASE, str(CHART), *words)
    assert named in str(refused.value)


def test_the_operator_takes_what_it_is_told(render: Render, tmp_path: Path):
    settings = load_settings(environment(render()))
    assert settings.operator_name == NAME
    assert settings.log_format == "json"
    assert settings.watch_namespaces == ()
    assert settings.excluded_namespaces == ("kube-*", NAMESPACE)
    assert load_settings(environment(render({"excludedNamespaces": []}))).excluded_namespaces == ()

    told = environment(render(EVERYTHING))
    assert (told.pop("PROMETHEUS_TOKEN_FILE"), told.pop("PROMETHEUS_CA_FILE")) == (
        "/etc/kcloud/token/token",
        "/etc/kcloud/ca/ca.crt",
    )
    settings = load_settings(told)
    assert (settings.cycle_seconds, settings.log_format, settings.dry_run) == (30.0, "text", True)
    assert settings.watch_namespaces == ("team-a", "team-b")
    assert settings.excluded_namespaces == ("kube-*", "team-c")
    assert settings.prometheus_tenant == "ai"


def test_every_object_is_one_the_api_server_takes(own_cluster: Cluster, render: Render):
    """With everything switched on. The kinds of Prometheus Operator are not there: their manifests are only read."""
    manifests = render(EVERYTHING, MONITORING)
    assert {each["kind"] for each in manifests} >= {"ServiceMonitor", "PrometheusRule", "NetworkPolicy", "ConfigMap"}
    known = [each for each in manifests if not each["apiVersion"].startswith("monitoring.coreos.com/")]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": known})
    own_cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", input=listed)
    assert container(manifests)["image"] == f"kcloud-autoscale@sha256:{'0' * 64}"
    assert one(manifests, "ConfigMap", f"{RELEASE}-extra")


def test_a_network_policy_has_no_rule_that_lets_everything_through(own_cluster: Cluster, render: Render):
    """A rule without ports, or without peers, allows all of them: an empty list must leave the rule out."""
    dns = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    for given in (
        {},
        {"egressPorts": []},
        {"metricsFrom": []},
        {"egressPorts": [], "metricsFrom": [], "probesFrom": []},
    ):
        (manifest,) = [
            each for each in render({"networkPolicy": {"enabled": True, **given}}) if each["kind"] == "NetworkPolicy"
        ]
        own_cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(manifest))
        stored = own_cluster.kubectl.get("networkpolicy", NAME, "-n", NAMESPACE)["spec"]
        assert stored["policyTypes"] == ["Ingress", "Egress"]
        assert all(rule.get("ports") and rule.get("from") for rule in stored.get("ingress", []))
        assert all(rule.get("ports") for rule in stored["egress"])
        assert [each["port"] for rule in stored["egress"][1:] for each in rule["ports"]] == given.get(
            "egressPorts", [443, 6443, 9090]
        )
        assert stored["egress"][0]["ports"] == dns
        ports = [each["port"] for rule in stored.get("ingress", []) for each in rule["ports"]]
        assert ports == ([] if given.get("metricsFrom") == [] else ["metrics"])
    own_cluster.kubectl("delete", "networkpolicy", NAME, "-n", NAMESPACE)


def test_who_may_edit_a_namespace_writes_its_optimizers_and_who_may_view_it_reads_them(own_cluster: Cluster):
    deploy(own_cluster, "--set=replicaCount=0")
    try:
        for role in ("view", "edit", "admin"):
            bound = ("rolebinding", f"{role}ers", f"--clusterrole={role}", f"--user={role}er", "-n", "team-a")
            own_cluster.kubectl("create", *bound)
        eventually(lambda: may(own_cluster, "editer", "create", "workloadoptimizers"), bool, 30)
        told = {
            (role, verb): may(own_cluster, f"{role}er", verb, "workloadoptimizers")
            for role in ("view", "edit", "admin")
            for verb in ("get", "watch", "create", "patch", "delete")
        }
        assert {key for key, allowed in told.items() if not allowed} == {
            ("view", "create"), ("view", "patch"), ("view", "delete"),
        }  # fmt: skip
        for user in ("viewer", "editer", "adminer"):
            # Only in their namespace, never the status that the operator believes, never what caps everybody.
            assert not may(own_cluster, user, "get", "workloadoptimizers", namespace="team-b")
            assert not may(own_cluster, user, "patch", "workloadoptimizers", "--subresource=status")
            assert not may(own_cluster, user, "patch", "costpolicies.kcloud.io")
        deploy(own_cluster, "--set=replicaCount=0", "--set=rbac.aggregate=false")
        eventually(lambda: may(own_cluster, "viewer", "get", "workloadoptimizers"), lambda allowed: not allowed, 30)
    finally:
        own_cluster.kubectl("delete", "rolebinding", "viewers", "editers", "adminers", "-n", "team-a")
        own_cluster.helm("uninstall", RELEASE, "-n", NAMESPACE)


def may(cluster: Cluster, user: str, verb: str, resource: str, *words: str, namespace: str = "team-a") -> bool:
    """What `kubectl auth can-i` says of a user."""
    try:
        return (
            cluster.kubectl("auth", "can-i", verb, resource, *words, "-n", namespace, f"--as={user}").strip() == "yes"
        )
    except ClusterError:
        return False


def test_the_operator_s_token_reads_and_changes_what_it_needs_and_nothing_else(own_cluster: Cluster):
    """Its rights one by one, as the API server counts them."""
    deploy(own_cluster, "--set=replicaCount=0", "--set=watchNamespaces={team-a}")
    try:
        token = f"system:serviceaccount:{NAMESPACE}:{NAME}"
        allowed = [("patch", "deployments.apps", "--subresource=scale"), ("list", "pods"), ("get", "namespaces/team-a")]
        refused = [
            ("get", "pods"), ("delete", "pods"), ("create", "pods"), ("patch", "pods"), ("get", "secrets"),
            ("list", "secrets"),
            ("patch", "deployments.apps"), ("update", "deployments.apps", "--subresource=scale"),
            ("delete", "workloadoptimizers.kcloud.io"), ("create", "workloadoptimizers.kcloud.io"),
            ("list", "namespaces"), ("get", "namespaces/team-b"), ("patch", "nodes"),
            ("patch", "costpolicies.kcloud.io"),
            ("impersonate", "users"), ("escalate", "roles.rbac.authorization.k8s.io"),
        ]  # fmt: skip
        for words in allowed:
            assert may(own_cluster, token, *words), words
        for words in refused:
            assert not may(own_cluster, token, *words), words
        assert not may(own_cluster, token, "patch", "deployments.apps", "--subresource=scale", namespace="team-b")
    finally:
        own_cluster.helm("uninstall", RELEASE, "-n", NAMESPACE)


def test_rights_are_narrow(render: Render):
    manifests = render(EVERYTHING)
    aggregated = {f"{NAME}-view", f"{NAME}-edit"}
    roles = [
        each
        for each in manifests
        if each["kind"] in ("Role", "ClusterRole") and each["metadata"]["name"] not in aggregated
    ]
    assert not [
        each for each in manifests if each["kind"].endswith("Binding") and each["roleRef"]["name"] in aggregated
    ]
    for rule in [rule for role in roles for rule in role["rules"]]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "secrets" not in rule["resources"]
        changes = {"patch", "update", "create", "delete"} & set(rule["verbs"])
        if changes and "apps" in rule["apiGroups"]:
            assert all(resource.endswith("/scale") for resource in rule["resources"])
    bound = {
        (each["kind"], each["metadata"].get("namespace")) for each in manifests
        if each["kind"].endswith("Binding") and each["roleRef"]["name"] == f"{NAME}-workloads"
    }  # fmt: skip
    assert bound == {("RoleBinding", "team-a"), ("RoleBinding", "team-b")}


def test_it_installs_into_a_restricted_namespace_and_leaves_only_the_kinds(own_cluster: Cluster):
    deploy(own_cluster)
    own_cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{NAME}", "--timeout=60s")
    optimizer = {"autoScaling": {"minReplicas": 1, "maxReplicas": 2}}
    metadata = {"name": "chat", "namespace": "team-a"}
    kind = {"apiVersion": "kcloud.io/v1alpha1", "kind": "WorkloadOptimizer"}
    own_cluster.kubectl.apply([{**kind, "metadata": metadata, "spec": optimizer}])
    who = f"--as=system:serviceaccount:{NAMESPACE}:{NAME}"
    may_scale = ("auth", "can-i", "patch", "deployments.apps", "--subresource=scale", "-n", "team-b", who)
    assert own_cluster.kubectl(*may_scale).strip() == "yes"

    # An upgrade brings changed kinds along, and again has nothing to complain of.
    first = KINDS[0]
    own_cluster.kubectl("label", "crd", f"{first.plural}.kcloud.io", "app.kubernetes.io/version=0.0.0", "--overwrite")
    deploy(own_cluster, "--set=watchNamespaces={team-a}", "--set=replicaCount=2")
    labels = own_cluster.kubectl.get("crd", f"{first.plural}.kcloud.io")["metadata"]["labels"]
    assert labels["app.kubernetes.io/version"] != "0.0.0"
    with pytest.raises(ClusterError):
        own_cluster.kubectl(*may_scale)

    own_cluster.helm("uninstall", RELEASE, "-n", NAMESPACE)
    assert own_cluster.kubectl.get("workloadoptimizers", "-n", "team-a")["items"]
    eventually(lambda: own_cluster.kubectl.get("all", "-n", NAMESPACE)["items"], lambda left: not left, 30)
    kinds = ("clusterroles", "clusterrolebindings", "roles", "rolebindings", "serviceaccounts", "leases")
    left = own_cluster.kubectl("get", ",".join(kinds), "-A", "-o", "name")
    assert NAME not in left


def test_it_takes_over_kinds_that_were_applied_by_hand_and_can_take_them_along(own_cluster: Cluster):
    crds = CHART.parents[1] / "crds"
    own_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crds))
    deploy(own_cluster, "--set=crds.keep=false", "--set=replicaCount=0")
    own_cluster.helm("uninstall", RELEASE, "-n", NAMESPACE)
    eventually(lambda: own_cluster.kubectl("get", "crds", "-o", "name"), lambda names: "kcloud.io" not in names, 30)


def test_the_notes_say_what_was_left_out_and_their_example_is_valid(own_cluster: Cluster):
    notes = own_cluster.helm(
        "install", RELEASE, str(CHART), "-n", NAMESPACE, "--dry-run=client", "--set=serviceMonitor.enabled=true"
    ).partition("NOTES:")[2]
    assert "no ServiceMonitor was made" in notes
    example = notes.partition("<<YAML\n")[2].partition("YAML")[0]
    answer = subprocess.run(
        [".venv/bin/kcloud-autoscale", "validate", "/dev/stdin"],
        input=example, capture_output=True, text=True, cwd=CHART.parents[1], check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
