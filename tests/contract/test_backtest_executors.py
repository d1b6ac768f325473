"""Backtests across processes and a Dask cluster say what a single process says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from distributed import LocalCluster

from kcloud_autoscale.cli.main import main
from tests.builders.demand_series import daily_wave

STEP = 1_800


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    values = daily_wave(6, STEP, seed=8)
    path = tmp_path / "load.csv"
    pd.DataFrame({"t_seconds": [index * STEP for index in range(len(values))], "rps": values}).to_csv(path, index=False)
    return path


def backtest(trace: Path, *more: str) -> int:
    return main(["backtest", str(trace), "--horizon-seconds", "3600", "--step-size", "4", *more])


@pytest.fixture(scope="module")
def dask() -> Iterator[str]:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    ) as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


def test_a_dask_cluster_gives_the_same_forecasts(trace: Path, tmp_path: Path, dask: str) -> None:
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    assert backtest(trace, "--models", "last-value,ewma", "--out", str(here)) == 0
    assert backtest(trace, "--models", "last-value,ewma", "--out", str(there), "--executor", dask) == 0
    assert here.read_text() == there.read_text()


def test_processes_give_the_same_forecasts(trace: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    assert backtest(trace, "--models", "last-value,ewma", "--out", str(here)) == 0
    assert backtest(trace, "--models", "last-value,ewma", "--out", str(there), "--jobs", "2") == 0
    assert here.read_text() == there.read_text()
