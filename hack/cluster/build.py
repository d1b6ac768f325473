"""Builds missing parts with Go, one after another, and says how far it is."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from hack.cluster.cache import cache_directory, exclusive, install, remove_tree, report
from hack.cluster.errors import ClusterError
from hack.cluster.golang import find_go
from hack.cluster.parts import PARTS, Part

PROGRESS_EVERY_SECONDS = 15.0
ASSET_NAMES = frozenset({"etcd", "kube-apiserver", "kubectl"})
"""What a `KUBEBUILDER_ASSETS` folder holds, by the convention of controller-runtime's envtest."""


def tool(name: str) -> Path:
    """The binary `name` (`kubectl`, `promtool`, `helm`, …), built now if it is not there yet.

    Raises:
        ClusterError: no part has such a command, or its build is impossible here; the message says what is missing.
    """
    asset = _asset(name)
    if asset:
        return asset
    part = part_of(name)
    ensure([part.name])
    return part.directory() / name


def part_of(command: str) -> Part:
    for part in PARTS:
        if command in part.commands:
            return part
    known = ", ".join(name for part in PARTS for name in part.commands)
    raise ClusterError(f"no part of the cluster is called {command!r}; there are: {known}")


def ensure(names: Iterable[str]) -> None:
    """Build those of the named parts that the cache lacks. Compile caches are deleted after success (6 GB, else)."""
    wanted = set(names)
    parts = [part for part in PARTS if part.name in wanted and not _provided(part)]
    if all(part.directory().exists() for part in parts):
        return
    with exclusive("build"):
        missing = [part for part in parts if not part.directory().exists()]
        if missing:
            _build_all(missing)


def _asset(name: str) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or name not in ASSET_NAMES:
        return None
    path = Path(folder) / name
    if not path.exists():
        raise ClusterError(f"KUBEBUILDER_ASSETS is {folder}, but that folder has no {name}; unset it to build one")
    return path


def _provided(part: Part) -> bool:
    """Whether every command of the part comes from KUBEBUILDER_ASSETS."""
    return bool(os.environ.get("KUBEBUILDER_ASSETS")) and ASSET_NAMES.issuperset(part.commands)


def _build_all(parts: list[Part]) -> None:
    go = find_go()
    total_seconds = sum(part.typical_build_seconds for part in parts)
    names = ", ".join(part.name for part in parts)
    report(f"building {names} with {go}, once: about {total_seconds // 60 + 1} min on two free cores")
    for part in parts:
        start = time.monotonic()
        install(part.directory(), lambda staging, part=part: _build(go, part, staging))  # type: ignore[misc]
        megabytes = sum(file.stat().st_size for file in part.directory().iterdir()) / 1e6
        report(f"{part.name}: built in {time.monotonic() - start:.0f} s, {megabytes:.0f} MB")
    remove_tree(_go_directory("build-cache"))
    remove_tree(_go_directory("module-cache"))


def _go_directory(name: str) -> Path:
    return cache_directory() / "go" / name


def _environment() -> dict[str, str]:
    """Go's settings for a reproducible build; where modules come from is left as this machine has it."""
    inherited = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    return {
        **inherited,
        "CGO_ENABLED": "0",
        "GOCACHE": str(_go_directory("build-cache")),
        "GOMODCACHE": str(_go_directory("module-cache")),
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _build(go: Path, part: Part, staging: Path) -> None:
    packages = list(part.commands.values())
    report(f"{part.name}: fetching modules")
    listed = _run(go, part, ["list", "-deps", *part.build_flags(), *packages])
    log = _Progress(part.name, total=len(listed.splitlines()))
    # Several commands take their packages' names; a lone one is told its name, since etcd's package is "server/v3".
    output = f"{staging}/" if len(packages) > 1 else str(staging / next(iter(part.commands)))
    process = subprocess.Popen(
        [go, "build", "-v", *part.build_flags(), "-o", output, *packages],
        cwd=part.folder,
        env=_environment(),
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert process.stderr is not None
    with log:
        for line in process.stderr:
            log.line(line.rstrip())
    if process.wait():
        raise ClusterError(f"building {part.name} failed:\n{log.tail()}")


def _run(go: Path, part: Part, arguments: list[str]) -> str:
    answer = subprocess.run(
        [go, *arguments], cwd=part.folder, env=_environment(), capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise ClusterError(
            f"the Go modules of {part.name} could not be had (is the module proxy reachable?):\n{answer.stderr[-2000:]}"
        )
    return answer.stdout


class _Progress:
    """Counts the packages that `go build -v` names, and reports at a steady pace from a thread of its own."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total = name, total
        self._lines: list[str] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._report_steadily, daemon=True)

    def __enter__(self) -> _Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def line(self, text: str) -> None:
        self._lines.append(text)

    def tail(self) -> str:
        return "\n".join(self._lines[-20:])

    def _report_steadily(self) -> None:
        start = time.monotonic()
        while not self._done.wait(PROGRESS_EVERY_SECONDS):
            seconds = time.monotonic() - start
            report(f"{self._name}: {len(self._lines)} of at most {self._total} packages compiled, {seconds:.0f} s")
