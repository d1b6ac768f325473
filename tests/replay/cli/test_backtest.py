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


def backtest(trace: Path, *more: str, beside: tuple[Path, ...] = ()) -> int:
    files = [str(each) for each in (trace, *beside)]
    return main(["backtest", *files, "--horizon-seconds", "3600", "--step-size", "4", *more])


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


def test_nothing_to_judge_is_said_in_numbers(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backtest(trace, "--train-days", "50") == 2
    # 50 days of half an hour are 2,400 steps; the file has six days.
    told = capsys.readouterr().err
    assert "load.csv:rps: 288 steps of 1800 s; 2400 of training and a window of 2 need 2402" in told


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--models", "prophet"), "--models: prophet; there are online-ensemble"),
        (("--models", ","), "--models: none given"),
        (("--horizon-seconds", "0"), "--horizon-seconds is 0, must be greater than 0"),
        (("--horizon-seconds", "86401"), "--horizon-seconds is 86401, must be at most 86400"),
        (("--train-days", "-1"), "--train-days is -1, must be greater than 0"),
        (("--step-size", "0"), "--step-size is 0, must be at least 1"),
        (("--column", "load"), "no column 'load'; there are 't_seconds', 'rps'"),
        (("--jobs", "0"), "--jobs is 0, must be at least 1"),
        (("--jobs", "2", "--executor", "dask://h:8786"), "--jobs and --executor exclude each other"),
        (("--executor", "spark://x:1"), "'spark://x:1' is not dask://HOST:PORT"),
        (("--executor", "dask://x"), "'dask://x' is not dask://HOST:PORT"),
        (("--prometheus", "http://x", "--query", "y"), "name files, or --prometheus with --query; one of both"),
        (("--out", "no/such/folder/out.csv"), "--out: there is no folder no/such/folder"),
        (("--bundle", "no/such/bundle"), "no/such/bundle: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    trace: Path, given: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backtest(trace, *given) == 2
    assert message in capsys.readouterr().err


def test_a_horizon_longer_than_the_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = tmp_path / "short.csv"
    short.write_text("rps\n1\n2\n")
    assert main(["backtest", str(short), "--horizon-seconds", "180"]) == 2
    assert "short.csv:rps: 2 steps of 60 s hold no window of 3 steps" in capsys.readouterr().err


def test_a_series_full_of_holes_is_left_out_and_named(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holes = tmp_path / "holes.csv"
    holes.write_text("rps\n" + "\n".join(str(index) if index % 2 else "nan" for index in range(400)))
    assert backtest(trace, "--models", "last-value", beside=(holes,)) == 0
    told = capsys.readouterr().err
    assert "left out: holes.csv:rps: 400 steps of 60 s, 200 of them unknown" in told
    assert "load.csv" not in told


def test_what_the_file_gets_wrong_is_named_by_line_and_column(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace.write_text(trace.read_text().replace("\n3600,", "\n3600,many"))
    assert backtest(trace) == 2
    assert "load.csv: line 4, column 'rps': 'many" in capsys.readouterr().err


def test_series_of_one_file_are_told_apart_and_last_value_is_always_there(trace: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(trace)
    both = pd.concat([frame.assign(unique_id="chat"), frame.assign(unique_id="search", rps=2.0 * frame["rps"])])
    both.sort_values("t_seconds").to_parquet(tmp_path / "both.parquet", index=False)
    out, scores = tmp_path / "out.parquet", tmp_path / "scores.PARQUET"
    assert backtest(tmp_path / "both.parquet", "--models", "ewma", "--out", str(out), "--scores", str(scores)) == 0
    forecasts = pd.read_parquet(out)
    assert len(pd.read_parquet(scores)) == 4
    assert list(forecasts.groupby(["unique_id", "model"]).size().index) == [
        (name, model) for name in ("chat", "search") for model in ("ewma", "last-value")
    ]
    chat, search = (forecasts[forecasts["unique_id"] == name].reset_index() for name in ("chat", "search"))
    assert (search["y"] - 2.0 * chat["y"]).abs().max() < 1e-9


def test_two_series_of_one_name_are_refused(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backtest(trace, beside=(trace,)) == 2
    assert "several series have the same name: 'load.csv:rps'" in capsys.readouterr().err


def test_scores_hold_every_level(trace: Path, tmp_path: Path) -> None:
    out, scores = tmp_path / "out.csv", tmp_path / "scores.csv"
    assert backtest(trace, "--models", "last-value", "--out", str(out), "--scores", str(scores)) == 0
    forecasts, row = pd.read_csv(out), pd.read_csv(scores).iloc[0]
    for level in (0.5, 0.95, 0.995):
        short = forecasts["y"] - forecasts[f"q{level:g}"]
        assert row[f"coverage_q{level:g}"] == pytest.approx((short <= 0).mean())
        assert row[f"pinball_q{level:g}"] == pytest.approx((short * (level - (short < 0))).mean())
