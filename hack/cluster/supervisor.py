"""Runs the cluster's processes and outlives its owner just long enough to stop them.

Started as a script of its own (`python -I supervisor.py DIRECTORY keep|remove`), it reads one JSON command a line on
standard input and answers each on standard output. End of input, a new parent or SIGTERM mean that the owner is gone:
everything is killed and, with `remove`, the directory deleted. The kernel kills the children if this process itself is
killed, which is why it must start them from its only thread: PR_SET_PDEATHSIG is tied to the thread that forked.

It imports nothing of the project, so that it starts in 30 ms and cannot be broken by a half-edited checkout.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
OWNER_CHECK_SECONDS = 1.0
POLL_SECONDS = 0.01

Command = dict[str, Any]


class Supervisor:
    """Children by name."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def answer(self, command: Command) -> Command:
        """Carry out one command: start, stop or poll."""
        verbs = {"start": self.start, "stop": self.stop, "poll": self.poll}
        try:
            return verbs[command["verb"]](command)
        except OSError as error:
            return {"error": str(error)}

    def start(self, command: Command) -> Command:
        """Start `argv` under `name`; its output is appended to `log`."""
        with open(command["log"], "ab") as log:
            child = subprocess.Popen(
                command["argv"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=command["environment"],
                cwd=self.directory,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.children[command["name"]] = child
        return {"pid": child.pid}

    def stop(self, command: Command) -> Command:
        """SIGTERM, and SIGKILL to what is still there after `grace_seconds`; at once where that is zero."""
        child = self.children.pop(command["name"])
        terminate([child], command["grace_seconds"])
        return {"code": child.returncode}

    def poll(self, command: Command) -> Command:
        """The exit code of each child, null for those that run."""
        return {"codes": {name: child.poll() for name, child in self.children.items()}}

    def stop_all(self) -> None:
        terminate(list(self.children.values()), grace_seconds=0.0)
        self.children.clear()


def die_with_parent() -> None:
    """In the child, before exec: have the kernel kill it when this supervisor ends, however that happens."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def terminate(children: list[subprocess.Popen[bytes]], grace_seconds: float) -> None:
    running = [child for child in children if child.poll() is None]
    deadline = time.monotonic() + grace_seconds
    if grace_seconds > 0:
        for child in running:
            child.terminate()
    while time.monotonic() < deadline and any(child.poll() is None for child in running):
        time.sleep(POLL_SECONDS)
    for child in running:
        if child.poll() is None:
            child.kill()
    for child in running:
        child.wait()


def serve(supervisor: Supervisor, owner: int) -> None:
    """Answer commands until the owner is gone.

    The owner's end of the pipe may have leaked into a process that it forked, so its identity is watched as well.
    """
    pending = b""
    while os.getppid() == owner:
        readable, _, _ = select.select([0], [], [], OWNER_CHECK_SECONDS)
        if not readable:
            continue
        received = os.read(0, 65536)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            print(json.dumps(supervisor.answer(json.loads(line))), flush=True)


def raise_exit(*_: object) -> None:
    raise SystemExit(0)


def main() -> None:
    directory, afterwards = sys.argv[1:]
    supervisor = Supervisor(directory)
    owner = os.getppid()
    signal.signal(signal.SIGTERM, raise_exit)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal reaches the owner, who then decides
    try:
        serve(supervisor, owner)
    finally:
        supervisor.stop_all()
        if afterwards == "remove":
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
