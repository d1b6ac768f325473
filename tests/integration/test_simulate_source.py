"""`simulate --prometheus` replays the very steps that the operator learns from, on a real Prometheus."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from hack.cluster import Prometheus as Server
from kcloud_autoscale.cli.demand_source import from_prometheus
from kcloud_autoscale.domain.policy import DemandSource, FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from tests.fakes.informers import filled_informers
from tests.integration.series import Series, counting, write_blocks

pytestmark = pytest.mark.integration

KEY = WorkloadKey("ai", "w00000")
QUERY = "sum(rate(served_total[5m]))"
HOUR, STEP = 3600, 60
OUTAGE = range(3 * HOUR + 600, 3 * HOUR + 2400)


async def learned(url: str, hours: int, now_seconds: float) -> FloatArray:
    """What the operator feeds a new workload's forecaster."""
    policy = FleetPolicy({KEY: WorkloadPolicy(KEY, demand=DemandSource(query=QUERY))}, step_seconds=float(STEP))
    client = Prometheus(PrometheusSettings(url))
    gatherer = Gatherer(client, filled_informers(1, 1), GatherSettings(history_days=hours / 24, settle_seconds=0.0))
    history = (await gatherer.gather(policy, {}, now_seconds)).workloads[KEY].demand_history
    client.close()
    assert history is not None
    missing = hours * HOUR // STEP - len(history.values)  # it begins with the first step that is known
    return np.concatenate([np.full(missing, np.nan), history.values])


def test_steps_beside_an_outage_are_unknown_to_both(tmp_path: Path) -> None:
    """20 per second for six hours, but for an outage; a rate over 5 minutes right after it is a fraction of the 20."""
    start = int(time.time()) // HOUR * HOUR - 9 * HOUR
    scrapes = [at for at in range(0, 6 * HOUR + 1, 15) if at not in OUTAGE]
    data = write_blocks(
        [Series("served_total", {"namespace": KEY.namespace}, counting(20.0))], start, 6 * HOUR, tmp_path, scrapes
    )
    now = float(start + 6 * HOUR)
    with Server() as server:
        server.start(data_dir=data)
        trace = from_prometheus(server.url, QUERY, 0.25, float(STEP), now).demand
        operator = asyncio.run(learned(server.url, 6, now))

    np.testing.assert_array_equal(trace, operator)
    known = trace[np.isfinite(trace)]
    np.testing.assert_allclose(known, 20.0, rtol=1e-6)
    # 26 windows hold fewer than two samples, five more on either side a part of what was served. The first five of all
    # look back to before the first sample.
    assert np.isnan(trace).sum() == 26 + 2 * 5 + 5
