"""A step of everybody's load on a real API server: every first change before any second one, and nobody left out."""

from __future__ import annotations

import pytest

from hack.bench import writes
from hack.cluster import Cluster

pytestmark = pytest.mark.integration

WORKLOADS = 120


async def test_nobody_has_a_second_change_before_everybody_has_the_first(cluster: Cluster) -> None:
    """At 40 writes a second a cycle of a second has room for 40 to 80 of 120: several cycles, and a line between."""
    writes.create(cluster, WORKLOADS)
    try:
        step = await writes.load_step(cluster.kubeconfig, WORKLOADS, 1.0, 40.0)
    finally:
        cluster.kubectl("delete", "namespace", writes.NAMESPACE, "--wait=false")
    assert len(step.first_seconds) == WORKLOADS
    assert len(step.order) > 2 * WORKLOADS
    assert step.seconds_too_early() == 0
