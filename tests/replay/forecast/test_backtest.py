"""Rolling origins: what is judged, and that only the past was seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd

from kcloud_autoscale.forecast.backtest import Task, backtest, run_task
from kcloud_autoscale.forecast.scoreboard import forecast_frame, score_table, summary
from tests.builders.demand_series import daily_wave, history, peaks

STEP = 1_800.0
VALUES = daily_wave(8, STEP, seed=6)
TASK = Task("w", history(VALUES, STEP), "last-value", horizon=4, first_cutoff=96, step_size=3)


def test_every_window_after_the_training_part_is_judged_once() -> None:
    found = run_task(TASK)
    assert found is not None
    # Origins 95, 98, … up to the last whose four steps are there: 384 - 4 - 1 = 379.
    expected = np.arange(95, 380, 3)
    assert np.array_equal(found.cutoff_seconds, (expected + 1) * STEP)
    assert np.array_equal(found.actual, peaks(VALUES, 4)[expected])
    assert np.array_equal(found.present, VALUES[expected])


def test_windows_with_gaps_are_not_judged() -> None:
    gappy = VALUES.copy()
    gappy[200] = np.nan
    found = run_task(replace(TASK, history=history(gappy, STEP), step_size=1))
    assert found is not None
    judged = (found.cutoff_seconds / STEP - 1).astype(int)
    assert not set(judged) & {196, 197, 198, 199, 200}
    assert {195, 201} <= set(judged)


def test_a_series_shorter_than_its_training_part_has_nothing_to_judge() -> None:
    assert run_task(replace(TASK, first_cutoff=1_000)) is None
    assert backtest([replace(TASK, first_cutoff=1_000)]) == []


def test_the_bulk_path_of_the_ensemble_sees_no_further_than_the_others() -> None:
    whole = run_task(replace(TASK, model="online-ensemble"))
    cut = run_task(replace(TASK, model="online-ensemble", history=history(VALUES[:200], STEP)))
    assert whole is not None
    assert cut is not None
    assert np.array_equal(cut.quantiles, whole.quantiles[: len(cut.quantiles)])


def test_results_come_in_the_order_of_the_tasks_whoever_is_done_first() -> None:
    tasks = [replace(TASK, unique_id=str(index), model=model) for index, model in enumerate(["ewma", "last-value"] * 2)]
    done: list[str] = []
    with ThreadPoolExecutor(2) as executor:
        found = backtest(tasks, executor, lambda task: done.append(task.unique_id))
    assert [each.unique_id for each in found] == ["0", "1", "2", "3"]
    assert sorted(done) == ["0", "1", "2", "3"]
    alone = backtest(tasks)
    assert all(np.array_equal(one.quantiles, other.quantiles) for one, other in zip(found, alone, strict=True))


def test_scores_are_relative_to_last_value_on_the_same_series() -> None:
    tasks = [replace(TASK, model=model) for model in ("online-ensemble", "last-value")]
    scores = score_table(backtest(tasks))
    by_model = {model: each for _, model, each in scores}
    assert by_model["last-value"].pinball_ratio == 1.0
    ours = by_model["online-ensemble"]
    assert ours.pinball_ratio == ours.pinball / by_model["last-value"].pinball < 0.8
    table = summary(scores).set_index("model")
    assert np.isclose(table.loc["online-ensemble", "worst_ratio"], ours.pinball_ratio)
    assert 0.85 < table.loc["online-ensemble", "coverage"] <= 1.0


def test_forecasts_are_tidy() -> None:
    found = backtest([TASK])
    frame = forecast_frame(found)
    assert list(frame.columns[:5]) == ["unique_id", "ds", "cutoff", "y", "model"]
    assert list(frame.columns[5:]) == ["q0.5", "q0.8", "q0.9", "q0.95", "q0.98", "q0.99", "q0.995"]
    assert len(frame) == len(found[0].actual)
    assert (frame["ds"] - frame["cutoff"] == pd.Timedelta(seconds=4 * STEP)).all()
