"""What the operator needs while nothing happens: ``python -m hack.operator_footprint 500``.

Starts the local control plane and Prometheus, makes that many Deployments and WorkloadOptimizers with a steady demand
each (a query of its own per workload: the dearest case, presets are grouped), runs the operator with its defaults
under the roles of hack/deploy, and prints memory of controller and forecast worker, and CPU once everything has been
decided and written.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from hack.cluster import Cluster, Node
from tests.e2e.world import Demand, Operator, exported, install, optimizer
from tests.integration.manifests import deployment

NAMESPACE = "ai"
BATCH = 100
# First look, first decisions, and a status each at 20 writes a second.
SETTLE_SECONDS = 150.0
# Statuses that only the clock changes are written every five minutes: as long as all the windows together.
WINDOWS, MEASURED_SECONDS = 3, 100.0
COUNTED = {
    "kcloud_prometheus_queries_total": "to Prometheus",
    'kcloud_kubernetes_requests_total{code="200",verb="PATCH"}': "patches",
}
DEFAULTS = {
    "CYCLE_SECONDS": "60",
    "STEP_SECONDS": "60",
    "SETTLE_SECONDS": "10",
    "MAX_METRIC_AGE_SECONDS": "180",
    "HISTORY_DAYS": "14",
}


def populate(cluster: Cluster, names: list[str]) -> None:
    """A Deployment of one replica and its optimizer per name."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        cluster.kubectl.apply([deployment(NAMESPACE, name, 1, "0s", gpus=0) for name in batch])
        cluster.kubectl.apply([optimizer(NAMESPACE, name) for name in batch])


def resident(worker: psutil.Process) -> int:
    """Bytes in memory; 0 of one that has just ended."""
    try:
        return int(worker.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def requests(operator: Operator) -> dict[str, int]:
    """How many have been answered so far, to whom."""
    found: Counter[str] = Counter()
    for line in operator.get("metrics", "/metrics")[1].splitlines():
        for family, name in COUNTED.items():
            if line.startswith(family):
                found[name] += int(float(line.rsplit(" ", 1)[1]))
    return dict(found)


def measure(operator: Operator) -> None:
    """Wait until it is idle, then look twice."""
    assert operator.process is not None
    process = psutil.Process(operator.process.pid)
    peak, of_worker, until = 0, 0, time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < until:
        peak = max(peak, process.memory_info().rss)
        of_worker = max([of_worker, *map(resident, process.children())])
        time.sleep(0.2)
    print(f"peak of the first {SETTLE_SECONDS:g} s: {peak / 1e6:.0f} MB, worker {of_worker / 1e6:.0f} MB", flush=True)
    for _ in range(WINDOWS):
        before, asked, started = sum(process.cpu_times()[:2]), requests(operator), time.monotonic()
        time.sleep(MEASURED_SECONDS)
        share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)
        made = ", ".join(f"{count - asked.get(name, 0)} {name}" for name, count in requests(operator).items())
        print(f"idle: {share:.1%} of a core, {process.memory_info().rss / 1e6:.0f} MB; {made}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("objects", type=int, help="how many WorkloadOptimizers")
    names = [f"w{index:05d}" for index in range(parser.parse_args().objects)]
    demand = Demand(dict.fromkeys(names, 5.0))
    nodes = [Node("gpu-0", {"nvidia.com/gpu": 8}), Node("gpu-1", {"nvidia.com/gpu": 8})]
    with Cluster.start(nodes=nodes) as cluster, exported(demand), tempfile.TemporaryDirectory() as folder:
        kubeconfig = install(cluster)
        cluster.prometheus.start(demand.scrape_config().replace("1s", "15s"))
        populate(cluster, names)
        operator = Operator(kubeconfig, Path(folder) / "log", cluster.prometheus.url, **DEFAULTS)
        operator.start()
        try:
            operator.wait_ready(120.0)
            measure(operator)
        finally:
            operator.close()


if __name__ == "__main__":
    main()
