"""What ran while no process looked, read from kube-state-metrics' series in a real Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hack.cluster import Prometheus as Server
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from tests.fakes.informers import filled_informers
from tests.integration.series import Series, steady, write_blocks

pytestmark = pytest.mark.integration

HOUR = 3_600
KEYS = [WorkloadKey("ai", f"w{number:05d}") for number in range(4)]
WHOLE, HALF, RENAMED, UNTOLD = KEYS
POLICY = FleetPolicy({key: WorkloadPolicy(key) for key in KEYS})


def told(name: str, value: Callable[[int], float], prefix: str = "", **times: int) -> Series:
    labels = {f"{prefix}namespace": "ai", f"{prefix}deployment": name, "job": "kube-state-metrics"}
    return Series("kube_deployment_status_replicas", labels, value, **times)


@pytest.fixture
def gatherer(tmp_path: Path, prometheus: Callable[[], Server]) -> Iterator[tuple[Gatherer, float]]:
    """A Prometheus with two hours of kube-state-metrics that end now."""
    now = int(time.time()) - 30
    series = [
        told("w00000", lambda at: 2.0 if at < HOUR else 6.0),
        told("w00001", steady(3.0), last_seconds=HOUR),
        told("w00002", steady(5.0), prefix="exported_"),
        told("stranger", steady(50.0)),
    ]
    server = prometheus()
    server.start("scrape_configs: []\n", write_blocks(series, now - 2 * HOUR, 2 * HOUR, tmp_path))
    client = Prometheus(PrometheusSettings(server.url))
    yield Gatherer(client, filled_informers(4, 1)), float(now)
    client.close()


async def test_a_gap_has_the_mean_of_what_was_recorded_and_the_part_that_was(gatherer: tuple[Gatherer, float]):
    looking, now = gatherer
    found = await looking.gap_replicas(POLICY, dict.fromkeys(KEYS, now - 2 * HOUR), now)
    assert set(found) == {WHOLE, HALF, RENAMED}
    # An hour with 2 and one with 6; 3 in the first hour and nothing in the second.
    assert found[WHOLE] == pytest.approx((4.0, 1.0), abs=0.05)
    assert found[HALF] == pytest.approx((3.0, 0.5), abs=0.02)
    assert found[RENAMED] == pytest.approx((5.0, 1.0), abs=0.02)


async def test_gaps_that_began_at_other_times_have_their_own_mean(gatherer: tuple[Gatherer, float]):
    looking, now = gatherer
    found = await looking.gap_replicas(POLICY, {WHOLE: now - HOUR / 2, HALF: now - HOUR / 2}, now)
    assert found[WHOLE] == pytest.approx((6.0, 1.0), abs=0.05)
    assert HALF not in found


async def test_where_prometheus_is_away_nothing_is_known(gatherer: tuple[Gatherer, float]):
    client = Prometheus(PrometheusSettings("http://127.0.0.1:1", timeout_seconds=1.0))
    looking = Gatherer(client, filled_informers(4, 1))
    assert await looking.gap_replicas(POLICY, {WHOLE: gatherer[1] - HOUR}, gatherer[1]) == {}
    client.close()
