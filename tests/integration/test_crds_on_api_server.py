"""The CRDs on a real API server: every example applies, every fault is refused, and both halves of each rule agree."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from hack.cluster import Cluster, ClusterError
from kcloud_autoscale.api.base import VALIDATIONS
from kcloud_autoscale.api.schema import schema_of
from kcloud_autoscale.api.v1alpha1 import BY_KIND, KINDS
from kcloud_autoscale.api.validate import check
from kcloud_autoscale.api.workload_status import WorkloadOptimizerStatus
from tests.builders.manifests import BROKEN, FULL, Broken, changed, example
from tests.builders.mutations import mutated

pytestmark = pytest.mark.integration

CRDS = Path(__file__).parents[2] / "crds"
EXAMPLES = Path(__file__).parents[2] / "examples"

Create = Callable[[dict[str, Any]], list[dict[str, str]]]


@pytest.fixture(scope="module", autouse=True)
def crds(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    for info in KINDS:
        cluster.kubectl.wait_established(f"crd/{info.plural}.kcloud.io")


@pytest.fixture(scope="module")
def create(cluster: Cluster) -> Create:
    """Asks the API server for its verdict, as kubectl does: the causes of its refusal, or none. Nothing is stored."""
    api = client.CustomObjectsApi(config.new_client_from_config(str(cluster.kubeconfig)))
    options: dict[str, Any] = {"dry_run": "All", "field_validation": "Strict", "_request_timeout": (3, 10)}

    def ask(manifest: dict[str, Any]) -> list[dict[str, str]]:
        info = BY_KIND[manifest["kind"]]
        try:
            if info.namespaced:
                api.create_namespaced_custom_object(
                    "kcloud.io", "v1alpha1", "default", info.plural, manifest, **options
                )
            else:
                api.create_cluster_custom_object("kcloud.io", "v1alpha1", info.plural, manifest, **options)
        except client.ApiException as refusal:
            if refusal.status not in (400, 422):
                raise
            answer = json.loads(refusal.body)
            causes = (answer.get("details") or {}).get("causes") or [{"field": "", "message": answer["message"]}]
            return [{"field": cause.get("field", ""), "message": cause.get("message", "")} for cause in causes]
        return []

    # A CRD is Established a moment before it is served.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            ask(FULL["WorkloadOptimizer"])
            return ask
        except client.ApiException:
            time.sleep(0.2)
    raise TimeoutError("the CRDs are not served")


@pytest.mark.parametrize("file", sorted(str(f.relative_to(EXAMPLES)) for f in EXAMPLES.rglob("*.yaml")))
def test_an_example_applies(cluster: Cluster, namespace: str, file: str):
    said = cluster.kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / file))
    applied = list(yaml.safe_load_all((EXAMPLES / file).read_text()))
    assert len(said.splitlines()) == len(applied)
    assert "unchanged" in cluster.kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / file))
    for manifest in applied:
        if not BY_KIND[manifest["kind"]].namespaced:
            cluster.kubectl("delete", BY_KIND[manifest["kind"]].plural, manifest["metadata"]["name"])


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_fault_is_refused_with_field_value_and_bound(create: Create, broken: Broken):
    causes = create(broken.manifest)
    assert causes, "the API server took it"
    said = "\n".join(f"{cause['field']}: {cause['message']}" for cause in causes)
    for word in broken.server_says:
        assert word in said
    assert broken.field.rsplit(".", 1)[-1] in said


def _rules(node: dict[str, Any]) -> list[Any]:
    children = [*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")]
    return [*node.get(VALIDATIONS, []), *(rule for child in children if child for rule in _rules(child))]


RULE_TEXTS = [rule.text for info in KINDS for rule in _rules(schema_of(info))]
BROKEN_RULES = [broken for broken in BROKEN if any(problem.bound in RULE_TEXTS for problem in check(broken.manifest))]


def test_every_rule_has_been_broken():
    assert {check(broken.manifest)[0].bound for broken in BROKEN_RULES} == set(RULE_TEXTS)


@pytest.mark.parametrize("broken", BROKEN_RULES, ids=lambda broken: broken.name)
def test_both_halves_of_a_rule_say_the_same(create: Create, broken: Broken):
    (problem,) = check(broken.manifest)
    (cause,) = create(broken.manifest)
    assert cause["field"] == (problem.path or "<nil>")
    assert cause["message"].startswith("Invalid value: ")
    assert cause["message"].endswith(problem.message)


@pytest.mark.parametrize("kind", [info.kind for info in KINDS])
def test_offline_and_server_give_the_same_verdict_on_anything(create: Create, kind: str):
    rng = random.Random(f"verdicts of {kind}")
    verdicts = []
    for _ in range(250):
        manifest = mutated(FULL[kind], rng)
        causes, problems = create(manifest), check(manifest)
        assert bool(causes) == bool(problems), f"server: {causes}; offline: {problems}; {json.dumps(manifest)}"
        if all(problem.bound in RULE_TEXTS for problem in problems):
            # Beside a fault of structure the server leaves rules out; else both blame the same fields.
            assert {problem.path or "<nil>" for problem in problems} == {cause["field"] for cause in causes}
        verdicts.append(bool(causes))
    assert 25 < sum(verdicts) < 245  # both sides were seen


def test_explain_teaches(cluster: Cluster):
    top = cluster.kubectl("explain", "wo.spec.autoScaling")
    for line in ("replicas needed for the demand observed now", "the larger wins", "Unknown metrics never scale down"):
        assert line in " ".join(top.split())
    assert "-required-" in top.split("maxReplicas", 1)[1].splitlines()[0]
    tree = cluster.kubectl("explain", "wo.spec.autoScaling", "--recursive")
    for field in ("behavior", "stabilizationWindowSeconds", "forecast", "quantile", "fallback", "leadTimeSeconds"):
        assert field in tree
    assert "milliseconds" in cluster.kubectl("explain", "wo.spec.autoScaling.metrics.type")
    assert "USD per GPU and hour" in cluster.kubectl("explain", "costpol.spec.resourceCostPolicy")
    assert "Watts that the workloads together may draw" in cluster.kubectl("explain", "powerpol.spec")


STATUS = WorkloadOptimizerStatus.model_validate(
    {
        "phase": "Optimizing",
        "target": "Deployment/llm",
        "replicas": 3,
        "readyReplicas": 2,
        "desiredReplicas": 5,
        "currentCost": 20.64,
        "currentPower": 1480.5,
        "optimizationScore": 0.87,
        "placement": [{"node": "gpu-0", "replicas": 3}],
        "lastDecision": {
            "id": "d-1",
            "time": "2026-01-01T00:00:00Z",
            "reason": "ForecastNeed",
            "steps": [{"stage": "size", "before": 3, "after": 5, "reason": "ForecastNeed", "message": "ceil(41 / 10)"}],
        },
        "savings": {"usd": -1.25, "actual": {"gramsCO2e": 3.5}},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Decided",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": 1,
            }
        ],
    }
)


def test_status_is_a_subresource_and_fills_the_columns(cluster: Cluster, namespace: str):
    manifest = changed(example("01-minimal.yaml"), "status", {"phase": "Failed"})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(manifest))
    before = cluster.kubectl.get("wo", "llm", "-n", namespace)
    assert "status" not in before  # a status in the main resource is ignored

    status = STATUS.model_dump(by_alias=True, exclude_none=True, mode="json")
    patch = json.dumps({"status": status, "spec": {"priority": 1}})
    cluster.kubectl("patch", "wo", "llm", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    after = cluster.kubectl.get("wo", "llm", "-n", namespace)
    assert after["status"] == status  # nothing is pruned
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]

    header, row = cluster.kubectl("get", "wo", "-n", namespace).splitlines()
    names = "NAME TYPE MODE TARGET REPLICAS DESIRED $/H WATTS SCORE PHASE REASON AGE"
    assert header.split() == names.split()
    # The type is not set in this example, so its cell is blank.
    cells = "llm Auto Deployment/llm 3 5 20.64 1480.5 0.87 Optimizing ForecastNeed"
    assert " ".join(row.split()[:-1]) == cells


def test_a_status_that_is_none_of_ours_is_refused(cluster: Cluster, namespace: str):
    cluster.kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / "01-minimal.yaml"))
    patch = json.dumps({"status": {"phase": "Splendid"}})
    with pytest.raises(ClusterError, match="Splendid"):
        cluster.kubectl("patch", "wo", "llm", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)


def test_defaults_are_filled_in(cluster: Cluster, namespace: str):
    cluster.kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / "01-minimal.yaml"))
    spec = cluster.kubectl.get("wo", "llm", "-n", namespace)["spec"]
    assert (spec["priority"], spec["baseline"], spec["deletionPolicy"]) == (50, "hpa", "Keep")
    assert (spec["autoScaling"]["minReplicas"], spec["autoScaling"]["mode"]) == (1, "Auto")


def test_short_names_and_scopes(cluster: Cluster):
    listed = cluster.kubectl("api-resources", "--api-group=kcloud.io", "--no-headers")
    rows = [line.split() for line in listed.splitlines()]
    assert sorted((row[0], row[1], row[3]) for row in rows) == [
        ("costpolicies", "costpol", "false"),
        ("powerpolicies", "powerpol", "false"),
        ("workloadoptimizers", "wo", "true"),
    ]
