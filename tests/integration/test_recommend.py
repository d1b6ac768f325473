"""`kcloud-autoscale recommend` beside a real API server and a real Prometheus with three days of load."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from hack.cluster import Cluster, Node, Prometheus, tool
from hack.load.demand import DemandShape
from hack.load.past import PastPlan
from hack.load.scenario import Scenario
from hack.load.service import Service
from kcloud_autoscale.api.validate import check
from kcloud_autoscale.cli.recommend_reading import SYNC_SECONDS
from tests.integration.manifests import deployment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
STEP_SECONDS = 60.0
DAYS = 3.0
CONFIG = yaml.safe_dump({"storage": {"tsdb": {"out_of_order_time_window": "6h"}}})


@dataclass
class World:
    cluster: Cluster
    namespace: str
    url: str

    kubeconfig: Path

    def recommend(self, *words: str) -> subprocess.CompletedProcess[str]:
        where = ("-n", self.namespace, "--kubeconfig", str(self.kubeconfig), "--prometheus", self.url)
        command = [sys.executable, "-m", "kcloud_autoscale", "recommend", *where, *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A server with three days behind it, and one that nobody measures, on a node whose device has a price."""
    namespace = "recommended"
    node = Node("gpu-0", {"nvidia.com/gpu": 16}, {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"})
    with Cluster.start(nodes=[node]) as cluster, Prometheus() as prometheus:
        cluster.kubectl("create", "namespace", namespace)
        for name, gpus in (("llm", 1), ("quiet", 0)):
            cluster.kubectl.apply([deployment(namespace, name, 4, "2s", gpus=gpus)])
            cluster.kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=60s")
        _fill(prometheus, namespace)
        yield World(cluster, namespace, prometheus.url, cluster.kubeconfig)


def _fill(prometheus: Prometheus, namespace: str) -> None:
    now = time.time() // STEP_SECONDS * STEP_SECONDS
    scenario = Scenario(
        services=[Service(namespace, "llm")],
        demand=DemandShape(level_per_second=30.0, daily_fraction=0.6, noise_fraction=0.04),
        plan=PastPlan.before(now, days=DAYS, detail_days=DAYS, step_seconds=STEP_SECONDS, max_replicas=12),
    )
    scenario.write_blocks(prometheus.data_directory, tool("promtool"))
    prometheus.start(CONFIG)
    asyncio.run(scenario.hand_over(time.time()).fill(prometheus.url))


def test_what_would_have_been_saved(world: World, tmp_path: Path) -> None:
    folders = ("--manifests", str(tmp_path / "manifests"), "--html", str(tmp_path / "pages"))
    done = world.recommend("--capacity-per-replica", "10", "-o", "json", *folders)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (llm,) = told["workloads"]
    assert (llm["name"], llm["demandPreset"], llm["startupSource"]) == ("llm", "vllm", "learned")
    assert 2.5 < llm["knownDays"] <= DAYS
    policies = llm["policies"]
    # What ran kept a replica at 70 % of 10/s and was slow to shrink; the forecast needs fewer and misses hardly more.
    assert policies["predictive"]["replicaHours"] < 0.9 * policies["actual"]["replicaHours"]
    assert policies["predictive"]["violatingFraction"] < 0.01
    assert policies["actual"]["violatingFraction"] == 0.0
    ran = mean_ready(world, llm["replayedDays"])
    assert policies["actual"]["replicaHours"] == pytest.approx(ran * 24 * llm["replayedDays"], rel=0.02)
    for each in policies.values():
        assert each["usd"] == pytest.approx(each["replicaHours"] * llm["usdPerReplicaHour"])
        assert each["wattHours"] == pytest.approx(each["replicaHours"] * llm["wattsPerReplica"])
    assert [(each["name"], each["reason"]) for each in told["cannotTell"]] == [("quiet", "NoDemandSignal")]
    file = tmp_path / "manifests" / f"{world.namespace}.llm.yaml"
    assert check(yaml.safe_load(file.read_text())) == []
    applied(world, file)
    page = (tmp_path / "pages" / f"{world.namespace}.llm.html").read_text()
    assert "actual" in page
    assert "https://" not in page


def applied(world: World, file: Path) -> None:
    """The API server takes the manifest as it is, and the workload is left alone."""
    world.cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    world.cluster.kubectl.wait_established("-f", str(ROOT / "crds"))
    world.cluster.kubectl("apply", "-f", str(file))
    made = world.cluster.kubectl.get("workloadoptimizer", "llm", "-n", world.namespace)
    assert made["spec"]["autoScaling"]["mode"] == "Recommend"
    assert made["spec"]["autoScaling"]["capacityPerReplica"] == 10
    folder = file.parent / "again"
    again = world.recommend("--capacity-per-replica", "10", "--manifests", str(folder))
    assert "it has a WorkloadOptimizer already: no manifest is written for it" in " ".join(again.stdout.split())
    assert list(folder.iterdir()) == []
    world.cluster.kubectl("delete", "-f", str(file))


def mean_ready(world: World, days: float) -> float:
    """Pods that exported, asked of Prometheus in our own words."""
    pods = f'count(vllm:num_requests_running{{namespace="{world.namespace}"}})'
    parameters = urllib.parse.urlencode({"query": f"avg_over_time({pods}[{round(days * 1440)}m:1m])"})
    with urllib.request.urlopen(f"{world.url}/api/v1/query?{parameters}", timeout=10) as answer:
        (series,) = json.load(answer)["data"]["result"]
    return float(series["value"][1])


def test_capacity_is_learned_from_an_objective(world: World, tmp_path: Path) -> None:
    done = world.recommend("--latency-ms", "1800", "--manifests", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(learned)" in done.stdout
    (file,) = tmp_path.iterdir()
    scaling = yaml.safe_load(file.read_text())["spec"]["autoScaling"]
    assert scaling["metrics"] == [{"type": "latency", "threshold": 1800.0}]
    assert "capacityPerReplica" not in scaling  # the operator learns it as it was learned here


def test_what_ran_is_judged_by_its_measured_latency(world: World) -> None:
    measured_ms = minutes_ms(world)
    above_all = ("--latency-ms", f"{measured_ms.max() * 1.005:.1f}")
    # No minute missed it, though the busiest came within half a per cent of it: there is nothing to advise, and least
    # of all to spend more.
    done = world.recommend(*above_all, "-o", "json")
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["workloads"] == []
    (llm,) = [each for each in told["cannotTell"] if each["name"] == "llm"]
    assert llm["reason"] == "CapacityUnknown"
    assert "less than 1% of the replica-hours that ran can be saved" in llm["message"]
    # What a replica is said to serve changes nothing of what was measured: 4 per second is less than it carried.
    assert missed_of_what_ran(world, *above_all, "--capacity-per-replica", "4") == 0.0
    median = float(np.median(measured_ms))
    share = missed_of_what_ran(world, "--latency-ms", f"{median:.1f}", "--capacity-per-replica", "10")
    assert share == pytest.approx(float((measured_ms > median).mean()), abs=0.02)


def missed_of_what_ran(world: World, *words: str) -> float:
    done = world.recommend(*words, "-o", "json")
    assert done.stdout, done.stderr
    (llm,) = json.loads(done.stdout)["workloads"]
    return float(llm["policies"]["actual"]["violatingFraction"])


def minutes_ms(world: World) -> np.ndarray:
    """p95 of each of the last two days' minutes, asked of Prometheus in our own words."""
    rates = f'rate(vllm:e2e_request_latency_seconds_bucket{{namespace="{world.namespace}"}}[75s])'
    end = time.time() // STEP_SECONDS * STEP_SECONDS
    query = f"histogram_quantile(0.95, sum by (le) ({rates}))"
    parameters = {"query": query, "start": end - 2 * 86_400.0, "end": end, "step": STEP_SECONDS}
    with urllib.request.urlopen(f"{world.url}/api/v1/query_range?{urllib.parse.urlencode(parameters)}") as answer:
        (series,) = json.load(answer)["data"]["result"]
    return 1_000.0 * np.array([float(value) for _, value in series["values"]])


def test_without_an_objective_it_says_that_it_cannot_tell(world: World) -> None:
    done = world.recommend()
    assert done.returncode == 1, done.stderr
    told = " ".join(done.stdout.split())
    assert "whether it can serve more, and anything be saved, is not known: give --latency-ms" in told
    assert f"{world.namespace}/quiet: no demand signal" in told
    assert "Nothing to recommend." in told


def test_a_namespace_that_does_not_exist_is_named(world: World) -> None:
    both = world.recommend("-n", "doesnotexist", "--capacity-per-replica", "10")
    assert both.returncode == 0, both.stderr
    assert "not read: there is no namespace doesnotexist" in both.stderr
    alone = replace(world, namespace="doesnotexist").recommend()
    assert (alone.returncode, alone.stdout) == (2, "")
    assert alone.stderr == "kcloud-autoscale recommend: there is no namespace doesnotexist\n"


def test_a_prometheus_that_is_away_is_no_lack_of_signals(world: World) -> None:
    done = replace(world, url="http://127.0.0.1:9").recommend()
    assert done.returncode == 2
    assert "does not answer" in done.stderr
    assert "; query:" not in done.stderr
    assert done.stdout == ""


def timed(world: World) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    return world.recommend("--capacity-per-replica", "10"), time.monotonic() - began


def test_whoever_may_view_one_namespace_is_told_of_it(world: World) -> None:
    kubectl, namespace = world.cluster.kubectl, world.namespace
    kubectl("create", "serviceaccount", "reader", "-n", namespace)
    kubectl(
        "create", "rolebinding", "reader", "--clusterrole=view", f"--serviceaccount={namespace}:reader", "-n", namespace
    )
    reader = replace(world, kubeconfig=world.cluster.kubeconfig_for(namespace, "reader"))
    done, took = timed(reader)
    assert done.returncode == 0, done.stderr
    _, usually = timed(world)
    assert took < usually + SYNC_SECONDS / 2  # a refusal is an answer: nobody waits for it to change
    assert "not read: /api/v1/nodes" in done.stderr
    assert "price of a replica is not known" in " ".join(done.stdout.split())  # the node would have told the device
    blind = replace(world, kubeconfig=world.cluster.kubeconfig_for("default", "default")).recommend()
    assert blind.returncode == 2
    assert len(blind.stderr.splitlines()) == 1  # what the watches say of themselves is not for a tool that looks once
    assert "the cluster cannot be read" in blind.stderr
    assert "forbidden" in blind.stderr


def test_a_workload_that_is_scaled_to_0_now_is_said_to_be(world: World) -> None:
    kubectl, namespace = world.cluster.kubectl, world.namespace
    kubectl("-n", namespace, "scale", "deployment/llm", "--replicas=0")
    kubectl("-n", namespace, "wait", "pod", "-l", "app=llm", "--for=delete", "--timeout=60s")
    done = world.recommend("--capacity-per-replica", "10")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "it is scaled to 0 now: with minReplicas 1, mode Auto leaves it at 0" in told
    # What a replica holds is in the template of its pods, and the node that carries it has a price.
    assert "a replica costs 6.880 $/h (built-in table, h100)" in told
