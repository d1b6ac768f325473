"""Starts, watches and stops the processes of one cluster through a supervisor that cleans up after us."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hack.cluster.errors import ClusterError

SUPERVISOR = Path(__file__).parent / "supervisor.py"
READY_POLL_SECONDS = 0.05
LOG_TAIL_LINES = 25


def loopback_environment() -> dict[str, str]:
    """A small environment for the parts: no proxy setting, so that loopback stays loopback."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}


class Processes:
    """Named child processes whose logs are `<directory>/logs/<name>.log`.

    They end with `close`, and also when the process that made this object ends in any way, SIGKILL included.
    """

    def __init__(self, directory: Path, *, remove_directory: bool) -> None:
        self.directory = directory
        self._remove_directory = remove_directory
        self._lock = threading.Lock()
        (directory / "logs").mkdir(parents=True, exist_ok=True)
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", str(SUPERVISOR), str(directory), "remove" if remove_directory else "keep"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._pids: dict[str, int] = {}

    def start(self, name: str, argv: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> int:
        """Start a process under a name; returns its pid. Does not wait for it to be ready."""
        if self.is_running(name):
            raise ClusterError(f"{name} runs already")
        words = [str(word) for word in argv]
        self._commands[name] = (words, dict(environment or loopback_environment()))
        return self.start_again(name)

    def start_again(self, name: str) -> int:
        """Start a process that was stopped, or ended by itself, with the arguments that it had."""
        if name not in self._commands:
            raise ClusterError(f"{name} was never started; known: {', '.join(self._commands) or 'none'}")
        if self.is_running(name):
            raise ClusterError(f"{name} runs already")
        argv, environment = self._commands[name]
        answer = self._ask(verb="start", name=name, argv=argv, environment=environment, log=str(self.log_file(name)))
        self._pids[name] = int(answer["pid"])
        return self._pids[name]

    def stop(self, name: str, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL after the grace; returns when it is gone and its port is free again."""
        if name not in self._pids:
            raise ClusterError(f"{name} does not run; running: {', '.join(self._pids) or 'none'}")
        self._ask(verb="stop", name=name, grace_seconds=grace_seconds)
        del self._pids[name]

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what was started and not stopped."""
        return dict(self._pids)

    def is_running(self, name: str) -> bool:
        return name in self._pids and self._exit_code(name) is None

    def log_file(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def wait_until(self, name: str, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Poll `ready` until it holds.

        Raises:
            ClusterError: the process ended, or the time is up; with the end of its log.
        """
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            code = self._exit_code(name)
            if code is not None:
                raise ClusterError(f"{name} ended with code {code}:\n{self._log_tail(name)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} was not ready after {timeout_seconds:g} s:\n{self._log_tail(name)}")
            time.sleep(READY_POLL_SECONDS)

    def close(self) -> None:
        """Kill everything and, if so asked, delete the directory. Safe to call twice."""
        assert self._supervisor.stdin is not None
        self._pids.clear()
        # A supervisor that was killed has taken its children along, but could not tidy up or read to the end.
        with contextlib.suppress(BrokenPipeError):
            self._supervisor.stdin.close()
        self._supervisor.wait()
        assert self._supervisor.stdout is not None
        self._supervisor.stdout.close()
        if self._remove_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _exit_code(self, name: str) -> int | None:
        """None while it runs, and for what was stopped."""
        code: int | None = self._ask(verb="poll")["codes"].get(name)
        return code

    def _ask(self, **command: Any) -> dict[str, Any]:
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        with self._lock:
            try:
                self._supervisor.stdin.write(json.dumps(command) + "\n")
                self._supervisor.stdin.flush()
            except (BrokenPipeError, ValueError) as error:
                raise ClusterError("the cluster was stopped already") from error
            line = self._supervisor.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the cluster's supervisor has ended"}
        if "error" in answer:
            raise ClusterError(f"{command['verb']} {command.get('name', '')}: {answer['error']}")
        return answer

    def _log_tail(self, name: str) -> str:
        log = self.log_file(name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        pointer = [] if self._remove_directory else [f"(whole log: {log})"]  # the caller gives up, and the log goes too
        return "\n".join([*lines[-LOG_TAIL_LINES:], *pointer])
