"""The backtest's report: its numbers by hand, and what of a large one is kept."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcloud_autoscale.forecast.backtest import Task, Windows, backtest
from kcloud_autoscale.forecast.scoreboard import score_table
from kcloud_autoscale.forecast.settings import LEVELS
from kcloud_autoscale.report.backtest import write_report
from kcloud_autoscale.report.backtest_drawing import drawing
from kcloud_autoscale.report.backtest_scopes import normal_scores, scope_of_all, scope_of_series
from kcloud_autoscale.simulate.trace_rows import Trace
from tests.builders.demand_series import daily_wave, history

MODELS = ("ewma", "last-value")
HOUR = 3_600.0
RISES = 0.9 + 0.11 * np.arange(len(LEVELS))


def windows(model: str, actual: list[float], said: float, first_seconds: float = 0.0, series: str = "w") -> Windows:
    """Windows an hour apart, each level of each forecast the same."""
    count = len(actual)
    return Windows(
        unique_id=series,
        model=model,
        cutoff_seconds=first_seconds + HOUR * np.arange(count),
        window_seconds=HOUR,
        spacing_seconds=HOUR,
        actual=np.array(actual),
        present=np.array(actual),
        quantiles=np.full((count, len(LEVELS)), said),
        microseconds=1.0,
    )


def scope(*mine: Windows) -> dict[str, Any]:
    return scope_of_series(mine, score_table(mine))


def test_loss_by_hour_is_relative_to_last_value_over_all_hours() -> None:
    # Last value says 10: 20 came at 00:00 (loss .95 * 10 = 9.5) and 10 at 01:00 (loss 0), 4.75 on average.
    # The other says 20: losses 0 and .05 * 10 = 0.5.
    found = scope(windows("ewma", [20.0, 10.0], 20.0), windows("last-value", [20.0, 10.0], 10.0))
    assert found["hours"][0][:3] == [0.0, pytest.approx(0.5 / 4.75, rel=1e-4), None]
    assert found["hours"][1][:2] == [2.0, 0.0]
    assert found["ratios"][0][LEVELS.index(0.95)] == pytest.approx(0.25 / 4.75, rel=1e-4)
    assert found["coverages"][1][0] == 0.5


def test_days_of_all_series_are_on_one_calendar() -> None:
    first = scope(windows("last-value", [20.0, 10.0], 10.0))
    third = scope(windows("last-value", [20.0, 10.0], 10.0, first_seconds=2 * 24 * HOUR, series="x"))
    both = [windows("last-value", [20.0, 10.0], 10.0), windows("last-value", [20.0, 10.0], 10.0, series="x")]
    found = scope_of_all(["last-value"], score_table(both), [first, third])
    assert found["days"] == [[1.0, None, 1.0]]
    assert found["first_day"] == 0
    assert found["windows"] == 4


def test_levels_stand_apart_and_nothing_and_all_are_still_drawn() -> None:
    half, most, nothing, everything = normal_scores([0.5, 0.975, 0.0, 1.0])
    assert half == 0.0
    assert most == pytest.approx(1.96, abs=1e-3)
    assert nothing == pytest.approx(-3.09, abs=1e-2)
    assert everything == pytest.approx(3.29, abs=1e-2)


def test_a_gap_is_drawn_as_a_gap() -> None:
    whole = windows("last-value", [1.0, 2.0, 3.0, 4.0], 2.5)
    keep = np.array([True, False, True, True])
    gappy = Windows(
        "w", "last-value", whole.cutoff_seconds[keep], HOUR, HOUR, whole.actual[keep], whole.present[keep],
        whole.quantiles[keep], 1.0,
    )  # fmt: skip
    found = drawing([gappy], 100)
    assert found["peak"] == [1.0, None, 3.0, 4.0]
    assert found["models"][0]["misses"] == [2, 3]  # 3 and 4 are above 2.5


def test_thinning_loses_no_spike_and_no_miss() -> None:
    actual = [1.0] * 100
    actual[37] = 9.0
    found = drawing([windows("last-value", actual, 2.0)], 10)
    # 100 cutoffs on at most ten points are ten of ten; the spike is in the fourth.
    assert (found["together"], found["spacing_seconds"], len(found["peak"])) == (10, 10 * HOUR, 10)
    assert found["peak"][3] == 9.0
    assert found["models"][0]["misses"] == [3]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    names = ("</script><b>", "small")
    values = [daily_wave(4, 1_800.0, seed=seed) for seed in (1, 2)]
    traces = [Trace(name, 0.0, 1_800.0, each, f"hash-of-{name}") for name, each in zip(names, values, strict=True)]
    tasks = [
        Task(trace.name, history(trace.demand, 1_800.0), model, horizon=2, first_cutoff=96)
        for trace in traces
        for model in MODELS
    ]
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, backtest(tasks), traces, ["kcloud-autoscale", "backtest", "x.csv"])
    return path.read_text(encoding="utf-8")


def test_the_page_holds_every_model_of_every_series_and_asks_nothing_of_the_network(page: str) -> None:
    assert page.count("</script>") == 2
    assert set(re.findall(r"""https?://[^\s"'<>)]+""", page)) <= {"http://www.w3.org/2000/svg"}
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["models"] == list(MODELS)
    assert {each["name"] for each in data["scopes"]} == {"all series", "</script><b>", "small"}
    assert len(data["drawings"]) == 2
    assert [cells[0] for cells in data["scopes"][0]["cells"]] == list(MODELS)
    worst_first = [each["ratios"][0][data["judged"]] for each in data["scopes"][1:]]
    assert worst_first == sorted(worst_first, reverse=True)


def test_a_large_fleet_stays_a_small_file(tmp_path: Path) -> None:
    # 160 series of 400 cutoffs under nine models: drawn in full they would be 160 x 400 x 29 = 1.9 million numbers.
    models = ["last-value", *(f"model-{index}" for index in range(8))]
    names = [f"service-{index}" for index in range(160)]
    load = np.random.default_rng(1).gamma(2.0, 1_000.0 / 3.0, 400)
    fleet = [
        Windows(name, model, 3.6 * HOUR * np.arange(400), HOUR, 3.6 * HOUR, load, load, load[:, None] * RISES, 1.0)
        for name in names
        for model in models
    ]
    path = tmp_path / "fleet.html"
    write_report(path, fleet, [Trace(name, 0.0, HOUR, load) for name in names], ["x"])
    assert path.stat().st_size < 5_000_000
    assert '"series":160' in path.read_text()


def test_what_is_needed_to_repeat_the_run_is_said(page: str) -> None:
    for needed in (
        "kcloud-autoscale backtest x.csv",
        "sha256 hash-of-small",
        "192 steps of 1800 s",
        "numpy ",
        "after 2",
    ):
        assert needed in page
