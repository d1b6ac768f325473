"""Named clusters that go on after the command that started them: `up`, `status`, `down`."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from hack.cluster.build import ensure, tool
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.cluster.nodes import Node
from hack.cluster.parts import CONTROL_PLANE

POLL_SECONDS = 0.05
DOWN_TIMEOUT_SECONDS = 15.0
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Background:
    """One named cluster of this user.

    The process that keeps it holds a lock on `<name>.lock`; so a killed one is never mistaken for a running one.
    """

    name: str

    @property
    def directory(self) -> Path:
        """Everything of the cluster; short, readable by its owner only, gone after `down`."""
        return Path(tempfile.gettempdir()) / f"kcloud-autoscale-{os.getuid()}" / self.name

    @property
    def lock_file(self) -> Path:
        return self.directory.with_name(f"{self.name}.lock")

    @property
    def log_file(self) -> Path:
        return self.directory.with_name(f"{self.name}.log")

    @property
    def _ready_file(self) -> Path:
        return self.directory / "ready.json"

    def keeper_pid(self) -> int | None:
        """Process id of the running keeper, None where there is none."""
        if not self.lock_file.exists():
            return None
        with self.lock_file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
        return None

    def up(self, gpu_nodes: int, hpa_sync_seconds: float, prometheus_config: Path | None) -> None:
        """Build what is missing, start the keeper and return when the cluster is ready.

        Raises:
            ClusterError: it runs already, or did not come up; the message has the keeper's last words.
        """
        if self.keeper_pid():
            raise ClusterError(f"cluster {self.name!r} runs already; `down` stops it")
        ensure([*CONTROL_PLANE, *(["prometheus"] if prometheus_config else [])])
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.parent.mkdir(mode=0o700, exist_ok=True)
        words = [
            "serve",
            "--name",
            self.name,
            "--gpu-nodes",
            str(gpu_nodes),
            "--hpa-sync-seconds",
            str(hpa_sync_seconds),
        ]
        if prometheus_config:
            words += ["--prometheus", str(prometheus_config.resolve())]
        with self.log_file.open("wb") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "hack.cluster", *words],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not self._ready_file.exists():
            if keeper.poll() is not None:
                raise ClusterError(f"cluster {self.name!r} did not come up:\n{self.log_file.read_text().strip()}")
            time.sleep(POLL_SECONDS)

    def serve(self, gpu_nodes: int, hpa_sync_seconds: float, prometheus_config: Path | None) -> None:
        """The keeper: run the cluster until SIGTERM, then leave nothing but the log."""
        with self.lock_file.open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            signal.signal(signal.SIGTERM, _leave)
            nodes = [Node(f"gpu-{index}", {"nvidia.com/gpu": 8}) for index in range(gpu_nodes)]
            try:
                with Cluster.start(nodes=nodes, hpa_sync_seconds=hpa_sync_seconds, directory=self.directory) as cluster:
                    self._announce(cluster, prometheus_config)
                    while True:
                        signal.pause()
            finally:
                shutil.rmtree(self.directory, ignore_errors=True)
                self.lock_file.unlink(missing_ok=True)

    def _announce(self, cluster: Cluster, prometheus_config: Path | None) -> None:
        variables = {"KUBECONFIG": str(cluster.kubeconfig)}
        if prometheus_config:
            cluster.prometheus.start(prometheus_config.read_text())
            variables["PROMETHEUS_URL"] = cluster.prometheus.url
        unfinished = self._ready_file.with_suffix(".partial")
        unfinished.write_text(json.dumps(variables))
        unfinished.rename(self._ready_file)

    def variables(self) -> dict[str, str]:
        """What a shell needs to use the cluster.

        Raises:
            ClusterError: it does not run.
        """
        if not self.keeper_pid() or not self._ready_file.exists():
            raise ClusterError(f"cluster {self.name!r} does not run; start it with `python3 -m hack.cluster up`")
        found: dict[str, str] = json.loads(self._ready_file.read_text())
        return found

    def down(self) -> bool:
        """Stop it and wait until it is gone. False where it did not run; what a killed keeper left is removed."""
        pid = self.keeper_pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + DOWN_TIMEOUT_SECONDS
            while self.keeper_pid():
                if time.monotonic() > deadline:
                    raise ClusterError(f"process {pid} of cluster {self.name!r} does not end; see {self.log_file}")
                time.sleep(POLL_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.lock_file.unlink(missing_ok=True)
        self.log_file.unlink(missing_ok=True)
        return pid is not None


def shell_exports(variables: dict[str, str]) -> str:
    """Lines for `eval`: the variables, and the matching kubectl first on the PATH."""
    lines = [f"export {name}={value}" for name, value in variables.items()]
    return "\n".join([*lines, f'export PATH={tool("kubectl").parent}:"$PATH"'])


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)
