"""The bundle that ships: whole, loadable, and as good as its scores say."""

from __future__ import annotations

import csv

import pytest

from kcloud_autoscale.cli.training_data import made_up_again
from kcloud_autoscale.forecast.artifacts import default_bundle_folder, default_knowledge, load_bundle
from kcloud_autoscale.forecast.evaluate import cold_score
from kcloud_autoscale.forecast.synthetic import synthetic_demand


def test_it_loads_and_says_what_it_was_made_of() -> None:
    bundle = load_bundle(default_bundle_folder())
    assert "made-up series" in bundle.provenance.data
    assert bundle.knowledge.boosted is not None
    assert bundle.provenance.scores["cold_pinball_ratio"] < 0.45
    assert bundle.provenance.data in (default_bundle_folder() / "card.md").read_text()
    assert default_knowledge()[1] == ""


def test_its_data_can_be_made_again_and_has_the_recorded_hash() -> None:
    bundle = load_bundle(default_bundle_folder())
    data = made_up_again(bundle.provenance.data)
    assert data is not None
    assert data.sha256({step for step, _ in bundle.knowledge.cells}) == bundle.provenance.data_sha256


def test_a_recorded_score_is_reproduced() -> None:
    with (default_bundle_folder() / "scores.csv").open() as file:
        recorded = {(float(row["step_seconds"]), int(row["horizon_steps"])): row for row in csv.DictReader(file)}
    cell = (1_800.0, 1)  # 40 series of 21 days, seed 8: those held out
    score = cold_score(synthetic_demand(40, 21.0, cell[0], seed=8), *cell, default_knowledge()[0])
    assert score.starts == int(recorded[cell]["starts"])
    assert score.pinball_ratio == pytest.approx(float(recorded[cell]["pinball_ratio"]), abs=2e-3)
    assert score.coverage == pytest.approx(float(recorded[cell]["coverage"]), abs=2e-3)


def test_without_a_bundle_forecasting_goes_on_and_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kcloud_autoscale.forecast.artifacts.LARGEST_BYTES", 10)
    knowledge, reason = default_knowledge()
    assert knowledge is None
    assert "at most 10" in reason
