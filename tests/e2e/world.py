"""A small world for the operator: a demand of our choosing in a real Prometheus, and the operator as a process.

The operator runs under the ServiceAccount and the roles of the chart, as it would in a cluster.
"""

from __future__ import annotations

import contextlib
import http.server
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.chart import release
from hack.cluster import Cluster
from hack.cluster.processes import loopback_environment
from tests.integration.manifests import Manifest, deployment

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Demand:
    """Load per second by workload, as an exporter tells it; `body` replaces the whole answer when set.

    A workload has its load in every namespace that has a `World`; one named as `team-a/llm` in its own only. `more` is
    told beside them, and so are `pages`, made anew at every scrape.
    """

    loads: dict[str, float | str] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=set)
    body: str | None = None
    more: str = ""
    pages: dict[str, Callable[[], str]] = field(default_factory=dict)
    port: int = 0

    def text(self) -> str:
        if self.body is not None:
            return self.body
        pages = "".join(page() for page in list(self.pages.values()))
        return (
            self.more
            + pages
            + "".join(
                f'demo_load{{namespace="{namespace}",workload="{name.rpartition("/")[2]}"}} {value}\n'
                for name, value in dict(self.loads).items()
                for namespace in ([name.partition("/")[0]] if "/" in name else sorted(self.namespaces))
            )
        )

    def scrape_config(self) -> str:
        return (
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            "scrape_configs:\n"
            "  - job_name: demand\n"
            f"    static_configs: [{{targets: ['127.0.0.1:{self.port}']}}]\n"
        )


@contextlib.contextmanager
def exported(demand: Demand) -> Iterator[Demand]:
    """Serve the demand to Prometheus."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = demand.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet: Prometheus asks every second."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        demand.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield demand
        server.shutdown()


class Operator:
    """`kcloud-autoscale run` as a process; its log goes to a file."""

    def __init__(self, kubeconfig: Path, log: Path, prometheus_url: str, **environment: str) -> None:
        self.log = log
        self._environment = {
            **loopback_environment(),
            "KUBECONFIG": str(kubeconfig),
            "PROMETHEUS_URL": prometheus_url,
            "POD_NAMESPACE": release.NAMESPACE,
            "OPERATOR_NAME": release.NAME,
            "POD_NAME": "operator-under-test",
            "BIND_ADDRESS": "127.0.0.1",
            "METRICS_PORT": "0",
            "PROBE_PORT": "0",
            "CYCLE_SECONDS": "2",
            "STEP_SECONDS": "2",
            "SETTLE_SECONDS": "1",
            "MAX_METRIC_AGE_SECONDS": "8",
            "HISTORY_DAYS": "0.02",
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "kcloud_autoscale", "run"]
        with self.log.open("ab") as log:
            self._offset = log.tell()
            self.process = subprocess.Popen(command, env=self._environment, stderr=log, cwd=ROOT)

    def kill(self) -> None:
        """As a node failure would: no time for anything."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, timeout_seconds: float = 10.0) -> int:
        """As the kubelet would; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout_seconds)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def said(self) -> str:
        """What this run has logged so far."""
        with self.log.open("rb") as log:
            log.seek(self._offset)
            return log.read().decode()

    def ports(self) -> Mapping[str, int]:
        """Of metrics and probes, once they listen."""
        words = next(line for line in self.said().splitlines() if "Metrics on port" in line).replace(",", "").split()
        at = words.index("Metrics")
        return {"metrics": int(words[at + 3]), "probe": int(words[at + 7].rstrip("."))}

    def get(self, name: str, path: str) -> tuple[int, str]:
        """GET from one of the two ports: status and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports()[name]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_ready(self, timeout_seconds: float = 40.0) -> None:
        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            return "Metrics on port" in self.said() and self.get("probe", "/readyz")[0] == 200

        eventually(ready, timeout_seconds, lambda: self.said())


def eventually(holds: Callable[[], Any], timeout_seconds: float, explain: Callable[[], object] = lambda: "") -> float:
    """Wait until something holds; the seconds it took."""
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        assert waited < timeout_seconds, f"not within {timeout_seconds:g} s: {explain()}"
        time.sleep(0.1)
    return time.monotonic() - started


def always(holds: Callable[[], Any], seconds: float, explain: Callable[[], object] = lambda: "") -> None:
    """Something holds for a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert holds(), explain()
        time.sleep(0.2)


def optimizer(namespace: str, name: str, **scaling: Any) -> Manifest:
    """A WorkloadOptimizer of the Deployment of its own name: 10 load per second per replica, 1 to 10 replicas."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 6}}
    given = {
        "minReplicas": 1,
        "maxReplicas": 10,
        "capacityPerReplica": 10,
        "leadTimeSeconds": 2,
        "demand": {"query": f'sum(demo_load{{workload="{name}"}})'},
        "behavior": behavior,
    }
    return {
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "WorkloadOptimizer",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"workloadType": "serving", "autoScaling": {**given, **scaling}},
    }


@dataclass
class World:
    """Cluster, Prometheus and demand, and what tests ask of them."""

    cluster: Cluster
    namespace: str
    demand: Demand
    operator: Operator

    def __post_init__(self) -> None:
        self.demand.namespaces.add(self.namespace)

    def deploy(self, name: str, replicas: int = 1, ready_delay: str = "0s") -> None:
        self.cluster.kubectl.apply([deployment(self.namespace, name, replicas, ready_delay, gpus=0)])

    def apply(self, *manifests: Manifest) -> None:
        self.cluster.kubectl.apply(manifests)

    def replicas(self, name: str) -> int:
        return int(self.cluster.kubectl.get("deployment", name, "-n", self.namespace)["spec"]["replicas"])

    def get(self, name: str) -> dict[str, Any]:
        return self.cluster.kubectl.get("workloadoptimizer", name, "-n", self.namespace)

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get(name).get("status", {})
        return status

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        conditions = self.status(name).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def events(self, name: str) -> list[dict[str, Any]]:
        listed = self.cluster.kubectl.get("events.events.k8s.io", "-n", self.namespace)["items"]
        return [event for event in listed if event.get("regarding", {}).get("name") == name]

    def reasons(self, name: str) -> set[str]:
        return {event["reason"] for event in self.events(name)}

    def explain(self, name: str) -> str:
        words = ("describe", "workloadoptimizer", name, "-n", self.namespace)
        return self.cluster.kubectl(*words) + self.operator.said()
