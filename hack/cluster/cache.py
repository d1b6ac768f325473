"""Where built binaries live, and how several processes share that place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path


def cache_directory() -> Path:
    """`$KCLOUD_CACHE`, by default `~/.cache/kcloud-autoscale`; `hack/bootstrap` keeps its own tools there too."""
    chosen = os.environ.get("KCLOUD_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "kcloud-autoscale"


def report(message: str) -> None:
    """One progress line for the person waiting. Standard output stays for what a command was asked for."""
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lock `name` of this cache; a second process waits, and says so.

    The kernel drops the lock with the process, so a killed build leaves nothing to clean up.
    """
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another process that holds {file.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(target: Path, fill: Callable[[Path], None]) -> None:
    """Make the folder `target` appear complete or not at all: `fill` works on a sibling, which is then renamed."""
    staging = target.with_name(f"{target.name}.partial")
    remove_tree(staging)
    staging.mkdir(parents=True)
    fill(staging)
    staging.rename(target)


def remove_tree(directory: Path) -> None:
    """Delete a folder if it is there, also a Go module cache, whose folders are read-only."""
    if not directory.exists():
        return
    for parent, _, _ in os.walk(directory):
        Path(parent).chmod(stat.S_IRWXU)
    shutil.rmtree(directory)
