"""Demand is true or missing at the edges: outages, births, other scrape intervals, servers that stood still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hack.cluster import Prometheus as Server
from kcloud_autoscale.domain.observation import WorkloadObservation
from kcloud_autoscale.domain.policy import DemandSource, FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from tests.fakes.informers import filled_informers
from tests.integration.live_exporter import LiveExporter, vllm_pod
from tests.integration.series import Series, counting, steady, write_blocks

pytestmark = pytest.mark.integration

KEY = WorkloadKey("ai", "w00000")
OTHER = WorkloadKey("ai", "w00001")
MADE = "w00000-6d9f7c5b8-bbbbb"  # as `filled_informers` names its pods
SCRAPE_SECONDS = 1.0
STEP_SECONDS = 4.0
WINDOW_SECONDS = STEP_SECONDS + SCRAPE_SECONDS


class Looking:
    """Gathers from one server again and again, as the operator does."""

    def __init__(
        self, url: str, demand: DemandSource, step_seconds: float, days: float, max_age_seconds: float = 180.0
    ):
        policies = {key: WorkloadPolicy(key, demand=demand, max_replicas=9) for key in (KEY, OTHER)}
        self.policy = FleetPolicy(policies, step_seconds=step_seconds, max_metric_age_seconds=max_age_seconds)
        self.client = Prometheus(PrometheusSettings(url, timeout_seconds=5.0))
        settings = GatherSettings(history_days=days, settle_seconds=1.0, budget_seconds=4.0)
        self._gatherer = Gatherer(self.client, filled_informers(2, 1), settings)
        self.seen: list[tuple[float, Reading]] = []

    async def look(self, now_seconds: float | None = None, key: WorkloadKey = KEY) -> WorkloadObservation:
        now = time.time() if now_seconds is None else now_seconds
        observation = (await self._gatherer.gather(self.policy, {}, now)).workloads[key]
        self.seen.append((now, observation.demand))
        return observation

    async def until(self, fits: Callable[[Reading], bool], timeout_seconds: float = 20.0) -> float:
        """Selector twice a second until the demand fits; returns how long that took."""
        started = time.monotonic()
        while time.monotonic() - started < timeout_seconds:
            if fits((await self.look()).demand):
                return time.monotonic() - started
            await asyncio.sleep(0.5)
        raise AssertionError(f"not within {timeout_seconds} s: {[reading for _, reading in self.seen]}")

    async def during(self, seconds: float) -> list[Reading]:
        first = len(self.seen)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self.look()
            await asyncio.sleep(0.5)
        return [reading for _, reading in self.seen[first:]]


def known(reading: Reading) -> bool:
    return isinstance(reading, Sample)


def missing(reading: Reading) -> bool:
    return isinstance(reading, Missing)


async def test_outages_and_births_leave_gaps_and_never_a_fraction() -> None:
    """Two pods serve 60/s and 40/s; Prometheus stops and starts, a third pod comes, all targets fail for a while."""
    exporter = LiveExporter(
        {"/a": vllm_pod("w00000-6d9f7c5b8-bbbbb", 60.0), "/b": vllm_pod("w00000-6d9f7c5b8-bbbbc", 40.0)}
    )
    with exporter.serving(), Server() as server:
        server.start(exporter.scrape_config(SCRAPE_SECONDS))
        looking = Looking(server.url, DemandSource("vllm"), STEP_SECONDS, days=0.01)
        born = await looking.until(known)
        await looking.during(8.0)
        server.stop()
        stopped = time.time()
        await asyncio.sleep(2.5 * STEP_SECONDS)
        server.restart()
        started = time.time()
        filled = await looking.until(known)
        exporter.pages["/c"] = vllm_pod("w00000-6d9f7c5b8-bbbbd", 10.0)
        server.reload(exporter.scrape_config(SCRAPE_SECONDS))
        joined = await looking.during(8.0)
        exporter.failing = True
        await looking.until(missing)
        await asyncio.sleep(2.0)
        exporter.failing = False
        await looking.until(known)
        await looking.during(5.0)
        history = (await looking.look()).demand_history
        looking.client.close()

    values = [reading.value for _, reading in looking.seen if isinstance(reading, Sample)]
    # Each of them a whole window's mean. The exporter counts when it is asked and Prometheus dates it a little earlier,
    # by half of one of five seconds on a busy machine; a window that lacks a scrape would say four fifths.
    assert min(values) > 85.0
    assert max(values) < 125.0
    assert born > WINDOW_SECONDS - 2 * SCRAPE_SECONDS
    assert filled > WINDOW_SECONDS - 3 * SCRAPE_SECONDS
    # A pod that has just started has a short series; the sum stays known, since the others fill the window.
    assert all(isinstance(each, Sample) for each in joined)
    assert joined[-1].value == pytest.approx(110.0, rel=0.08)  # type: ignore[union-attr]

    assert history is not None
    ends = history.start_seconds + STEP_SECONDS * np.arange(1, len(history.values) + 1)
    steps = history.values[np.isfinite(history.values)]
    assert len(steps) >= 3
    assert steps.min() > 85.0
    assert steps.max() < 125.0
    # Nothing was seen between the stop and a whole window after the start: at least two steps lie in there.
    dark = (ends > stopped + 2 * SCRAPE_SECONDS) & (ends < started + WINDOW_SECONDS - 2 * SCRAPE_SECONDS)
    assert dark.sum() >= 2
    assert np.isnan(history.values[dark]).all()


async def test_a_pod_that_takes_over_from_another_leaves_no_gap(tmp_path: Path) -> None:
    """A rollout of the only replica: the old pod covers the window's beginning, the new one its end."""
    start, over, end = int(time.time()) // 3600 * 3600 - 6 * 3600, 600, 1200
    for pod, scrapes in ((MADE, range(over)), ("w00000-7c5b86d9f-ddddd", range(over, end))):
        labels = {"namespace": "ai", "pod": pod}
        data = write_blocks(
            [Series("vllm:request_success_total", {**labels, "finished_reason": "stop"}, counting(50.0)),
             Series("vllm:num_requests_running", labels, steady(2.0))],
            start, end, tmp_path, scrapes,
        )  # fmt: skip
    with Server() as server:
        server.start(data_dir=data)
        looking = Looking(server.url, DemandSource("vllm"), STEP_SECONDS, days=0.01)
        around = np.arange(over - WINDOW_SECONDS, over + 2 * WINDOW_SECONDS, 0.5)
        seen = [(await looking.look(start + float(after))).demand for after in around]
        looking.client.close()

    assert all(isinstance(each, Sample) for each in seen)
    # The new pod's first scrape comes one interval after the old one's last, of five in the window.
    values = [each.value for each in seen if isinstance(each, Sample)]
    assert min(values) > 50.0 * 0.55
    assert values[0] == values[-1] == pytest.approx(50.0)


async def test_history_scraped_every_minute_is_whole_when_today_is_scraped_every_quarter(tmp_path: Path) -> None:
    """Nine hours at 60 s, then three at 15 s, of two workloads: one was born within the first part."""
    start = int(time.time()) // 3600 * 3600 - 15 * 3600
    joint, end, birth = 9 * 3600, 12 * 3600, 2 * 3600
    scrapes = [*range(7, joint, 60), *range(joint, end + 1, 15)]
    labels = {"namespace": "ai", "pod": MADE}
    young = {"namespace": "ai", "pod": "w00001-6d9f7c5b8-bbbbb"}
    old = [
        Series("vllm:request_success_total", {**labels, "finished_reason": "stop"}, counting(4.0)),
        Series("vllm:num_requests_running", labels, steady(2.0)),
    ]
    new = [
        Series("vllm:request_success_total", {**young, "finished_reason": "stop"}, counting(8.0)),
        Series("vllm:num_requests_running", young, steady(2.0)),
    ]
    write_blocks(old, start, end, tmp_path, scrapes)
    data = write_blocks(new, start, end, tmp_path, [at for at in scrapes if at >= birth])
    now = float(start + end)
    with Server() as server:
        server.start(data_dir=data)
        looking = Looking(server.url, DemandSource("vllm"), 60.0, days=0.5)
        first, second = await looking.look(now), await looking.look(now, OTHER)
        looking.client.close()

    assert isinstance(first.demand, Sample)
    assert first.demand.value == pytest.approx(4.0)
    for history, value, missed, begin in ((first.demand_history, 4.0, 12, 0), (second.demand_history, 8.0, 8, birth)):
        assert history is not None
        assert history.start_seconds <= start + begin + 300  # a window of four scrapes, filled
        unknown = ~np.isfinite(history.values)
        assert unknown.sum() <= missed
        np.testing.assert_allclose(history.values[~unknown], value, rtol=1e-6)


async def test_a_workload_scraped_rarely_beside_one_scraped_often_is_known(tmp_path: Path) -> None:
    start, length = int(time.time()) // 3600 * 3600 - 6 * 3600, 3600
    for name, every in ((MADE, 15), ("w00001-6d9f7c5b8-bbbbb", 60)):
        pod = {"namespace": "ai", "pod": name}
        data = write_blocks(
            [Series("vllm:request_success_total", {**pod, "finished_reason": "stop"}, counting(3.0)),
             Series("vllm:num_requests_running", pod, steady(2.0))],
            start, length, tmp_path, range(0, length + 1, every),
        )  # fmt: skip
    with Server() as server:
        server.start(data_dir=data)
        looking = Looking(server.url, DemandSource("vllm"), 60.0, days=1 / 24)
        found = [await looking.look(float(start + length), key) for key in (KEY, OTHER)]
        looking.client.close()

    for each in found:
        assert isinstance(each.demand, Sample)
        assert each.demand.value == pytest.approx(3.0)


OWN = DemandSource(query=f'queue_depth{{pod="{MADE}"}}')


def gauges() -> str:
    device = f'namespace="ai",pod="{MADE}",UUID="1",modelName="NVIDIA H100"'
    return f'queue_depth{{namespace="ai",pod="{MADE}"}} 7\nDCGM_FI_DEV_POWER_USAGE{{{device}}} 450\n'


async def test_last_values_are_not_repeated_after_prometheus_stood_still() -> None:
    """The target went while Prometheus was away, so nothing marks its series as ended: by itself it lasts 300 s."""
    exporter = LiveExporter({"/a": gauges})
    with Server() as server:
        with exporter.serving():
            server.start(exporter.scrape_config(SCRAPE_SECONDS))
            looking = Looking(server.url, OWN, STEP_SECONDS, days=0.01, max_age_seconds=4.0)
            await looking.until(known)
            before = await looking.look()
            server.stop()
        await asyncio.sleep(5.0)
        server.restart()
        after = await looking.look()
        repeated = await looking.client.query(str(OWN.query), time.time())
        looking.client.close()

    assert isinstance(before.watts, Sample)
    assert before.watts.value == 450.0
    assert [each.value for each in repeated] == [7.0]
    assert isinstance(after.demand, Missing)
    assert after.demand.reason is MissingReason.STALE
    assert "the newest sample is" in after.demand.message
    assert isinstance(after.watts, Missing)


async def test_a_target_that_fails_is_missing_with_its_next_scrape() -> None:
    exporter = LiveExporter({"/a": gauges})
    with exporter.serving(), Server() as server:
        server.start(exporter.scrape_config(SCRAPE_SECONDS))
        looking = Looking(server.url, OWN, STEP_SECONDS, days=0.01, max_age_seconds=60.0)
        await looking.until(known)
        exporter.failing = True
        assert await looking.until(missing) < 5.0
        looking.client.close()
