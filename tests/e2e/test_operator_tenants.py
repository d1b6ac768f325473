"""Tenants on one operator: none reads another's series, sets another's demand, or takes the operator down."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hack.cluster import Cluster
from tests.e2e.world import Demand, Operator, World, always, eventually, optimizer

pytestmark = pytest.mark.e2e

SECRET = 12345.0
SPYING = {
    "sum": 'sum(demo_load{workload="secret"})',
    "wide": 'sum(demo_load{workload="secret", namespace=~".*"})',
    "named": 'sum(demo_load{namespace="THEIRS"})',
    "all": 'count({__name__=~".+", workload="secret"}) + sum({workload="secret"})',
    "moved": 'max_over_time(sum(demo_load{workload="secret"})[30s:1s] offset -1s)',
    "info": 'sum(info(vector(1), {__name__="demo_load"})) + sum(demo_load{workload="secret"})',
    # Prometheus ends a comment at a carriage return: what follows would answer for the next in the request.
    "forged": '(vector(1)) #\r), "kcloud_query", "0", "", "") or label_replace(vector(9), "kcloud_query", "1", "", "") '
    "or label_replace((vector(0) > 1",
}
SERIES = 20_000


@pytest.fixture
def other(cluster: Cluster, namespace: str, running: tuple[Demand, Operator]) -> Iterator[World]:
    """The same operator in a namespace of somebody else."""
    name = f"{namespace}-other"
    cluster.kubectl("create", "namespace", name)
    yield World(cluster, name, *running)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def serve(world: World, name: str) -> None:
    world.demand.loads[f"{world.namespace}/{name}"] = 30.0
    world.deploy(name)
    world.apply(optimizer(world.namespace, name))
    eventually(lambda: world.replicas(name) == 5, 40, lambda: world.explain(name))


def spy(world: World, name: str, query: str) -> None:
    world.deploy(name)
    world.apply(optimizer(world.namespace, name, demand={"query": query}, mode="Recommend"))


def reason_of(world: World, name: str) -> str:
    return str(world.condition(name, "MetricsAvailable").get("reason", ""))


def test_no_status_tells_of_another_namespace_and_no_query_moves_it(world: World, other: World):
    world.demand.loads[f"{other.namespace}/secret"] = SECRET
    serve(other, "victim")
    for name, query in SPYING.items():
        spy(world, name, query.replace("THEIRS", other.namespace))
    expected = {
        **dict.fromkeys(("sum", "wide", "all", "moved"), "NoData"),
        **dict.fromkeys(("named", "info", "forged"), "Refused"),
    }
    reasons = lambda: {name: reason_of(world, name) for name in SPYING}  # noqa: E731
    eventually(lambda: reasons() == expected, 40, reasons)
    always(lambda: other.replicas("victim") == 5, 6, lambda: other.explain("victim"))
    assert other.condition("victim", "MetricsAvailable")["status"] == "True"
    seen = json.dumps([world.get(name)["status"] for name in SPYING] + [world.events(name) for name in SPYING])
    assert "12345" not in seen


def test_a_query_of_very_many_series_is_left_out_and_harms_none(world: World, other: World):
    junk = f'junk_total{{namespace="{world.namespace}",id="%06d",pad="{"x" * 60}"}} 1\n'
    serve(other, "victim")
    world.demand.more = "".join(junk % index for index in range(SERIES))
    try:
        spy(world, "flood", '{__name__=~".+"}')
        eventually(lambda: reason_of(world, "flood") == "TooLarge", 30, lambda: world.explain("flood"))
        told = world.condition("flood", "MetricsAvailable")["message"]
        assert "more than 10 series; it is not asked again before" in told
        assert told.endswith("it must return one series")
        world.demand.loads[f"{other.namespace}/victim"] = 62.0
        eventually(lambda: other.replicas("victim") == 9, 30, lambda: other.explain("victim"))
    finally:
        world.demand.more = ""
