"""The design card's own manifests, applied as they stand to workloads that export what such workloads do."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.test_operator_faults import Factory
from tests.e2e.world import ROOT, World, always, eventually
from tests.integration.manifests import deployment

pytestmark = pytest.mark.e2e

CARD = Path(__file__).resolve().parents[2] / "examples" / "original"
GPUS = {"ml-training-optimizer": 4, "bert-training": 8, "llm-serving": 2}


@dataclass
class Exporters:
    """DCGM for every pod's GPUs, and vLLM in the pods of llm-serving, 20 requests per second among them.

    A server answers within 50 ms up to 8 per second, and within 150 ms beyond.
    """

    world: World
    watts: float = 200.0
    served: dict[str, tuple[float, float]] = field(default_factory=dict)  # requests by pod, and the slow ones of them
    at_seconds: float = field(default_factory=time.monotonic)

    def write(self) -> None:
        pods = [each["metadata"]["name"] for each in self._pods()]
        now = time.monotonic()
        passed, self.at_seconds = now - self.at_seconds, now
        servers = [name for name in pods if name.startswith("llm-serving")]
        lines = [self._power(name, gpu) for name in pods for gpu in range(GPUS[name.rsplit("-", 2)[0]])]
        for name in servers:
            each = 20.0 / len(servers)
            total, slow = self.served.get(name, (0.0, 0.0))
            self.served[name] = total, slow = total + each * passed, slow + (each * passed if each > 8.0 else 0.0)
            lines += self._vllm(name, total, slow)
        self.world.demand.body = "\n".join(lines) + "\n"

    def _pods(self) -> list[dict]:
        listed: list[dict] = self.world.cluster.kubectl.get("pods", "-n", self.world.namespace)["items"]
        return [each for each in listed if each["status"].get("phase") == "Running"]

    def _power(self, pod: str, gpu: int) -> str:
        labels = (
            f'UUID="GPU-{pod}-{gpu}",modelName="NVIDIA A100-SXM4-80GB",namespace="{self.world.namespace}",pod="{pod}"'
        )
        return f"DCGM_FI_DEV_POWER_USAGE{{{labels}}} {self.watts}"

    def _vllm(self, pod: str, total: float, slow: float) -> list[str]:
        own = f'namespace="{self.world.namespace}",pod="{pod}"'
        buckets = {"0.05": total - slow, "0.1": total - slow, "0.2": total, "+Inf": total}
        latency = "vllm:e2e_request_latency_seconds"
        return [
            f'vllm:request_success_total{{{own},finished_reason="stop"}} {total}',
            f"vllm:num_requests_running{{{own}}} 1",
            f"vllm:num_requests_waiting{{{own}}} 0",
            *(f'{latency}_bucket{{{own},le="{bound}"}} {count}' for bound, count in buckets.items()),
            f"{latency}_count{{{own}}} {total}",
            f"{latency}_sum{{{own}}} {0.05 * total + 0.1 * slow}",
        ]


@contextmanager
def exporting(world: World) -> Iterator[Exporters]:
    """Written anew twice a second."""
    exporters, over = Exporters(world), threading.Event()

    def run() -> None:
        while not over.wait(0.5):
            exporters.write()

    exporters.write()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield exporters
    finally:
        over.set()
        thread.join()


def test_each_does_what_the_card_says_of_it(own_world: Factory):
    world, _ = own_world()
    namespace = world.namespace
    world.apply(
        deployment(namespace, "ml-training-optimizer", 2, "0s", gpus=4),
        deployment(namespace, "bert-training", 1, "0s", gpus=8),
        deployment(namespace, "llm-serving", 2, "0s", gpus=2),
        {
            "apiVersion": "kcloud.io/v1alpha1",
            "kind": "CostPolicy",
            "metadata": {"name": namespace},
            "spec": {
                "resourceCostPolicy": {"gpuCostPerHour": 3},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            },
        },
    )
    try:
        with exporting(world) as exporters:
            eventually(lambda: len(exporters.served) == 2, 30, lambda: world.cluster.kubectl("get", "pods", "-A"))
            world.cluster.kubectl("apply", "-n", namespace, "-f", str(CARD))
            _serving(world)
            _training(world, exporters)
            _without_scaling(world)
    finally:
        world.cluster.kubectl("delete", "costpolicy", namespace)


def _serving(world: World) -> None:
    """No preset: vLLM is found. At 10 per second each is beyond 100 ms; 6 $/h each leave room for 4 under 25 $/h."""
    eventually(lambda: world.replicas("llm-serving") in (3, 4), 30, lambda: world.explain("llm-serving"))
    assert world.status("llm-serving")["demandSource"] == "vllm, found"
    told = explained(world, "llm-serving")
    assert "demand source" in told
    assert "vllm, found" in told
    eventually(lambda: world.condition("llm-serving", "MetricsAvailable")["status"] == "True", 20)
    always(lambda: 3 <= world.replicas("llm-serving") <= 4, 6, lambda: world.explain("llm-serving"))


def _training(world: World, exporters: Exporters) -> None:
    """Limits alone: 2 of 800 W are within 2,000 W and stay. 2 of 1,800 W are not: one goes, which is no failure."""
    name = "ml-training-optimizer"
    eventually(lambda: world.status(name).get("phase") == "Optimized", 15, lambda: world.explain(name))
    for condition in ("Ready", "MetricsAvailable"):
        held = world.condition(name, condition)
        assert (held["status"], held["reason"]) == ("True", "NothingToScaleOn")
    assert world.replicas(name) == 2
    assert "MetricsUnknown" not in world.reasons(name)
    exporters.watts = 450.0
    eventually(lambda: world.replicas(name) == 1, 30, lambda: world.explain(name))
    eventually(lambda: world.status(name).get("phase") == "Optimized", 15, lambda: world.explain(name))
    status = world.status(name)
    assert status["lastDecision"]["uncappedReplicas"] == 2
    assert status["currentCost"] == 12.0
    assert status["budget"]["spent"] > 0.0
    told = explained(world, name)
    assert "Held at 1" in told
    assert "NoForecast" not in told


def _without_scaling(world: World) -> None:
    """Never scaled, always accounted: 8 GPUs at 3 $/h and 450 W."""
    status = world.status("bert-training")
    assert (status["phase"], world.replicas("bert-training")) == ("Suspended", 1)
    assert status["currentCost"] == 24.0
    eventually(lambda: exported(world, "kcloud_power_watts") == 3_600.0, 20)
    spent = exported(world, "kcloud_spent_usd_total")
    eventually(lambda: exported(world, "kcloud_spent_usd_total") > spent, 20)


def exported(world: World, metric: str) -> float:
    """The value of a metric of bert-training."""
    wanted = (f"{metric}{{", f'namespace="{world.namespace}"', 'name="bert-training"')
    lines = world.operator.get("metrics", "/metrics")[1].splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if all(word in line for word in wanted))


def explained(world: World, name: str) -> str:
    words = [sys.executable, "-m", "kcloud_autoscale", "explain", f"{world.namespace}/{name}"]
    kubeconfig = {"KUBECONFIG": str(world.cluster.kubeconfig), "PATH": "/usr/bin:/bin"}
    return subprocess.run(words, cwd=ROOT, env=kubeconfig, capture_output=True, text=True, check=True).stdout
