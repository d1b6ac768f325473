"""One operator for the tests of a module; a test that kills or starves it starts its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hack.chart.release import install
from hack.cluster import Cluster, Prometheus
from tests.e2e.world import Demand, Operator, World, exported


@pytest.fixture(scope="module")
def operator_kubeconfig(cluster: Cluster) -> Path:
    """Identity of the chart's ServiceAccount."""
    return install(cluster)


@pytest.fixture(scope="module")
def running(
    cluster: Cluster, operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Demand, Operator]]:
    """Prometheus, a demand it scrapes, and an operator that is ready."""
    with exported(Demand()) as demand, Prometheus() as prometheus:
        prometheus.start(demand.scrape_config())
        operator = Operator(operator_kubeconfig, tmp_path_factory.mktemp("operator") / "log", prometheus.url)
        operator.start()
        try:
            operator.wait_ready()
            yield demand, operator
        finally:
            operator.close()


@pytest.fixture
def world(cluster: Cluster, namespace: str, running: tuple[Demand, Operator]) -> World:
    """The module's operator and a namespace of the test's own."""
    demand, operator = running
    return World(cluster, namespace, demand, operator)


@pytest.fixture
def own_world(
    cluster: Cluster, namespace: str, operator_kubeconfig: Path, tmp_path: Path
) -> Iterator[Callable[..., tuple[World, Prometheus]]]:
    """`own_world(CYCLE_SECONDS="1")`: Prometheus and an operator for one test, serving its namespace only."""
    with ExitStack() as stack:

        def make(**environment: str) -> tuple[World, Prometheus]:
            demand = stack.enter_context(exported(Demand()))
            prometheus = stack.enter_context(Prometheus())
            prometheus.start(demand.scrape_config())
            environment = {"WATCH_NAMESPACE": namespace, **environment}
            operator = Operator(operator_kubeconfig, tmp_path / "operator.log", prometheus.url, **environment)
            stack.callback(operator.close)
            operator.start()
            operator.wait_ready()
            return World(cluster, namespace, demand, operator), prometheus

        yield make
