from __future__ import annotations

import io
from pathlib import Path

import pytest

from kcloud_autoscale.cli.main import main
from kcloud_autoscale.cli.manifests import read
from tests.builders.manifests import EXAMPLES

GOOD = """\
# a comment
apiVersion: kcloud.io/v1alpha1
kind: WorkloadOptimizer
metadata:
  name: llm
  namespace: shop
spec:
  priority: 50
  autoScaling:
    maxReplicas: 3
"""


def run(*arguments: str) -> int:
    return main(["validate", *arguments])


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "wo.yaml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_the_examples_are_fine(capsys):
    assert run(str(EXAMPLES)) == 0
    assert capsys.readouterr().out == "12 objects checked, all fine\n"


def test_a_problem_is_told_with_its_line(written, capsys):
    path = written(GOOD.replace("priority: 50", "priority: 500") + "    minReplicas: 5\n")
    assert run(path) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{path}:8: WorkloadOptimizer shop/llm: spec.priority: 500 is above the maximum 100",
        f"{path}:11: WorkloadOptimizer shop/llm: spec.autoScaling.minReplicas: minReplicas 5 is above maxReplicas 3",
        "1 object checked, 2 problems",
    ]


def test_something_missing_is_told_where_it_belongs(written, capsys):
    path = written(GOOD.replace("    maxReplicas: 3\n", "    mode: Off\n"))
    assert run(path) == 1
    out = capsys.readouterr().out
    said = (
        "spec.autoScaling.mode: false is not of type string; YAML reads a bare Off, On, Yes or No so: put it in quotes"
    )
    assert f"{path}:10: WorkloadOptimizer shop/llm: {said}" in out
    assert f"{path}:9: WorkloadOptimizer shop/llm: spec.autoScaling.maxReplicas: is required" in out


def test_every_document_of_every_file_of_a_folder_is_checked(written, tmp_path, capsys):
    other = GOOD.replace("name: llm", "name: b")
    written(GOOD + "---\n" + other.replace("50", "-1") + "---\n", "a/two.yaml")
    written(
        '{"apiVersion": "kcloud.io/v1alpha1", "kind": "CostPolicy", "metadata": {"name": "c"}, "spec": {}}', "b.json"
    )
    written("not: [looked, at", "notes.txt")
    assert run(str(tmp_path)) == 1
    out = capsys.readouterr().out
    assert "two.yaml:19: WorkloadOptimizer shop/b: spec.priority: -1 is below the minimum 0" in out
    assert "b.json:1: CostPolicy c: spec: this CostPolicy says nothing" in out
    assert out.endswith("3 objects checked, 2 problems\n")


def test_lists_are_taken_apart(written, capsys):
    item = "".join(f"  {line}\n" for line in GOOD.replace("50", "101").splitlines()[1:])
    path = written("apiVersion: v1\nkind: List\nitems:\n-" + item[1:])
    assert run(path) == 1
    assert capsys.readouterr().out.startswith(f"{path}:10: WorkloadOptimizer shop/llm: spec.priority")


def test_objects_together(written, capsys):
    hpa = """---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: h, namespace: shop}
spec: {scaleTargetRef: {kind: Deployment, name: llm}}
"""
    path = written(GOOD + hpa)
    assert run(path) == 1
    assert (
        f"{path}:7: WorkloadOptimizer shop/llm: spec.targetRef: Deployment llm is scaled by" in capsys.readouterr().out
    )


def test_objects_named_by_the_server(written, capsys):
    unnamed = GOOD.replace("name: llm", "generateName: llm-")
    assert run(written(f"{unnamed}---\n{unnamed}")) == 0


def test_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
    assert run("-") == 0
    assert capsys.readouterr().out == "1 object checked, all fine\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1, 2", "wo.yaml:1: not YAML"),
        ("kind: X\nspec: {a: 1, b: 2, a: 3}\n", "wo.yaml:2: key a is given twice"),
        ("- 1\n", "wo.yaml:1: not an object, but list"),
        ("a: &a [*a]\n", "nested or repeated beyond reason"),
        ("apiVersion: v1\nkind: ConfigMap\n", "no kcloud.io objects among 1"),
        ("", "no kcloud.io objects among 0"),
        ("kind: \x01X\n", "special characters are not allowed"),
    ],
)
def test_what_cannot_be_checked_is_an_error_of_its_own(written, capsys, text, says):
    assert run(written(text)) == 2
    assert says in capsys.readouterr().err


def test_an_exploding_file_is_refused_at_once(written, capsys):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert run(written("\n".join(lines))) == 2
    assert "beyond reason" in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert run(str(tmp_path / "none.yaml")) == 2
    assert "No such file" in capsys.readouterr().err
    assert run(str(tmp_path)) == 2
    assert "no .yaml, .yml, .json files" in capsys.readouterr().err


def test_bytes_that_are_no_text(tmp_path, capsys):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert run(str(tmp_path)) == 2
    assert "not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("1e3", 1000.0), ("-.5", -0.5), ("010", 8), ("0o10", 8), ("08", 8.0), ("1_000", 1000), ("y", True), ("Off", False),
     ("12:30", "12:30"), ("2020-01-01", "2020-01-01"), ("=", "="), ("~", None), ("", None), ("'1'", "1")],
)  # fmt: skip
def test_scalars_are_read_as_kubectl_reads_them(written, scalar, value):
    # Each value is what `kubectl create --dry-run=client -o json` makes of it.
    (manifest,) = read([written(f"v: {scalar}\n")])
    assert manifest.content["v"] == value
    assert type(manifest.content["v"]) is type(value)


QUERIES = """\
    metrics:
    - {type: latency, threshold: 200, query: "rollup_rate(a[5m])"}
    demand: {query: 'sum(load{namespace="other", app="{{name}}"})'}
"""


def test_a_query_that_would_not_be_asked_is_told_with_its_field_and_the_words_of_the_parser(written, capsys):
    path = written(GOOD + QUERIES)
    assert run(path) == 1
    demand, metric, _ = capsys.readouterr().out.splitlines()
    assert f"{path}:13: WorkloadOptimizer shop/llm: spec.autoScaling.demand.query: asks for namespace=" in demand
    assert f"{path}:12: WorkloadOptimizer shop/llm: spec.autoScaling.metrics[0].query: not PromQL: unknown" in metric
    assert "rollup_rate" in metric


@pytest.mark.parametrize(("mode", "problems"), [("enforceNamespace", 2), ("allow", 0), ("deny", 2)])
def test_queries_are_judged_by_what_the_installation_allows(written, capsys, mode, problems):
    assert run("--tenant-queries", mode, written(GOOD + QUERIES)) == (1 if problems else 0)
    assert len(capsys.readouterr().out.splitlines()) == problems + 1


def test_templates_are_filled_in_before_a_query_is_judged(written):
    query = '    demand: {query: "sum(rate(a_total{pod=~\\"{{name}}-.*\\", namespace=\\"{{namespace}}\\"}[2m]))"}\n'
    assert run(written(GOOD + query)) == 0
