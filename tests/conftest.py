"""Fixtures of all tests: the real parts of `hack/cluster`, started once where that is safe."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from hack.cluster import Cluster, Node, Prometheus
from hack.cluster import tool as find_tool

# A machine that does something else meanwhile fails no test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHARED_NODES = tuple(Node(f"gpu-{index}", {"nvidia.com/gpu": 8}) for index in range(4))
SHARED_HPA_SYNC_SECONDS = 2.0


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One control plane for the whole session, with 4 nodes of 8 `nvidia.com/gpu` and an HPA period of 2 s.

    Tests keep to the namespace that `namespace` gives them; one that stops a part or changes cluster-wide objects
    starts a cluster of its own. `KCLOUD_TEST_KUBECONFIG` names an existing cluster to use instead.
    """
    existing = os.environ.get("KCLOUD_TEST_KUBECONFIG")
    with Cluster.attach(Path(existing)) if existing else _start() as running:
        yield running


def _start() -> Cluster:
    return Cluster.start(nodes=SHARED_NODES, hpa_sync_seconds=SHARED_HPA_SYNC_SECONDS)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the shared cluster for one test; its deletion is started, not awaited, afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def prometheus() -> Iterator[Callable[[], Prometheus]]:
    """Factory of Prometheus servers, each with fresh data and not started yet; all are gone after the test."""
    servers: list[Prometheus] = []

    def make() -> Prometheus:
        servers.append(Prometheus())
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """`tool("promtool")`: the path of a binary, built on first use."""
    return find_tool
