"""`kcloud-autoscale explain -f`: the object from a file, and what is said of one that cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from kcloud_autoscale.act.status import workload_status
from kcloud_autoscale.cli.main import main
from tests.unit.act.outcomes import outcome, remembered

Json = dict[str, Any]


def optimizer(name: str = "llm", **fields: Any) -> Json:
    meta = {"namespace": "ai", "name": name, "generation": 4}
    return {"apiVersion": "kcloud.io/v1alpha1", "kind": "WorkloadOptimizer", "metadata": meta, **fields}


def written(folder: Path, *objects: Json) -> str:
    path = folder / "objects.yaml"
    path.write_text("---\n".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")
    return str(path)


def test_the_status_of_a_file_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, {"kind": "Deployment"}, optimizer(status=workload_status(outcome(), {}, remembered(2))))
    assert main(["explain", "-f", path]) == 0
    assert "Changed from 2 to 3 replicas, though 4 were asked for (MaxCostPerHour)." in capsys.readouterr().out


def test_an_object_that_is_being_deleted_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = optimizer(status=workload_status(outcome(), {}, remembered(2)))
    gone["metadata"]["deletionTimestamp"] = "2026-07-01T00:00:00Z"
    assert main(["explain", "-f", written(tmp_path, gone)]) == 0
    assert "Being deleted for " in capsys.readouterr().out


def test_a_list_as_kubectl_prints_it_needs_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, {"kind": "List", "items": [optimizer("llm"), optimizer("chat")]})
    assert main(["explain", "-f", path]) == 2
    assert "2 of WorkloadOptimizer in it; name one" in capsys.readouterr().err
    assert main(["explain", "-f", path, "ai/chat"]) == 1  # nothing has been decided yet
    assert capsys.readouterr().out.startswith("ai/chat  no target  not looked at yet")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a WorkloadOptimizer"),
        (["llm"], "'llm' is not NAMESPACE/NAME"),
        (["ai/llm/x"], "is not NAMESPACE/NAME"),
        (["-f", "/nowhere.yaml"], "/nowhere.yaml: No such file"),
        (["ai/llm", "--kubeconfig", "/nowhere"], "no way to the cluster: there is no file /nowhere"),
    ],
)
def test_what_cannot_be_read_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ([{"kind": "Deployment"}], "no WorkloadOptimizer in it"),
        ([optimizer(status={"lastDecision": {"desiredReplicas": "many"}})], "status.lastDecision.desiredReplicas"),
        ([optimizer(status=["no", "status"])], "status"),
    ],
)
def test_a_file_without_a_usable_status(
    objects: list[Json], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "-f", written(tmp_path, *objects)]) == 2
    assert said in capsys.readouterr().err
