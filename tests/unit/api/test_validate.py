from __future__ import annotations

import math
import random

import pytest

from kcloud_autoscale.api.problem import Problem
from kcloud_autoscale.api.validate import check
from tests.builders.manifests import BROKEN, FULL, REMOVED, Broken, all_examples, changed
from tests.builders.mutations import mutated


@pytest.mark.parametrize(("name", "manifest"), all_examples(), ids=[name for name, _ in all_examples()])
def test_examples_are_fine(name, manifest):
    assert check(manifest) == []


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_fault_is_named_with_field_value_and_bound(broken: Broken):
    problems = check(broken.manifest)
    assert [problem.path for problem in problems] == [broken.field]
    for word in broken.says:
        assert word in str(problems[0])


def test_the_broken_ones_differ():
    assert len(BROKEN) >= 30
    assert len({broken.name for broken in BROKEN}) == len(BROKEN)


def test_all_faults_are_told_at_once():
    manifest = changed(FULL["WorkloadOptimizer"], "spec.priority", 200)
    manifest = changed(manifest, "spec.autoScaling.fallback.replicas", 30)
    manifest = changed(manifest, "spec.workloadTyp", "batch")
    assert {problem.path for problem in check(manifest)} == {
        "spec.priority",
        "spec.autoScaling.fallback.replicas",
        "spec.workloadTyp",
    }


def test_a_rule_below_does_not_silence_one_above():
    manifest = changed(FULL["WorkloadOptimizer"], "spec.autoScaling.metrics[0].threshold", 180)
    manifest = changed(manifest, "spec.autoScaling.fallback.replicas", 30)
    assert {problem.path for problem in check(manifest)} == {
        "spec.autoScaling.metrics[0].threshold",
        "spec.autoScaling.fallback.replicas",
    }


def test_rules_see_defaults():
    # maxReplicas 24; minReplicas defaults to 1, which fallback.replicas 1 does not undercut.
    manifest = changed(FULL["WorkloadOptimizer"], "spec.autoScaling.minReplicas", REMOVED)
    assert check(changed(manifest, "spec.autoScaling.fallback.replicas", 1)) == []


@pytest.mark.parametrize(
    ("demand", "metrics"),
    [
        ({"query": "sum(rate(gateway_requests_total[1m]))"}, None),
        ({"preset": "nginx", "labels": {"service": "llm"}}, None),
        ({"preset": "istio"}, None),
        ({"preset": "vllm"}, [{"type": "queue", "threshold": 5, "query": "sum(queue_depth)"}]),
        (REMOVED, [{"type": "requests", "threshold": 5, "query": "sum(rate(gateway_requests_total[1m]))"}]),
    ],
)
def test_a_target_may_sleep_where_something_lives_on_without_pods(demand, metrics):
    manifest = changed(FULL["WorkloadOptimizer"], "spec.autoScaling.minReplicas", 0)
    manifest = changed(manifest, "spec.autoScaling.demand", demand)
    if metrics is not None:
        manifest = changed(manifest, "spec.autoScaling.metrics", metrics)
    assert check(manifest) == []


def test_null_is_the_same_as_absent():
    assert check(changed(FULL["WorkloadOptimizer"], "spec.costConstraints.maxCostPerHour", None)) == []
    assert check(changed(FULL["WorkloadOptimizer"], "spec.priority", None)) == []


def test_whole_floats_are_integers():
    assert check(changed(FULL["WorkloadOptimizer"], "spec.resources.gpu", 4.0)) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, True])
def test_what_is_no_number_in_json_is_refused(value):
    problems = check(changed(FULL["WorkloadOptimizer"], "spec.costConstraints.budgetLimit", value))
    assert [problem.bound for problem in problems] == ["number"]


def test_a_status_is_not_judged_but_its_fields_must_exist():
    manifest = changed(FULL["WorkloadOptimizer"], "status", {"phase": "Whatever"})
    assert check(manifest) == []
    assert [p.path for p in check(changed(manifest, "status.fase", "x"))] == ["status.fase"]


def test_other_versions_and_kinds_are_named():
    (problem,) = check({"apiVersion": "kcloud.io/v1", "kind": "WorkloadOptimizer"})
    assert str(problem) == 'apiVersion: "kcloud.io/v1" is not kcloud.io/v1alpha1'
    (problem,) = check({"apiVersion": "kcloud.io/v1alpha1", "kind": "WorkloadOptimiser"})
    assert "did you mean WorkloadOptimizer?" in str(problem)


@pytest.mark.parametrize("name", ["", None, "Has_Capitals", "-x", "a..b", "x\n"])
def test_names_are_checked(name):
    (problem,) = check(changed(FULL["WorkloadOptimizer"], "metadata.name", name))
    assert problem.path == "metadata.name"


GARBAGE = [
    None,
    3,
    "x",
    [],
    [[]],
    *({"autoScaling": odd} for odd in (7, [], {"metrics": {"a": 1}}, {"metrics": [1, 2]})),
]


@pytest.mark.parametrize("spec", GARBAGE)
def test_garbage_is_a_problem_not_a_crash(spec):
    assert check(
        {"apiVersion": "kcloud.io/v1alpha1", "kind": "WorkloadOptimizer", "metadata": {"name": "x"}, "spec": spec}
    )


@pytest.mark.parametrize("kind", list(FULL))
def test_no_change_makes_it_stumble(kind):
    rng = random.Random(f"stumbling over {kind}")
    verdicts = [bool(check(mutated(FULL[kind], rng))) for _ in range(500)]
    assert 50 < sum(verdicts) < 490


def test_a_problem_writes_its_place_as_the_api_server_does():
    location = ("spec", "autoScaling", "metrics", 0, "threshold")
    assert str(Problem(location, "is required")) == "spec.autoScaling.metrics[0].threshold: is required"
