"""What goes wrong in the field: Prometheus away or lying, the operator killed, two of them, bad configuration."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.chart import release
from hack.cluster import Cluster, Prometheus
from tests.e2e.world import Demand, Operator, World, always, eventually, optimizer

pytestmark = pytest.mark.e2e

Factory = Callable[..., tuple[World, Prometheus]]
WINDOW_SECONDS = 6.0  # scale-down stabilization of `optimizer`


def settled(world: World, name: str, load: float, replicas: int) -> None:
    world.demand.loads[name] = load
    world.deploy(name)
    world.apply(optimizer(world.namespace, name))
    eventually(lambda: world.replicas(name) == replicas, 30, lambda: world.explain(name))


def test_nothing_shrinks_while_prometheus_is_away_nor_for_one_window_after(own_world: Factory):
    world, prometheus = own_world()
    settled(world, "llm", 42.0, 6)
    prometheus.stop()
    world.demand.loads["llm"] = 1.0
    eventually(lambda: is_unknown(world, "llm"), 20)
    always(lambda: world.replicas("llm") == 6, 2 * WINDOW_SECONDS, lambda: world.explain("llm"))
    prometheus.start(world.demand.scrape_config())
    eventually(lambda: world.condition("llm", "MetricsAvailable").get("status") == "True", 30)
    always(lambda: world.replicas("llm") == 6, WINDOW_SECONDS - 2.0, lambda: world.explain("llm"))
    eventually(lambda: world.replicas("llm") < 6, 40, lambda: world.explain("llm"))
    assert world.operator.get("probe", "/readyz")[0] == 200


def test_a_killed_operator_goes_on_where_it_was(own_world: Factory):
    world, _ = own_world()
    settled(world, "llm", 42.0, 6)
    eventually(lambda: "savings" in world.status("llm"), 10)
    before = world.status("llm")
    world.operator.kill()
    world.demand.loads["llm"] = 1.0  # it would shrink at once, had it not forgotten the last minutes
    world.operator.start()
    world.operator.wait_ready()
    always(lambda: world.replicas("llm") == 6, WINDOW_SECONDS - 3.0, lambda: world.explain("llm"))
    eventually(lambda: world.replicas("llm") < 6, 40, lambda: world.explain("llm"))
    after = world.status("llm")
    assert after["originalReplicas"] == before["originalReplicas"] == 1
    assert after["savings"]["since"] == before["savings"]["since"]
    seconds = (before["savings"]["actual"]["replicaSeconds"], after["savings"]["actual"]["replicaSeconds"])
    assert seconds[1] >= seconds[0] > 0.0


def test_a_second_operator_waits_for_the_lease_and_takes_over(
    own_world: Factory, operator_kubeconfig: Path, cluster: Cluster, tmp_path: Path
):
    world, prometheus = own_world(POD_NAME="first")
    second = Operator(
        operator_kubeconfig, tmp_path / "second.log", prometheus.url, POD_NAME="second", WATCH_NAMESPACE=world.namespace
    )
    second.start()
    try:
        second.wait_ready()
        assert "holds the Lease" not in second.said()
        settled(world, "llm", 20.0, 3)
        assert "Written" not in second.said()
        assert world.operator.terminate() == 0
        # The lease was released: nobody waits for it to expire.
        eventually(lambda: "second holds the Lease" in second.said(), 8, second.said)
        world.demand.loads["llm"] = 42.0
        eventually(lambda: world.replicas("llm") == 6, 30, second.said)
        lease = cluster.kubectl.get("lease", release.NAME, "-n", release.NAMESPACE)
        assert lease["spec"]["holderIdentity"] == "second"
    finally:
        second.close()


@pytest.mark.parametrize("load", ["NaN", "-5", "+Inf"])
def test_a_load_that_cannot_be_is_not_acted_on(own_world: Factory, load: str):
    world, _ = own_world()
    settled(world, "llm", 20.0, 3)
    settled(world, "sane", 20.0, 3)
    world.demand.loads["llm"] = load
    eventually(lambda: is_unknown(world, "llm"), 30, lambda: world.explain("llm"))
    always(lambda: world.replicas("llm") == 3, WINDOW_SECONDS, lambda: world.explain("llm"))
    assert not is_unknown(world, "sane")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("demo_load", "Ambiguous"),
        ("no_such_metric", "NoData"),
        ("sum(rate(demo_load[1m]", "Refused"),
    ],
)
def test_a_query_that_cannot_be_used_is_named(own_world: Factory, query: str, reason: str):
    world, _ = own_world()
    world.demand.loads |= {"llm": 90.0, "other": 90.0}
    world.deploy("llm", replicas=3)
    world.apply(optimizer(world.namespace, "llm", demand={"query": query}))
    found = lambda: world.condition("llm", "MetricsAvailable").get("reason") == reason  # noqa: E731
    eventually(found, 20, lambda: world.explain("llm"))
    always(lambda: world.replicas("llm") == 3, 4, lambda: world.explain("llm"))


def is_unknown(world: World, name: str) -> bool:
    return bool(world.condition(name, "MetricsAvailable").get("status") == "False")


@contextlib.contextmanager
def false_prometheus(answer: bytes, content_type: str) -> Iterator[str]:
    """Something that answers every query in its own way."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "content_type"),
    [
        (b"<html>502 Bad Gateway</html>", "text/html"),
        (b'{"status":"success","data":{"resultType":"vec', "application/json"),
        (b'{"status":"error","errorType":"bad_data","error":"no"}', "application/json"),
        (b'{"status":"success","data":{"resultType":"vector","result":[{"value":"x"}]}}', "application/json"),
    ],
    ids=["html", "truncated", "error", "misshapen"],
)
def test_a_prometheus_that_answers_garbage_moves_nothing(
    cluster: Cluster, namespace: str, operator_kubeconfig: Path, tmp_path: Path, answer: bytes, content_type: str
):
    with false_prometheus(answer, content_type) as url:
        operator = Operator(operator_kubeconfig, tmp_path / "log", url, WATCH_NAMESPACE=namespace)
        operator.start()
        try:
            operator.wait_ready()
            world = World(cluster, namespace, Demand(), operator)
            world.deploy("llm", replicas=3)
            world.apply(optimizer(namespace, "llm"))
            eventually(lambda: is_unknown(world, "llm"), 15)
            always(lambda: world.replicas("llm") == 3, 4)
            assert world.condition("llm", "MetricsAvailable")["message"]
            assert "Traceback" not in operator.said()
        finally:
            operator.close()


def test_it_stops_within_seconds_and_exits_cleanly(own_world: Factory):
    world, _ = own_world()
    assert world.operator.terminate(timeout_seconds=5.0) == 0


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CYCLE_SECONDS", "0", "CYCLE_SECONDS=0: must be from 1 to 3600"),
        ("PROMETHEUS_URL", "", "PROMETHEUS_URL is not set"),
        ("KUBECONFIG", "/nowhere", "no way to the cluster"),
    ],
)
def test_a_bad_configuration_ends_at_once_with_the_reason(tmp_path: Path, variable: str, value: str, says: str):
    operator = Operator(tmp_path / "kubeconfig", tmp_path / "log", "http://127.0.0.1:1", **{variable: value})
    operator.start()
    assert operator.process is not None
    assert operator.process.wait(30) == 2
    assert says in operator.said()
    assert "Traceback" not in operator.said()


def test_the_service_account_may_scale_and_nothing_more(cluster: Cluster, operator_kubeconfig: Path, namespace: str):
    kubectl = cluster.kubectl_as(operator_kubeconfig)

    def may(*words: str) -> bool:
        answer = subprocess.run(
            [*("kubectl", f"--kubeconfig={kubectl.kubeconfig}", "auth", "can-i"), *words, "-n", namespace],
            capture_output=True,
            text=True,
            check=False,
        )
        return answer.stdout.strip() == "yes"

    assert may("patch", "deployments.apps", "--subresource=scale")
    assert may("patch", "workloadoptimizers.kcloud.io", "--subresource=status")
    for words in (
        ("patch", "deployments.apps"),
        ("update", "deployments.apps", "--subresource=scale"),
        ("delete", "pods"),
        ("create", "pods", "--subresource=eviction"),
        ("get", "secrets"),
        ("get", "configmaps"),
        ("update", "configmaps"),
        ("patch", "costpolicies.kcloud.io"),
        ("delete", "workloadoptimizers.kcloud.io"),
        ("update", "leases.coordination.k8s.io"),
    ):
        assert not may(*words), words
    # What was spent is written in the operator's own namespace, and there by name.
    namespace = release.NAMESPACE
    assert may("update", f"configmaps/{release.NAME}-ledger-0")
    assert not may("update", "configmaps/another")
    assert not may("delete", f"configmaps/{release.NAME}-ledger-0")


def test_series_that_vanish_from_under_a_range_scale_nothing_down(world: World):
    """A sum over ten seconds falls for ten seconds before it is gone; nobody may take that for less load."""
    world.demand.loads["ranged"] = 60.0
    world.deploy("ranged")
    query = 'sum(sum_over_time(demo_load{workload="ranged"}[10s])) / 10'
    world.apply(optimizer(world.namespace, "ranged", demand={"query": query}))
    eventually(lambda: world.replicas("ranged") >= 8, 40, lambda: world.explain("ranged"))
    before = world.replicas("ranged")
    del world.demand.loads["ranged"]
    eventually(
        lambda: world.condition("ranged", "MetricsAvailable").get("status") == "False",
        20,
        lambda: world.explain("ranged"),
    )
    always(lambda: world.replicas("ranged") >= before, 20, lambda: world.explain("ranged"))
    world.demand.loads["ranged"] = 60.0
    eventually(
        lambda: world.condition("ranged", "MetricsAvailable").get("status") == "True",
        40,
        lambda: world.explain("ranged"),
    )
    assert world.replicas("ranged") >= before
