"""The backtest verb, from a file on disk to a table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

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


def test_a_trace_gives_a_table_and_tidy_files(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, scores = tmp_path / "out.csv", tmp_path / "scores.csv"
    assert backtest(trace, "--models", "online-ensemble,last-value", "--out", str(out), "--scores", str(scores)) == 0
    printed = capsys.readouterr().out
    assert "online-ensemble" in printed
    assert "pinball_ratio" in printed
    forecasts, table = pd.read_csv(out), pd.read_csv(scores)
    assert set(forecasts["model"]) == {"online-ensemble", "last-value"}
    assert list(table["model"]) == ["online-ensemble", "last-value"]
    assert table["windows"].tolist() == [36, 36]  # origins 143, 147, … up to 285


def test_training_days_move_the_first_window(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert backtest(trace, "--models", "last-value", "--train-days", "5", "--out", str(out)) == 0
    assert pd.read_csv(out)["cutoff"].iloc[0] == "1970-01-06 00:00:00+00:00"


def test_nothing_to_judge_is_said_and_is_not_success(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backtest(trace, "--train-days", "50") == 1
    assert "no window could be judged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--models", "prophet"), "--models: prophet; there are online-ensemble"),
        (("--models", ","), "--models: none given"),
        (("--horizon-seconds", "0"), "--horizon-seconds and --step-size must be positive"),
        (("--executor", "spark://x"), "'spark://x' is not dask://HOST:PORT"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    trace: Path, given: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backtest(trace, *given) == 2
    assert message in capsys.readouterr().err
