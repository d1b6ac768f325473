"""An image run as a kubelet would run a restricted pod, without an engine.

Namespaces of its own for processes and mounts, the image's files read-only, a uid without a name, no capabilities and
no way to gain any, and nothing of this machine's environment. The network is this machine's: there is the API server.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.image.build import Image
from hack.image.tools import ImageError, as_root, run

# The devices that an engine gives a container, then its volumes, then the root read-only, then nobody.
_START = r"""
set -e
root=$1 user=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -m 1777 "$root/dev/shm"
mount -t tmpfs -o size=64m shm "$root/dev/shm"
while [ "$1" != -- ]; do
  # Resolved inside: the image's /var/run is a link, which out here leads to this machine's.
  target=$root$(chroot "$root" sh -c 'mkdir -p "$1" && readlink -f "$1"' sh "$2")
  mount --bind "$1" "$target"
  mount -o remount,bind,ro "$target"
  shift 2
done
shift
mount -o remount,bind,ro "$root"
cd /
exec chroot "$root" setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups \
  --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
"""


class Container:
    """A command in an image, as process 1 of its namespace.

    Args:
        image: Which.
        root: Its mounted file system.
        environment: On top of the image's own.
        volumes: Folders of this machine by where they appear, read-only.
    """

    def __init__(
        self, image: Image, root: Path, environment: Mapping[str, str], volumes: Mapping[str, Path] | None = None
    ) -> None:
        self._root, self._user = root, image.user
        self._environment = {**image.environment, **environment}
        self._volumes = volumes or {}

    def start(self, words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start the command with its output in a file; it ends with this process."""
        with log.open("ab") as file:
            return subprocess.Popen(self._command(words), stdout=file, stderr=file)

    def run(self, *words: str, timeout_seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """The command's output and exit code."""
        return subprocess.run(
            self._command(words), capture_output=True, text=True, timeout=timeout_seconds, check=False
        )

    def _command(self, words: Sequence[str]) -> list[str]:
        volumes = [word for inside, outside in self._volumes.items() for word in (str(outside), inside)]
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        started = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _START, "sh"]
        return as_root(
            [*started, str(self._root), self._user, *volumes, "--", "/usr/bin/env", "-i", *environment, *words]
        )


def inside(process: subprocess.Popen[bytes], timeout_seconds: float = 10.0) -> dict[str, str]:
    """``/proc/PID/status`` of process 1 of a container, once the command runs.

    Raises:
        ImageError: It has none.
    """
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until and process.poll() is None:
        status = _first_inside(process.pid)
        # Until the last `exec` it is the shell that mounts, then the tools that give up its rights.
        if status is not None and status["Name"] not in ("unshare", "sh", "chroot", "setpriv", "env"):
            return status
        time.sleep(0.01)
    raise ImageError("the container has no process")


def _first_inside(number: int) -> dict[str, str] | None:
    """The process of another namespace below this one: below `unshare`, which may be below `sudo`."""
    with contextlib.suppress(OSError):  # it has ended meanwhile
        while children := Path(f"/proc/{number}/task/{number}/children").read_text().split():
            number = int(children[0])
            lines = Path(f"/proc/{number}/status").read_text().splitlines()
            status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
            if len(status["NSpid"].split()) > 1:
                return status
    return None


def send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to process 1 of a container, whose keeper outside would not pass it on.

    Raises:
        ImageError: It has none.
    """
    run(["kill", f"-{int(number)}", inside(process)["Pid"]])
