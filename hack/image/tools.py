"""Programs of the system that build an image, installed by the system's own package manager where they lack."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from hack.cluster.cache import report

PACKAGES = {"buildah": "buildah", "debootstrap": "debootstrap", "setpriv": "util-linux"}


class ImageError(Exception):
    """The image cannot be built or run here; the message says what is missing."""


def as_root(words: Sequence[str]) -> list[str]:
    """The command under root's rights: chroots and mounts need them."""
    return [*words] if os.geteuid() == 0 else ["sudo", *words]


def run(words: Sequence[str], *, timeout_seconds: float = 900.0) -> str:
    """What a command prints, run as root.

    Raises:
        ImageError: It failed or took too long; the message is the end of what it said.
    """
    try:
        done = subprocess.run(
            as_root(words), capture_output=True, text=True, errors="replace", timeout=timeout_seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"{words[0]}: {error}") from error
    if done.returncode:
        raise ImageError(f"{' '.join(words)}:\n{(done.stdout + done.stderr).strip()[-3000:]}")
    return done.stdout


def ensure_tools() -> None:
    """Install the programs that lack.

    Raises:
        ImageError: There is no apt to ask, or it has not got them.
    """
    # Debian keeps some of them where only root's PATH leads.
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    missing = sorted({package for program, package in PACKAGES.items() if shutil.which(program, path=path) is None})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ImageError(f"install {', '.join(missing)}: the image is built with Debian's packages")
    report(f"installing {', '.join(missing)}")
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing])
