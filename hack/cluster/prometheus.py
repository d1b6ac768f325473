"""A real Prometheus on loopback: with a cluster or alone, stopped and started at will on the same port."""

from __future__ import annotations

import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster.build import ensure, tool
from hack.cluster.errors import ClusterError
from hack.cluster.ports import Ports
from hack.cluster.processes import Processes

READY_TIMEOUT_SECONDS = 60.0
STOP_GRACE_SECONDS = 10.0
DEFAULT_FLAGS: Mapping[str, str] = {
    # The 15 days of Prometheus' default would delete a test's older history at start.
    "--storage.tsdb.retention.time": "400d",
    "--web.enable-lifecycle": "",
    "--web.enable-remote-write-receiver": "",
    "--log.level": "warn",
}


class Prometheus:
    """One Prometheus server whose port stays the same for the life of this object.

    Alone: `with Prometheus() as prometheus: prometheus.start(config_yaml)`. A cluster brings its own as
    `cluster.prometheus`, with the cluster's processes and directory.
    """

    def __init__(self, processes: Processes | None = None, ports: Ports | None = None) -> None:
        ensure(["prometheus"])
        self._alone = processes is None
        self._processes = processes or Processes(
            Path(tempfile.mkdtemp(prefix="kcloud-prometheus-")), remove_directory=True
        )
        self._ports = ports or Ports()
        self._port = self._ports.reserve()
        self._directory = self._processes.directory / f"prometheus-{self._port}"
        self._directory.mkdir()
        self._name = self._directory.name

    @property
    def url(self) -> str:
        """Base address, known before the server runs."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def data_directory(self) -> Path:
        """Where the blocks are, unless `start` was given another folder."""
        return self._directory / "data"

    @property
    def log_file(self) -> Path:
        return self._processes.log_file(self._name)

    @property
    def running(self) -> bool:
        return self._processes.is_running(self._name)

    def start(self, config_yaml: str = "", data_dir: Path | None = None, flags: Sequence[str] = ()) -> None:
        """Start on an optional folder of existing blocks; returns when queries are answered.

        Args:
            config_yaml: prometheus.yml; relative paths in it are meant from this server's directory.
            data_dir: as `promtool tsdb create-blocks-from` fills it. Kept when the server stops.
            flags: more of `--name=value`; one that names a default replaces it. A flag written twice is an error of
                Prometheus itself.

        Raises:
            ClusterError: it did not become ready; the message has the end of its log.
        """
        self._write_config(config_yaml)
        argv: list[str | Path] = [
            tool("prometheus"),
            f"--config.file={self._config_file}",
            f"--storage.tsdb.path={data_dir or self.data_directory}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            *merge_flags(DEFAULT_FLAGS, flags),
        ]
        self._processes.start(self._name, argv)
        self._wait_ready()

    def stop(self, *, kill: bool = False) -> None:
        """End it in order, or as a crash with `kill`. Its data and its port stay."""
        self._processes.stop(self._name, 0.0 if kill else STOP_GRACE_SECONDS)

    def restart(self) -> None:
        """Stop it if it runs, then start it on the same port, data and flags."""
        if self.running:
            self.stop()
        self._processes.start_again(self._name)
        self._wait_ready()

    def reload(self, config_yaml: str | None = None) -> None:
        """Have the running server read its configuration again, after writing a new one if given.

        Raises:
            ClusterError: Prometheus rejects the configuration, and goes on with the old one.
        """
        if config_yaml is not None:
            self._write_config(config_yaml)
        try:
            _open(urllib.request.Request(f"{self.url}/-/reload", method="POST"))
        except urllib.error.HTTPError as error:
            raise ClusterError(f"Prometheus rejects the configuration: {error.read().decode()}") from error

    def close(self) -> None:
        """Stop it; where it had a directory of its own, delete that too."""
        if self._alone:
            self._processes.close()
            self._ports.release()
        elif self.running:
            self.stop(kill=True)

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _config_file(self) -> Path:
        return self._directory / "prometheus.yml"

    def _write_config(self, config_yaml: str) -> None:
        self._config_file.write_text(config_yaml)

    def _wait_ready(self) -> None:
        self._processes.wait_until(self._name, self._is_ready, READY_TIMEOUT_SECONDS)

    def _is_ready(self) -> bool:
        try:
            _open(urllib.request.Request(f"{self.url}/-/ready"))
        except (OSError, urllib.error.URLError):
            return False
        return True


def merge_flags(defaults: Mapping[str, str], flags: Sequence[str]) -> list[str]:
    """Defaults that no given flag names, then the given ones. A default without a value is a switch."""
    named = {flag.partition("=")[0] for flag in flags}
    kept = [f"{name}={value}" if value else name for name, value in defaults.items() if name not in named]
    return [*kept, *flags]


def _open(request: urllib.request.Request) -> None:
    """One request on loopback, past any proxy of the environment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        answer.read()
