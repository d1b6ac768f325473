"""The train verb: from made-up demand, or from files, to a bundle that loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kcloud_autoscale.cli.main import main
from kcloud_autoscale.cli.training_data import made_up, made_up_again
from kcloud_autoscale.forecast.artifacts import load_bundle
from tests.builders.demand_series import daily_wave


def test_made_up_demand_gives_a_bundle_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "models" / "mine" / "3"
    given = ("--series", "4", "--seed", "5", "--cells", "1800:2", "--no-boosting")
    assert main(["train", "--out", str(out), *given]) == 0
    bundle = load_bundle(out)
    assert (bundle.provenance.name, bundle.provenance.version) == ("mine", "3")
    assert bundle.provenance.data.startswith("4 made-up series per step length, seed 5")
    assert list(bundle.knowledge.cells) == [(1_800.0, 2)]
    assert bundle.knowledge.boosted is None
    ratio = bundle.provenance.scores["cold_pinball_ratio"]
    assert f"{ratio:.3f}" in capsys.readouterr().out
    assert "| 1800 s | 2 |" in (out / "card.md").read_text()
    assert len((out / "scores.csv").read_text().splitlines()) == 2
    assert main(["train", "--out", str(out), "--data", "nowhere.csv"]) == 2  # refused before anything is read
    assert "holds a bundle already; versions are never overwritten" in capsys.readouterr().err


def test_ones_own_traces_are_learned_from_gaps_and_all(tmp_path: Path) -> None:
    values = daily_wave(90, 1_800.0, seed=1)
    values[100:110] = np.nan
    trace = tmp_path / "load.csv"
    frame = pd.DataFrame({"t_seconds": np.arange(len(values)) * 1_800, "rps": values})
    frame.to_csv(trace, index=False)
    out = tmp_path / "models" / "mine" / "1"
    assert main(["train", "--data", str(trace), "--out", str(out), "--cells", "1800:2", "--no-boosting"]) == 0
    assert "load.csv" in load_bundle(out).provenance.data


def test_too_little_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "load.csv"
    pd.DataFrame({"t_seconds": np.arange(50) * 1_800, "rps": 1.0}).to_csv(trace, index=False)
    assert main(["train", "--data", str(trace), "--out", str(tmp_path / "x"), "--cells", "1800:2"]) == 2
    assert "1 windows of up to 21 days at 1800 s; at least 4" in capsys.readouterr().err


def test_steps_shorter_than_the_rows_of_the_data_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "load.csv"
    pd.DataFrame({"t_seconds": np.arange(400) * 1_800, "rps": 1.0}).to_csv(trace, index=False)
    for cells in ("600:2", "2700:2"):
        assert main(["train", "--data", str(trace), "--out", str(tmp_path / "x"), "--cells", cells]) == 2
        assert "are no multiple of the 1800 s between the rows of load.csv:rps" in capsys.readouterr().err


def test_made_up_demand_is_told_in_words_that_make_it_again() -> None:
    source = made_up(3, 5)
    again = made_up_again(source.words)
    assert again is not None
    assert again.sha256([1_800.0]) == source.sha256([1_800.0]) != made_up(3, 6).sha256([1_800.0])
    assert not np.array_equal(again.held_out(1_800.0), again.train(1_800.0))
    assert made_up_again("load.csv:rps") is None


@pytest.mark.parametrize("cells", ["60", "a:b", "60:0", "-5:3"])
def test_cells_that_are_none_are_refused(cells: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--out", str(tmp_path / "x"), f"--cells={cells}"]) == 2
    assert "--cells" in capsys.readouterr().err
