"""What the operator needs while nothing happens: ``python -m hack.operator_footprint 500``.

Starts the local control plane and Prometheus, makes that many Deployments and WorkloadOptimizers with a steady demand
each (a query of its own per workload: the dearest case, presets are grouped), runs the operator with its defaults
under the roles of the chart, and prints memory of controller and forecast worker, and CPU once everything has been
decided and written. With ``--history-days 14`` each of them has a past of its own to be read and learned: all pasts
are one series under as many queries, so that Prometheus need not hold a thousand.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from hack.chart.release import install
from hack.cluster import Cluster, Node
from tests.e2e.world import Demand, Operator, exported, optimizer
from tests.integration.manifests import deployment
from tests.integration.series import Series, write_blocks

NAMESPACE = "ai"
BATCH = 100
PAST, PAST_ENDED_SECONDS = "demo_past", 3 * 3600 + 600
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
    """A Deployment of one replica and its optimizer per name; no two queries are alike."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        cluster.kubectl.apply([deployment(NAMESPACE, name, 1, "0s", gpus=0) for name in batch])
        queries = {name: f'sum(demo_load{{workload="{name}"}} or {PAST})' for name in batch}
        cluster.kubectl.apply([optimizer(NAMESPACE, name, demand={"query": queries[name]}) for name in batch])


def past(days: float, folder: Path) -> Path:
    """Blocks with a daily wave that ended some hours ago: what came after is in nobody's block."""
    length = int(days * 86_400)
    start = int(time.time()) - PAST_ENDED_SECONDS - length
    load = lambda at: 5.0 + 2.0 * math.sin(math.tau * at / 86_400.0) + at % 7 / 7.0  # noqa: E731
    wave = Series(PAST, {"namespace": NAMESPACE}, load)
    return write_blocks([wave], start, length, folder)


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


def watch(process: psutil.Process, seconds: float) -> tuple[int, int]:
    """Wait, and tell the most that the process and its workers had in memory meanwhile, in bytes."""
    of_process, of_worker, until = 0, 0, time.monotonic() + seconds
    while time.monotonic() < until:
        of_process = max(of_process, process.memory_info().rss)
        of_worker = max([of_worker, *map(resident, process.children())])
        time.sleep(0.2)
    return of_process, of_worker


def measure(operator: Operator) -> None:
    """Wait until it is idle, then look a few times."""
    assert operator.process is not None
    process = psutil.Process(operator.process.pid)
    peak, of_worker = watch(process, SETTLE_SECONDS)
    print(f"peak of the first {SETTLE_SECONDS:g} s: {peak / 1e6:.0f} MB, worker {of_worker / 1e6:.0f} MB", flush=True)
    for _ in range(WINDOWS):
        before, asked, started = sum(process.cpu_times()[:2]), requests(operator), time.monotonic()
        peak, _ = watch(process, MEASURED_SECONDS)
        share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)
        made = ", ".join(f"{count - asked.get(name, 0)} {name}" for name, count in requests(operator).items())
        now = process.memory_info().rss
        print(f"then: {share:.1%} of a core, {now / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB; {made}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("objects", type=int, help="how many WorkloadOptimizers")
    parser.add_argument("--history-days", type=float, default=0.0, help="of each workload's past (default: none)")
    args = parser.parse_args()
    names = [f"w{index:05d}" for index in range(args.objects)]
    demand = Demand(dict.fromkeys(names, 5.0), {NAMESPACE})
    nodes = [Node("gpu-0", {"nvidia.com/gpu": 8}), Node("gpu-1", {"nvidia.com/gpu": 8})]
    with Cluster.start(nodes=nodes) as cluster, exported(demand), tempfile.TemporaryDirectory() as folder:
        kubeconfig = install(cluster)
        data = past(args.history_days, Path(folder)) if args.history_days else None
        cluster.prometheus.start(demand.scrape_config().replace("1s", "15s"), data_dir=data)
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
