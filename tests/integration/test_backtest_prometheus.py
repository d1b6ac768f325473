"""The backtest on the past of a real Prometheus: every series a query returns, and nothing that was not measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hack.cluster import Prometheus
from hack.load.demand import DemandShape
from kcloud_autoscale.cli.main import main
from tests.integration.series import Series, write_blocks

pytestmark = pytest.mark.integration

STEP = 300
DAYS = 3
SERVICES = {"chat": 40.0, "search": 120.0}


def test_each_series_of_a_query_is_judged_and_gaps_stay_gaps(
    prometheus: Callable[[], Prometheus], tmp_path: Path
) -> None:
    now = int(time.time()) // STEP * STEP
    start = now - DAYS * 86_400
    hole = range(now - 86_400, now - 86_400 + 7_200)  # two hours of the second half
    instants = np.arange(start, now + 1, STEP)
    loads = {name: DemandShape(level_per_second=level).sample(instants) for name, level in SERVICES.items()}
    gauges = [
        Series("load", {"service": name}, lambda at, load=load: float(load[at // STEP])) for name, load in loads.items()
    ]
    scrapes = [at for at in range(0, now - start + 1, STEP) if start + at not in hole]
    server = prometheus()
    server.start(data_dir=write_blocks(gauges, start, now - start, tmp_path, scrapes))
    out = tmp_path / "out.csv"
    words = [
        "backtest",
        "--prometheus",
        server.url,
        "--query",
        "load",
        "--days",
        str(DAYS),
        "--step-seconds",
        str(STEP),
    ]
    more = ["--horizon-seconds", "900", "--models", "last-value,ewma", "--out", str(out)]
    assert main([*words, *more]) == 0

    found = pd.read_csv(out, parse_dates=["ds", "cutoff"])
    assert set(found["unique_id"]) == {f'load{{service="{name}"}}' for name in SERVICES}
    assert set(found["model"]) == {"last-value", "ewma"}
    # What came is what was put in: the peak of the three values after the cutoff.
    ends = (found["ds"] - pd.Timestamp(start, unit="s", tz="UTC")).dt.total_seconds().to_numpy() / STEP
    for name, load in loads.items():
        mine = (found["unique_id"] == f'load{{service="{name}"}}').to_numpy()
        last = np.rint(ends[mine]).astype(int)
        expected = np.max([load[last - back] for back in range(3)], axis=0)
        assert found["y"][mine].to_numpy() == pytest.approx(expected, rel=1e-9)
    # No window touches the hole: a value would else stand for 300 s, and the last one for the 24 missing.
    cutoffs, until = (found[name].dt.as_unit("s").astype("int64") for name in ("cutoff", "ds"))
    inside = (until >= hole.start) & (cutoffs < hole.stop)
    assert not inside.any()
    assert (cutoffs < hole.start).any()
    assert (cutoffs > hole.stop).any()


def test_a_query_without_series_and_a_broken_one_are_refused_with_the_query(
    prometheus: Callable[[], Prometheus], capsys: pytest.CaptureFixture[str]
) -> None:
    server = prometheus()
    server.start()
    asked = ["backtest", "--prometheus", server.url, "--days", "1", "--query"]
    assert main([*asked, "no_such_metric"]) == 2
    assert "the query gives no series in the last 1 days: no_such_metric" in capsys.readouterr().err
    assert main([*asked, "sum(oops"]) == 2
    assert "sum(oops" in capsys.readouterr().err
