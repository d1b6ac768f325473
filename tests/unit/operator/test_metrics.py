from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kcloud_autoscale.account.ledger import Account
from kcloud_autoscale.domain.series import AskedModel, LiveScores
from kcloud_autoscale.domain.state import Usage
from kcloud_autoscale.operator.metrics import Metrics, render_markdown
from tests.unit.act.outcomes import KEY, NOW, account, decision, outcome


def samples(metrics: Metrics) -> dict[str, float]:
    """Value by name and labels beyond the workload's, as ``name{quantile=0.9}``."""
    found = {}
    for family in text_string_to_metric_families(metrics.expose().decode()):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sample.labels.items() if k not in ("namespace", "name"))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.collector.take({KEY: outcome()})
    made.expose()  # until a series was scraped once it is 0
    return made


def test_the_four_of_the_design_are_there(metrics: Metrics):
    metrics.collector.counters.scaled(KEY, "up")
    found = samples(metrics)
    assert found["kcloud_workload_optimizations_total{direction=up}"] == 1.0
    assert found["kcloud_cost_savings_total"] == 3.0  # 8 $ of the baseline - 5 $ of ours
    assert found["kcloud_power_savings_watts"] == 600.0
    assert found["kcloud_optimization_score"] == 0.95


def test_totals_of_the_ledger_are_gauges_and_counters_are_the_processes_own(metrics: Metrics):
    found = samples(metrics)
    began = f"{{since={NOW - 3_600.0:.0f}}}"
    assert found[f"kcloud_lifetime_actual_cost_usd{began}"] == 6.0
    assert found[f"kcloud_lifetime_compared_cost_usd{began}"] == 5.0
    assert found[f"kcloud_lifetime_unproven_cost_usd{began}"] == 0.0
    # The cycle of `account` added a minute of 20 $/h against 30 $/h.
    assert found["kcloud_actual_cost_usd_total"] == pytest.approx(20.0 / 60.0)
    assert found["kcloud_baseline_cost_usd_total"] == pytest.approx(30.0 / 60.0)
    assert found["kcloud_spent_usd_total"] == found["kcloud_actual_cost_usd_total"]


def test_savings_may_be_negative():
    made, loss = Metrics(), account()
    ledger = type(loss.ledger)(**{**_fields(loss), "compared": Usage(usd=9.0)})
    made.collector.outcomes = {KEY: outcome(account=account(ledger=ledger))}
    assert samples(made)["kcloud_cost_savings_total"] == -1.0


def _fields(of: Account) -> dict[str, object]:
    return {name: getattr(of.ledger, name) for name in type(of.ledger).__dataclass_fields__}


def test_forecast_caps_and_reason_are_exported(metrics: Metrics):
    found = samples(metrics)
    assert found["kcloud_forecast_demand_per_second{quantile=0.9}"] == 40.0
    assert found["kcloud_forecast_needed_demand_per_second"] == 40.0
    assert found["kcloud_cap_headroom_ratio{cap=maxCostPerHour}"] == 0.0  # 30 of 30 $/h
    assert found["kcloud_lead_time_seconds{source=learned}"] == 120.0
    assert found["kcloud_decision_reason{reason=MaxCostPerHour}"] == 1.0


def test_a_model_that_was_asked_for_has_a_series_and_nobody_else(metrics: Metrics):
    assert not [name for name in samples(metrics) if "asked_model" in name]
    forecast = decision().forecast
    assert forecast is not None
    for fitted in (True, False):
        asking = replace(forecast, asked=AskedModel("ETS", fitted))
        metrics.collector.outcomes = {KEY: outcome(decision=decision(forecast=asking))}
        assert samples(metrics)["kcloud_forecast_asked_model_fitted{model=ETS}"] == float(fitted)


def test_what_is_unknown_has_no_series():
    made = Metrics()
    made.collector.outcomes = {
        KEY: outcome(
            seen=None,
            decision=decision(desired_replicas=None, forecast=None, level=None, caps=()),
            account=account(actual=None, baseline=None, score=None, budget=None),
        )
    }
    found = samples(made)
    for name in (
        "kcloud_desired_replicas",
        "kcloud_cost_usd_per_hour",
        "kcloud_power_watts",
        "kcloud_demand_per_second",
    ):
        assert name not in found


def test_series_end_with_their_workload(metrics: Metrics):
    metrics.collector.counters.scaled(KEY, "up")
    metrics.collector.take({})
    assert not [name for name in metrics.expose().decode().splitlines() if 'name="llm"' in name]


def test_every_metric_has_help_and_a_unit_or_a_count(metrics: Metrics):
    for family in metrics.registry.collect():
        assert family.documentation, family.name
        assert family.name.startswith(("kcloud_", "process_")), family.name


def test_live_scores_are_exported_once_they_are_known(metrics: Metrics):
    forecast = decision().forecast
    assert forecast is not None
    metrics.collector.outcomes = {KEY: outcome(decision=decision(forecast=forecast))}
    assert not [name for name in samples(metrics) if name.startswith("kcloud_forecast_error")]
    scored = replace(forecast, scores=LiveScores(0.95, 0.9375, 1.25, 2.5, 0.625, 192.0))
    metrics.collector.outcomes = {KEY: outcome(decision=decision(forecast=scored))}
    found = samples(metrics)
    wanted = {"coverage": 0.9375, "mase": 0.625, "pinball": 1.25, "pinball_last_value": 2.5}
    assert {name: found[f"kcloud_forecast_error{{score={name}}}"] for name in wanted} == wanted


def test_the_document_is_in_step_with_the_declarations():
    document = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert document.read_text(encoding="utf-8") == render_markdown(), "run: make generate"


def test_a_process_that_stands_by_shows_no_workload(metrics: Metrics):
    metrics.stand_by()
    found = samples(metrics)
    assert not [name for name in metrics.expose().decode().splitlines() if 'name="llm"' in name]
    assert found["kcloud_workloads"] == 0.0
