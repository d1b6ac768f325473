"""`kcloud-autoscale recommend`: what is asked for that cannot be, said before anything is read."""

import subprocess
import sys
from pathlib import Path

import pytest

from kcloud_autoscale.cli.main import main

URL = ("--prometheus", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say where Prometheus is"),
        (("--prometheus", "notaurl"), "--prometheus is notaurl, must be an http:// or https:// address"),
        (("--prometheus", "http://host:port"), "--prometheus is http://host:port, must be"),
        ((*URL, "--latency-ms", "0"), "--latency-ms is 0, must be greater than 0"),
        ((*URL, "--capacity-per-replica", "nan"), "--capacity-per-replica is nan"),
        ((*URL, "--days", "-1"), "--days is -1"),
        ((*URL, "--days", "20"), "--days 20 is more than --history-days 14"),
        ((*URL, "--min-replicas", "0"), "--min-replicas is 0, must be at least 1"),
        (
            (*URL, "--min-replicas", "3", "--max-replicas", "2"),
            "--max-replicas is 2, must be at least --min-replicas, which is 3",
        ),
        ((*URL, "--kubeconfig", "/nowhere"), "no way to the cluster: there is no file /nowhere"),
    ],
)
def test_what_cannot_be_is_said(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMETHEUS_URL", raising=False)
    assert main(["recommend", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "contexts: [{name: x, context: {cluster: c}}]\n"
        "current-context: x\nusers: []\n"
    )
    # A process of its own: pytest listens to the logs, and then Python prints none of them.
    command = [sys.executable, "-m", "kcloud_autoscale", "recommend", *URL, "--kubeconfig", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("kcloud-autoscale recommend: the cluster cannot be read: Deployments have not been listed")


@pytest.mark.parametrize("option", ["--manifests", "--html"])
def test_a_folder_that_cannot_be_made_is_said_before_anything_is_read(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["recommend", *URL, "--kubeconfig", "/nowhere", option, str(tmp_path / "file" / "pages")]) == 2
    assert (
        f"{option}: {tmp_path / 'file' / 'pages'} cannot be made a folder: Not a directory" in capsys.readouterr().err
    )
