"""What the benches compute from what they measure, and that the cardboard sources understand the real questions."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from hack.bench import decisions, forecasts, peers, table
from hack.bench.clock import quantile
from hack.bench.fleet import BEGIN_SECONDS, NAMESPACE, PODS_EACH, demand, histories, keys, name_of
from hack.bench.sources import Sources
from hack.bench.table import Table, publish
from kcloud_autoscale.forecast.backtest import JUDGED, Task, run_task
from kcloud_autoscale.forecast.scoreboard import geometric_mean
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.presets import PRESETS
from kcloud_autoscale.observe.promql import Selection
from kcloud_autoscale.simulate.score import Score
from tests.builders.demand_series import daily_wave, history

SELECTION = Selection((NAMESPACE,), (name_of(0), name_of(2)))
NOW = BEGIN_SECONDS + 60.0


def _score(policy: str, replica_hours: float, violations: int, changes: float = 1.0) -> Score:
    return Score(policy, 1_000, violations, 0.0, replica_hours, changes)


def _judged(ours: float, tuned: float, violations: int = 5, tuned_exists: bool = True) -> decisions.Judged:
    scores = {
        "predictive": _score("predictive", ours, violations),
        "hpa": _score("hpa", 110.0, 12),
        "hpa-tuned": _score("hpa-tuned", tuned, violations),
        "oracle": _score("oracle", 80.0, 0),
    }
    return decisions.Judged("trace", scores, tuned_exists)


def test_captured_is_the_part_of_the_saving_that_foresight_would_make() -> None:
    # The tuned HPA pays 100, foresight 80, we 85: 15 of the 20 that could be saved.
    assert _judged(ours=85.0, tuned=100.0).captured == pytest.approx(0.75)


def test_dearer_than_the_tuned_hpa_captures_less_than_nothing() -> None:
    assert _judged(ours=104.0, tuned=100.0).captured == pytest.approx(-0.2)


@pytest.mark.parametrize(("violations", "kept"), [(10, True), (12, True), (13, False)])
def test_violations_may_be_one_percent_or_those_of_hpa(violations: int, kept: bool) -> None:
    # HPA violates in 12 of 1,000 steps: 1.2 %.
    assert _judged(85.0, 100.0, violations).violations_kept is kept


def test_bars_leave_a_tuned_hpa_that_does_not_exist_out_of_the_mean() -> None:
    rows = decisions.bars([_judged(85.0, 100.0), _judged(85.0, 500.0, tuned_exists=False)])
    told = {what: (measured, met) for what, measured, met in rows}
    assert told[">= 75 % of foresight's saving over it, mean"] == ("75%", "yes")
    assert told["cheaper than the HPA tuned with hindsight, every trace"] == ("2 of 2", "yes")
    assert told["replica-hours <= 0.80 of HPA-70 %'s, geometric mean"] == ("0.773", "yes")  # 85 / 110


def test_one_dear_trace_misses_the_bar_of_every_trace() -> None:
    rows = decisions.bars([_judged(85.0, 100.0), _judged(101.0, 100.0)])
    assert ("cheaper than the HPA tuned with hindsight, every trace", "1 of 2", "no") in rows


def test_geometric_mean_of_a_half_and_a_double_is_one() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)


def test_quantile_takes_each_clock_by_itself() -> None:
    assert quantile([(1.0, 30.0), (2.0, 20.0), (3.0, 10.0)], 0.5) == (2.0, 20.0)


def test_tables_are_kept_as_text_and_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "OUT", tmp_path)
    first = Table("Costs", ("what", "ms"), [("tick", "0.7"), ("whole cycle", "12")])
    publish("bench", [first, Table("Bars", ("bar", "met"), [("fast", "yes")])], ["A note."])
    lines = (tmp_path / "bench.txt").read_text().splitlines()
    assert "tick         0.7" in lines
    assert "whole cycle   12" in lines
    assert lines[-1] == "A note."
    assert (tmp_path / "bench.csv").read_text().splitlines() == ["what,ms", "tick,0.7", "whole cycle,12"]
    assert (tmp_path / "bench-2.csv").read_text().splitlines()[1] == "fast,yes"


def test_sources_answer_a_grouped_query_for_the_workloads_it_names() -> None:
    text = queries.demand(PRESETS["vllm"], 75.0, SELECTION)
    found = {labels["workload"]: value for labels, value in Sources(4).vector(text, NOW)}
    assert found == {name_of(each): pytest.approx(demand(each, np.array([NOW]))[0]) for each in (0, 2)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (queries.newest_sample(PRESETS["vllm"], SELECTION), NOW - NOW % 15.0),
        (queries.ready_replicas(300.0, SELECTION), float(PODS_EACH)),
    ],
)
def test_sources_tell_ages_and_replicas_apart_from_load(text: str, value: float) -> None:
    assert {each for _, each in Sources(4).vector(text, NOW)} == {value}


def test_sources_have_watts_of_every_pod() -> None:
    found = list(Sources(4).vector(queries.pod_watts(queries.POWER[0], [NAMESPACE]), NOW))
    assert len({labels["pod"] for labels, _ in found}) == 4 * PODS_EACH


def test_taught_history_ends_where_the_cycles_begin_and_goes_on_as_the_sources_say() -> None:
    found = histories(3, 0.5)[keys(3)[1]]
    assert (len(found.values), found.end_seconds) == (720, BEGIN_SECONDS)
    assert found.values[-1] == demand(1, np.array([BEGIN_SECONDS]))[0]


def test_scikit_learn_is_judged_at_the_cutoffs_ours_were_judged_at() -> None:
    step = 1_800.0
    past = history(daily_wave(9, step, noise=0.05), step)
    base = run_task(Task("wave", past, "last-value", horizon=2, first_cutoff=384, step_size=40))
    assert base is not None
    said = peers.judged("scikit-learn", Path(sys.executable), past, base)
    (found,) = said.windows
    assert found.model == "scikit-learn boosting"
    assert np.array_equal(found.actual, base.actual)
    assert (found.quantiles[:, JUDGED] >= found.quantiles[:, 0]).all()
    # Noise of 5 % on a wave of +- 60 %: the median of a model that learned anything is within a fifth of the peak.
    assert np.median(np.abs(found.quantiles[:, 0] / base.actual - 1.0)) < 0.2
    assert said.fit_seconds["scikit-learn boosting"] > 0.0
    assert said.peak_mib > 1.0


def test_a_cycle_of_a_model_refitted_hourly_bears_a_sixtieth_of_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "measure", lambda *_: {"fit": [(9.0, 5.9)], "path": [(9.0, 0.1)], "peak_mib": 200.0})
    args = Namespace(models=["ets"], slow_series=1)
    (row, peer) = forecasts._fit_rows(args, {"theirs": forecasts.Fit(0.6, 300.0)})
    # Ours: 5.9 + 0.1 s cold; 0.1 s to forecast and 6 / 60 s of the next fit. Theirs: 0.6 / 60.
    assert row == ("ets", "6,000,000", "200,000", "6,000 s", "60,000 s", "200 MiB")
    assert peer == ("theirs", "600,000", "10,000", "600 s", "6,000 s", "300 MiB")
