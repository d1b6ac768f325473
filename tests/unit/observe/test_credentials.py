"""A kubeconfig that cannot be used: one sentence that names the file and what is wrong with it."""

import asyncio
from pathlib import Path

import pytest
from kubernetes.aio.client import Configuration

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.observe.credentials import read_kubeconfig
from kcloud_autoscale.operator.connect import load_configuration

GOOD = """
clusters: [{name: c, cluster: {server: "https://api.example:6443"}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: secret}}]
"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"garbage: [\n", "{} is not YAML at line 2: expected the node content, but found '<stream end>'"),
        (b"a: \x01", "{} is not YAML: unacceptable character #x0001: special characters are not allowed"),
        (b"\xff\xfe", "{} is no kubeconfig: it is not UTF-8"),
        (b"", "{} is empty"),
        (b"just text\n", "{} is no kubeconfig: there are no clusters and contexts in it"),
        (b"clusters: []\n", "Invalid kube-config file. Expected key current-context in {}"),
        (b"clusters: 3\n", "{} is no kubeconfig: TypeError: 'int' object is not iterable"),
    ],
)
def test_what_is_wrong_with_it(content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    expected = f"no way to the cluster: {said.format(file)}"
    with pytest.raises(ConfigError) as refused:
        asyncio.run(read_kubeconfig(Configuration(), str(file)))
    assert str(refused.value) == expected
    # The operator is told the same of the file that KUBECONFIG names.
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError) as refused:
        asyncio.run(load_configuration())
    assert str(refused.value) == expected


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    with pytest.raises(ConfigError, match=f"there is no file {first} nor {second}$"):
        asyncio.run(read_kubeconfig(Configuration(), f"{first}:{second}"))
    with pytest.raises(ConfigError, match=f"{tmp_path} cannot be read: Is a directory$"):
        asyncio.run(read_kubeconfig(Configuration(), str(tmp_path)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(ConfigError, match=r"there is no file .*/.kube/config, and KUBECONFIG is not set$"):
        asyncio.run(read_kubeconfig(Configuration()))


def test_one_of_several_files_may_be_missing_or_hold_a_part(tmp_path: Path) -> None:
    clusters, current = tmp_path / "clusters", tmp_path / "current"
    clusters.write_text(GOOD)
    current.write_text("current-context: x\n")
    configuration = Configuration()
    asyncio.run(read_kubeconfig(configuration, f"{tmp_path / 'missing'}:{clusters}:{current}"))
    assert configuration.host == "https://api.example:6443"


def test_a_context_that_is_not_in_it(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(GOOD)
    with pytest.raises(ConfigError, match=f"Expected object with name y in {file}/contexts list"):
        asyncio.run(read_kubeconfig(Configuration(), str(file), "y"))
