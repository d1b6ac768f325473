"""What the exporter says, true and false, and what it makes of the cluster's objects."""

import asyncio
import json
import math
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hack.load import external_metrics
from hack.load.demand import DemandShape
from hack.load.exporter import Exporter, application, scrape_config
from hack.load.exposition import Fault, FaultKind, Faults, render
from hack.load.external_metrics import ExternalMetrics, NoValueError, labels_of, quantity, single_value
from hack.load.live import LiveService, Pod
from hack.load.service import Device, Node, Service, node_levels, series
from hack.load.watch import GoneError, Mirror, node_of, pod_of

NOW = 1_795_485_600.0
WATTS, REQUESTS = series("DCGM_FI_DEV_POWER_USAGE", pod="a"), series("istio_requests_total", code="200")
TRUTH = {WATTS: 60.0, REQUESTS: 5.0}


def told(*faults: Fault) -> dict[str, float]:
    return {str(key): value for key, value in Faults(list(faults)).distort(TRUTH).items()}


def test_text_groups_families_under_their_type() -> None:
    bucket = {series("vllm:e2e_request_latency_seconds_bucket", le="0.3"): 1.0}
    count = {series("vllm:e2e_request_latency_seconds_count"): 2.0}
    assert render({**bucket, **TRUTH, **count}) == (
        "# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n"
        'DCGM_FI_DEV_POWER_USAGE{pod="a"} 60.0\n'
        "# TYPE istio_requests_total counter\n"
        'istio_requests_total{code="200"} 5.0\n'
        "# TYPE vllm:e2e_request_latency_seconds histogram\n"
        'vllm:e2e_request_latency_seconds_bucket{le="0.3"} 1.0\n'
        "vllm:e2e_request_latency_seconds_count{} 2.0\n"
    )


def test_text_of_numbers_that_are_none() -> None:
    assert render({series("a"): math.nan, series("b"): math.inf, series("c"): -math.inf}).splitlines()[1::2] == [
        "a{} NaN",
        "b{} +Inf",
        "c{} -Inf",
    ]


def test_label_values_are_escaped() -> None:
    assert str(series("m", pod='a"\\\n')) == 'm{pod="a\\"\\\\\\n"}'


def test_each_fault_touches_what_it_names_and_nothing_else() -> None:
    assert told(Fault(FaultKind.DROP, "^DCGM")) == {str(REQUESTS): 5.0}
    assert math.isnan(told(Fault(FaultKind.NAN, 'pod="a"'))[str(WATTS)])
    assert told(Fault(FaultKind.INFINITE, "DCGM"))[str(WATTS)] == math.inf
    assert told(Fault(FaultKind.NEGATIVE, "DCGM")) == {str(WATTS): -61.0, str(REQUESTS): 5.0}
    assert told(Fault(FaultKind.DUPLICATE, "DCGM")) == {
        str(WATTS): 60.0,
        'DCGM_FI_DEV_POWER_USAGE{job="second-monitor",pod="a"}': 60.0,
        str(REQUESTS): 5.0,
    }


def test_a_frozen_series_keeps_the_value_it_was_caught_with() -> None:
    faults = Faults([Fault(FaultKind.FREEZE, "istio")])
    assert faults.distort({REQUESTS: 5.0}) == {REQUESTS: 5.0}
    assert faults.distort({REQUESTS: 9.0}) == {REQUESTS: 5.0}
    faults.clear()
    assert faults.distort({REQUESTS: 9.0}) == {REQUESTS: 9.0}


async def test_faults_over_http() -> None:
    live = LiveService(Service("demo", "llm"), DemandShape(), NOW)
    live.follow([Pod("llm-a", "gpu-0", True)])
    exporter = Exporter([live], {"gpu-0": Node("gpu-0")}, clock=lambda: NOW + 5)
    async with TestClient(TestServer(application(exporter))) as client:
        assert "DCGM_FI_DEV_POWER_USAGE{" in await (await client.get("/metrics")).text()
        await client.post("/faults", json={"kind": "drop", "match": "DCGM"})
        assert "DCGM_FI_DEV_POWER_USAGE{" not in await (await client.get("/metrics")).text()
        await client.post("/faults", json={"kind": "garbage"})
        page = await client.get("/metrics")
        assert (page.content_type, (await page.text())[:6]) == ("text/html", "<html>")
        await client.post("/faults", json={"kind": "error"})
        assert (await client.get("/metrics")).status == 500
        refused = await client.post("/faults", json={"kind": "gremlins"})
        assert refused.status == 400
        assert "gremlins" in await refused.text()
        await client.delete("/faults")
        assert "DCGM_FI_DEV_POWER_USAGE{" in await (await client.get("/metrics")).text()


async def test_series_carry_the_labels_that_kubernetes_scraping_gives() -> None:
    live = LiveService(Service("demo", "llm"), DemandShape(), NOW)
    live.follow([Pod("llm-a", "gpu-0", True)])
    live.advance(NOW + 5)
    found = {key.metric: dict(key.labels) for key in live.samples()}
    assert found["vllm:num_requests_running"].items() >= {"namespace": "demo", "pod": "llm-a", "engine": "0"}.items()
    assert found["DCGM_FI_DEV_POWER_USAGE"].items() >= {"pod": "llm-a", "Hostname": "gpu-0", "gpu": "0"}.items()
    assert found["DCGM_FI_DEV_POWER_USAGE"]["modelName"] == "NVIDIA A100-SXM4-80GB"
    assert found["istio_requests_total"].items() >= {"destination_workload": "llm", "reporter": "destination"}.items()
    assert scrape_config(9100, 0.5)["honor_labels"] is True
    assert scrape_config(9100, 0.5)["scrape_interval"] == "500ms"


def test_node_prices() -> None:
    # 8 × 3.43 + 96 × 0.03 + 1152 × 0.004 = 27.44 + 2.88 + 4.608
    levels = {
        key.metric: v for key, v in node_levels(Node("n", cpu_usd_per_hour=0.03, memory_usd_per_hour=0.004)).items()
    }
    assert levels["node_total_hourly_cost"] == pytest.approx(34.928)
    assert (levels["node_gpu_count"], levels["kubecost_node_is_spot"]) == (8.0, 0.0)


def raw_pod(**changes: Any) -> dict[str, Any]:
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": "a"}, "spec": {"nodeName": "n"}, "status": ready} | changes


def test_pods_that_serve_and_pods_that_do_not() -> None:
    assert pod_of(raw_pod()) == Pod("a", "n", True)
    assert pod_of(raw_pod(metadata={"name": "a", "deletionTimestamp": "2026-11-24T00:00:00Z"})) == Pod("a", "n", False)
    assert pod_of(raw_pod(status={"phase": "Pending"}, spec={})) == Pod("a", "", False)
    assert pod_of(raw_pod(status={"phase": "Failed"})) is None


def test_nodes_are_priced_by_their_accelerators() -> None:
    labels = {"karpenter.sh/capacity-type": "spot", "node.kubernetes.io/instance-type": "p4de.24xlarge"}
    raw = {"metadata": {"name": "n", "labels": labels}, "status": {"capacity": {"nvidia.com/gpu": "8"}}}
    node = node_of(raw, Device(usd_per_hour=3.0))
    assert (node.gpus, node.usd_per_hour, node.is_spot) == (8, pytest.approx(8 * 3.0 * 0.4), True)
    bare = node_of({"metadata": {"name": "n"}, "status": {}}, Device())
    assert (bare.gpus, bare.usd_per_hour, bare.is_spot) == (0, 0.0, False)


async def test_mirror_lists_follows_and_lists_again_when_the_watch_breaks() -> None:
    """A server that ends the first watch with 410 Gone, as after a long disconnection."""
    lists = [["a", "b"], ["b", "c"]]
    gone = [{"type": "DELETED", "object": raw_pod()}, {"type": "ERROR", "object": {"message": "too old"}}]
    changes = [("ADDED", "d"), ("DELETED", "c")]
    watches = [gone, [{"type": kind, "object": raw_pod(metadata={"name": name})} for kind, name in changes]]
    is_quiet, is_over = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            items = [raw_pod(metadata={"name": name}) for name in lists.pop(0)]
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})
        stream = web.StreamResponse()
        await stream.prepare(request)
        for event in watches.pop(0):
            await stream.write(json.dumps(event).encode() + b"\n")
        if not watches:
            is_quiet.set()
            await is_over.wait()
        return stream

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client:

        async def request(**arguments: Any) -> Any:
            arguments.pop("_request_timeout")
            return await client.get("/", params={name: str(value) for name, value in arguments.items()})

        mirror = Mirror(request)
        running = asyncio.create_task(mirror.run())
        async with asyncio.timeout(5):
            await is_quiet.wait()
            await asyncio.sleep(0.05)
        assert set(mirror.objects) == {"b", "d"}
        assert mirror.broken_count == 1
        is_over.set()
        running.cancel()


async def test_mirror_keeps_what_it_saw_while_the_server_refuses() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=503, text="etcd is away")

    app = web.Application()
    app.router.add_get("/", refuse)
    async with TestClient(TestServer(app)) as client:

        async def request(**_: Any) -> Any:
            return await client.get("/")

        mirror = Mirror(request)
        mirror.objects = {"a": raw_pod()}
        with pytest.raises(GoneError, match="503: etcd is away"):
            await mirror.list_once()
        assert set(mirror.objects) == {"a"}


def test_quantities_are_in_thousandths_and_never_lose_a_trace() -> None:
    assert [quantity(value) for value in (0.0, 12.3456, 7.0, 0.0001)] == ["0m", "12346m", "7000m", "1m"]


def test_selectors_of_equality() -> None:
    assert labels_of("") == {}
    assert labels_of("workload=llm,tier==gold") == {"workload": "llm", "tier": "gold"}
    for selector in ("workload!=llm", "workload in (a)", "workload"):
        with pytest.raises(ValueError, match="only equality"):
            labels_of(selector)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "error", "error": "bad query"},
        {"status": "success", "data": {"result": []}},
        {"status": "success", "data": {"result": [{"value": [0, "1"]}, {"value": [0, "2"]}]}},
        {"status": "success", "data": {"result": [{"value": [0, "NaN"]}]}},
        {"status": "success", "data": {"result": [{"value": [0, "+Inf"]}]}},
        [],
    ],
)
def test_what_is_not_one_number_is_no_value(answer: Any) -> None:
    with pytest.raises(NoValueError):
        single_value(answer)


async def test_external_metrics_api() -> None:
    asked: list[str] = []

    async def query(request: web.Request) -> web.Response:
        asked.append(request.query["query"])
        result = [] if "nobody" in asked[-1] else [{"metric": {}, "value": [NOW, "12.5"]}]
        return web.json_response({"status": "success", "data": {"result": result}})

    prometheus = web.Application()
    prometheus.router.add_get("/api/v1/query", query)
    async with TestServer(prometheus) as upstream, TestClient(upstream) as session:
        metrics = ExternalMetrics(str(upstream.make_url("")).rstrip("/"), {"rps": 'x{ns="$namespace",w="$workload"}'})
        app = external_metrics.application(metrics, session.session)
        async with TestClient(TestServer(app)) as client:
            base = "/apis/external.metrics.k8s.io/v1beta1"
            listed = await (await client.get(base)).json()
            assert [resource["name"] for resource in listed["resources"]] == ["rps"]
            read = await (await client.get(f"{base}/namespaces/demo/rps?labelSelector=workload%3Dllm")).json()
            assert (read["kind"], read["items"][0]["value"]) == ("ExternalMetricValueList", "12500m")
            assert read["items"][0]["metricLabels"] == {"workload": "llm"}
            assert asked == ['x{ns="demo",w="llm"}']
            # A value cannot leave its quotes.
            await client.get(f"{base}/namespaces/demo/rps?labelSelector=workload%3D%22%7D%20or")
            await client.get(f"{base}/namespaces/demo/rps?labelSelector=workload%3D%22%7D")
            assert asked[1:] == ['x{ns="demo",w="\\"}"}']
            unknown = await (await client.get(f"{base}/namespaces/demo/rps?labelSelector=workload%3Dnobody")).json()
            assert unknown["items"] == []
            assert (await client.get(f"{base}/namespaces/demo/other")).status == 404
            assert (await client.get(f"{base}/namespaces/demo/rps?labelSelector=a!%3Db")).status == 400
            missing = await (await client.get(f"{base}/namespaces/demo/rps")).json()
            assert missing["items"] == []  # the query needs a label that was not given
