"""Signals that are less than they seem, and signals that live without pods: on a real Prometheus and API server."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from tests.e2e.world import World, always, eventually, optimizer

pytestmark = pytest.mark.e2e

WINDOW_SECONDS = 6.0  # scale-down stabilization of `optimizer`


@dataclass
class Servers:
    """vLLM servers that share a load; those in the dark serve their part and are not scraped."""

    namespace: str
    per_second: float
    pods: list[str] = field(default_factory=list)
    dark: set[str] = field(default_factory=set)
    _counts: dict[str, float] = field(default_factory=dict)
    _at: float = field(default_factory=time.time)

    def page(self) -> str:
        now, pods = time.time(), list(self.pods)
        lines = []
        for pod in pods:
            self._counts[pod] = self._counts.get(pod, 100.0) + self.per_second / len(pods) * (now - self._at)
            labels = f'namespace="{self.namespace}",pod="{pod}"'
            if pod not in self.dark:
                lines += [
                    f'vllm:request_success_total{{{labels},finished_reason="stop"}} {self._counts[pod]!r}',
                    f"vllm:num_requests_running{{{labels}}} 2",
                    f"vllm:num_requests_waiting{{{labels}}} 0",
                ]
        self._at = now
        return "".join(f"{line}\n" for line in lines)


def ready_pods(world: World, name: str) -> list[str]:
    pods = world.cluster.kubectl.get("pods", "-n", world.namespace, "-l", f"app={name}")["items"]
    return [
        pod["metadata"]["name"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
    ]


def metrics_reason(world: World, name: str) -> str:
    return str(world.condition(name, "MetricsAvailable").get("reason"))


def test_two_of_six_pods_in_the_dark_shrink_nothing_and_more_load_still_grows(world: World):
    """40 per second on six replicas of 10, at 70 %; without two of them 26.7 are told, which would be four."""
    world.deploy("llm", 6)
    eventually(lambda: len(ready_pods(world, "llm")) == 6, 30)
    servers = Servers(world.namespace, 40.0, ready_pods(world, "llm"))
    world.demand.pages["llm"] = servers.page
    time.sleep(5.0)
    world.apply(optimizer(world.namespace, "llm", demand={"preset": "vllm"}, forecast={"enabled": False}))
    eventually(lambda: metrics_reason(world, "llm") == "Available", 30, lambda: world.explain("llm"))
    assert world.replicas("llm") == 6

    servers.dark = set(servers.pods[:2])
    eventually(lambda: metrics_reason(world, "llm") == "PartialSamples", 20, lambda: world.explain("llm"))
    always(lambda: world.replicas("llm") == 6, 2 * WINDOW_SECONDS, lambda: world.explain("llm"))
    assert "4 of 6 Ready pods have samples" in world.condition("llm", "MetricsAvailable")["message"]
    given = {each["name"]: each for each in world.status("llm")["lastDecision"]["inputs"]}["demand_per_second"]
    assert given["atLeast"] is True
    # Four pods' shares are 26.7 per second; a rate over few samples may be a quarter above, and is still below 40.
    assert 20.0 < given["value"] < 36.0
    told = world.operator.get("metrics", "/metrics")[1]
    assert f'kcloud_demand_at_least_per_second{{name="llm",namespace="{world.namespace}"}}' in told

    servers.per_second = 90.0  # 60 are told
    eventually(lambda: world.replicas("llm") >= 8, 20, lambda: world.explain("llm"))
    assert metrics_reason(world, "llm") == "PartialSamples"

    servers.per_second, servers.dark = 10.0, set()
    eventually(lambda: set(servers.pods) < set(ready_pods(world, "llm")), 20)
    servers.pods = ready_pods(world, "llm")
    eventually(lambda: metrics_reason(world, "llm") == "Available", 30, lambda: world.explain("llm"))
    eventually(lambda: world.replicas("llm") < 6, 60, lambda: world.explain("llm"))
    world.cluster.kubectl("delete", "workloadoptimizer", "llm", "-n", world.namespace)
    del world.demand.pages["llm"]


def test_a_target_sleeps_without_load_and_wakes_with_the_first_request_at_the_gateway(world: World):
    served = {"200": 40.0}

    def gateway() -> str:
        labels = f'exported_namespace="{world.namespace}",exported_service="sleeper",namespace="ingress",pod="nginx-1"'
        return "".join(
            f'nginx_ingress_controller_requests{{{labels},status="{status}"}} {count!r}\n'
            for status, count in served.items()
        )

    world.demand.pages["gateway"] = gateway
    world.deploy("sleeper", 2)
    asked = optimizer(world.namespace, "sleeper", minReplicas=0, cooldownSeconds=8, demand={"preset": "nginx"})
    world.apply(asked)
    eventually(lambda: world.replicas("sleeper") == 0, 60, lambda: world.explain("sleeper"))
    eventually(lambda: ready_pods(world, "sleeper") == [], 20)
    always(lambda: world.replicas("sleeper") == 0, 5, lambda: world.explain("sleeper"))
    assert world.condition("sleeper", "MetricsAvailable")["status"] == "True", world.explain("sleeper")
    assert world.condition("sleeper", "PriceKnown").get("reason") != "TargetNotFound"

    # Whoever starts anew takes it for asleep as well, not for paused.
    world.operator.kill()
    world.operator.start()
    world.operator.wait_ready()
    served["503"] = 1.0  # the first request finds nobody: a series that was not there before
    waited = eventually(lambda: world.replicas("sleeper") == 1, 30, lambda: world.explain("sleeper"))
    eventually(lambda: len(ready_pods(world, "sleeper")) == 1, 20)
    assert waited < 15.0  # a scrape and a cycle are 3 s; the rest is a busy machine

    eventually(lambda: world.replicas("sleeper") == 0, 60, lambda: world.explain("sleeper"))
    served["200"] += 1.0  # of a series that has been there all the time
    eventually(lambda: world.replicas("sleeper") == 1, 20, lambda: world.explain("sleeper"))

    world.cluster.kubectl("scale", "deployment", "sleeper", "--replicas=0", "-n", world.namespace)
    paused = lambda: world.condition("sleeper", "Ready").get("reason") == "Paused"  # noqa: E731
    eventually(paused, 20, lambda: world.explain("sleeper"))
    served["200"] += 100.0
    always(lambda: world.replicas("sleeper") == 0, 8, lambda: world.explain("sleeper"))
    world.cluster.kubectl("scale", "deployment", "sleeper", "--replicas=1", "-n", world.namespace)
    eventually(lambda: not paused(), 20, lambda: world.explain("sleeper"))
    del world.demand.pages["gateway"]
