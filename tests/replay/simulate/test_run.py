from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kcloud_autoscale.cli.main import main
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import BudgetPeriod, Caps, ForecastPolicy
from kcloud_autoscale.domain.reading import value_or_none
from kcloud_autoscale.domain.series import AskedModel
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.forecast.replay import ReplayedForecaster
from kcloud_autoscale.simulate.policies import POLICIES
from kcloud_autoscale.simulate.predictive import Predictive, Sight, fleet_policy, plain_workload, whole_history
from kcloud_autoscale.simulate.run import Outcome, simulate
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import World, WorldRules, replay

STEP = 600.0
DAY = 144
RULES = WorldRules(10.0, 700.0)
KEY = WorkloadKey("ai", "chat")


def rhythm(days: int, seed: int = 0, start: float = 1_767_225_600.0) -> Trace:
    """A daily rhythm between 30 and 170 load per second with noise, a gap of an hour."""
    rng = np.random.default_rng(seed)
    at = np.arange(days * DAY)
    demand = 100.0 - 70.0 * np.cos(2.0 * np.pi * at / DAY) + rng.normal(0.0, 4.0, len(at))
    demand[DAY // 2 : DAY // 2 + 6] = np.nan
    return Trace("rhythm", start, STEP, np.maximum(demand, 0.0))


def ran(trace: Trace, *policies: str, rules: WorldRules = RULES, caps: Caps | None = None) -> dict[str, Outcome]:
    return simulate(trace, rules, policies, plain_workload(caps), lambda _: None)


@pytest.fixture(scope="module")
def four_days() -> Trace:
    return rhythm(4)


@pytest.fixture(scope="module")
def outcomes(four_days: Trace) -> dict[str, Outcome]:
    return ran(four_days, *POLICIES)


def test_every_policy_runs_every_step(outcomes: dict[str, Outcome], four_days: Trace):
    assert list(outcomes) == list(POLICIES)
    for outcome in outcomes.values():
        assert len(outcome.run.replicas) == len(outcome.run.ready) == len(outcome.run.reasons) == len(four_days.demand)
        assert (outcome.run.ready <= outcome.run.replicas).all()


def test_nobody_who_does_not_violate_is_cheaper_than_the_bounds(outcomes: dict[str, Outcome]):
    exact, foresight = outcomes["clairvoyant"].score, outcomes["oracle"].score
    assert exact.violations == 0
    assert exact.replica_hours <= foresight.replica_hours <= outcomes["static"].score.replica_hours


def test_on_a_plain_rhythm_forecasting_is_cheaper_than_hpa(outcomes: dict[str, Outcome]):
    assert outcomes["predictive"].score.replica_hours < 0.9 * outcomes["hpa"].score.replica_hours


def test_the_forecast_is_used_and_said(outcomes: dict[str, Outcome]):
    assert "ForecastNeed" in outcomes["predictive"].run.reasons


def test_two_runs_are_identical(outcomes: dict[str, Outcome], four_days: Trace):
    again = ran(four_days, "predictive")["predictive"].run
    assert (again.replicas == outcomes["predictive"].run.replicas).all()
    assert list(again.reasons) == list(outcomes["predictive"].run.reasons)


@pytest.mark.parametrize("cut", [1, DAY // 2 + 5, 2 * DAY + 17, 3 * DAY])
def test_cutting_the_trace_changes_no_decision_before_the_cut(outcomes: dict[str, Outcome], four_days: Trace, cut: int):
    shorter = replace(four_days, demand=four_days.demand[:cut])
    for name in ("predictive", "hpa", "keda", "phpa"):
        run, whole = ran(shorter, name)[name].run, outcomes[name].run
        assert (run.replicas == whole.replicas[:cut]).all(), name
        assert list(run.reasons) == list(whole.reasons[:cut]), name


def test_the_future_changes_no_decision_before_it(outcomes: dict[str, Outcome], four_days: Trace):
    other = four_days.demand.copy()
    other[2 * DAY :] *= 3.0
    run = ran(replace(four_days, demand=other), "predictive")["predictive"].run
    # The decision at step 2 DAY still knows nothing of step 2 DAY.
    assert (run.replicas[: 2 * DAY + 1] == outcomes["predictive"].run.replicas[: 2 * DAY + 1]).all()


def test_an_outage_of_the_metrics_holds(outcomes: dict[str, Outcome]):
    run = outcomes["predictive"].run
    # Steps 73 to 78 are the first whose decision saw an unknown step just before it.
    held = run.replicas[DAY // 2 + 1 : DAY // 2 + 7]
    assert (np.diff(held) >= 0).all()
    assert held[-1] == held[0]


def test_history_is_used_but_not_scored(four_days: Trace):
    run = ran(four_days, "predictive", rules=replace(RULES, history_steps=3 * DAY))["predictive"].run
    assert len(run.replicas) == DAY
    assert run.first_step == 3 * DAY
    # Three days behind it: the forecast is trusted from the first decisions on.
    assert "ForecastNeed" in run.reasons[:24]


@pytest.mark.parametrize(("caps", "most"), [(Caps(max_usd_per_hour=20.0), 10), (Caps(max_watts=4_200.0), 8)])
def test_every_policy_is_held_to_the_same_caps(four_days: Trace, caps: Caps, most: int):
    rules = replace(RULES, usd_per_replica_hour=2.0, watts_per_replica=500.0)
    outcomes = ran(four_days, *POLICIES, rules=rules, caps=caps)
    # Each of them wants 17 at noon; the caps leave 10 at 2 $/h, or 8 at 500 W.
    assert {name: int(outcome.run.replicas.max()) for name, outcome in outcomes.items()} == dict.fromkeys(
        POLICIES, most
    )
    for name, outcome in outcomes.items():
        lowered = sum(reason in ("MaxCostPerHour", "MaxPowerUsage") for reason in outcome.run.reasons)
        assert f"hard limits left less than was wanted in {lowered:,} of 576 steps" in outcome.note, name
    # An HPA under caps misses like everybody else, and not 0 % at twice the money.
    assert outcomes["hpa"].score.violations >= outcomes["clairvoyant"].score.violations > 100


@pytest.mark.parametrize("period", [BudgetPeriod.TOTAL, BudgetPeriod.DAILY, BudgetPeriod.WEEKLY])
def test_every_policy_has_the_same_budget(four_days: Trace, period: BudgetPeriod):
    rules = replace(RULES, usd_per_replica_hour=2.0)
    outcomes = ran(four_days, *POLICIES, rules=rules, caps=Caps(budget_usd=300.0, budget_period=period))
    for name, outcome in outcomes.items():
        per_step = outcome.run.replicas * 2.0 * STEP / 3600.0
        # minReplicas is never cut: a spent budget still pays 1 of them. The trace begins with a day, on a Thursday.
        beyond_the_floor = np.where(outcome.run.replicas > 1, per_step, 0.0)
        days = {BudgetPeriod.TOTAL: 4, BudgetPeriod.DAILY: 1, BudgetPeriod.WEEKLY: 4}[period]
        for day in range(0, 4, days):
            assert beyond_the_floor[day * DAY : (day + days) * DAY].sum() <= 300.0 + 1e-6, name


@pytest.mark.parametrize("name", POLICIES)
def test_caps_that_never_bind_change_nothing(outcomes: dict[str, Outcome], four_days: Trace, name: str):
    rules = replace(RULES, usd_per_replica_hour=2.0, watts_per_replica=500.0)
    wide = Caps(max_usd_per_hour=1e6, max_watts=1e9, budget_usd=1e9, budget_period=BudgetPeriod.MONTHLY)
    run = ran(four_days, name, rules=rules, caps=wide)[name].run
    assert run.replicas.tolist() == outcomes[name].run.replicas.tolist()
    assert list(run.reasons) == list(outcomes[name].run.reasons)


def test_an_unknown_policy_is_named(four_days: Trace):
    with pytest.raises(ConfigError, match="unknown policy crystal-ball; there are predictive"):
        ran(four_days, "crystal-ball")


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    trace = rhythm(1)
    lines = [f"{int(i * STEP)},{'' if math.isnan(value) else value}" for i, value in enumerate(trace.demand)]
    path.write_text("t_seconds,rps\n" + "\n".join(lines) + "\n")
    return path


def test_lines_without_caps_stand_beside_where_asked_for(
    trace_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["simulate", "--trace", str(trace_file), "--capacity-per-replica", "10", "--startup-seconds", "700"]
    words += ["--usd-per-replica-hour", "2", "--policy", "predictive,hpa", "--quiet"]
    files = ["--decisions", str(tmp_path / "out.csv"), "--report", str(tmp_path / "out.html")]
    assert main([*words, "--max-cost-per-hour", "20", "--without-caps", *files]) == 0
    out = capsys.readouterr().out
    names = ["predictive", "hpa", "predictive-without-caps", "hpa-without-caps"]
    assert [line.split()[0] for line in out.splitlines()[1:5]] == names
    held = "Every policy is held to maxCostPerHour 20.00 $/h. Those without-caps are held to none."
    assert held in out
    assert held in (tmp_path / "out.html").read_text()
    most = {}
    for name in names:
        file = tmp_path / ("out.csv" if name == "predictive" else f"out.{name}.csv")
        rows = list(csv.DictReader(file.open()))
        most[name] = max(int(row["replicas"]) for row in rows)
        assert any(row["reason"] == "MaxCostPerHour" for row in rows) is not name.endswith("without-caps")
    assert most["predictive"] == most["hpa"] == 10
    assert min(most["predictive-without-caps"], most["hpa-without-caps"]) > 16
    assert main([*words, "--without-caps"]) == 2
    assert "--without-caps needs caps or budgets to leave out: there is none" in capsys.readouterr().err


@pytest.mark.parametrize("period", [BudgetPeriod.TOTAL, BudgetPeriod.DAILY])
def test_a_budget_is_never_crossed_while_more_than_the_floor_runs(four_days: Trace, period: BudgetPeriod):
    """Half of what the load of a day needs: the last step before the floor spends what is left, and no more."""
    rules = replace(RULES, usd_per_replica_hour=2.0)
    caps = Caps(budget_usd=200.0, budget_period=period)
    run = ran(four_days, "predictive", rules=rules, caps=caps)["predictive"].run
    day = np.arange(len(run.replicas)) // (DAY if period is BudgetPeriod.DAILY else len(run.replicas))
    for each in np.unique(day):
        replicas = run.replicas[day == each]
        spent = np.cumsum(replicas) * 2.0 * STEP / 3_600.0
        above = replicas > rules.min_replicas
        assert spent[above].max() <= 200.0 + 1e-6
        assert spent[-1] > 190.0


def test_the_command_writes_one_row_per_step(trace_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    decisions = tmp_path / "out.csv"
    arguments = ["simulate", "--trace", str(trace_file), "--column", "rps", "--capacity-per-replica", "10"]
    arguments += ["--startup-seconds", "400", "--policy", "predictive,hpa", "--decisions", str(decisions)]
    arguments += ["--watts-per-replica", "500", "--grams-co2e-per-kwh", "400"]
    assert main(arguments) == 0
    rows = list(csv.DictReader(decisions.open()))
    assert len(rows) == DAY
    assert {"t", "demand", "replicas", "ready", "reason"} <= rows[0].keys()
    assert [int(row["t"]) for row in rows] == list(range(DAY))
    assert rows[DAY // 2]["demand"] == ""
    assert all(int(row["ready"]) <= int(row["replicas"]) for row in rows)
    beside = list(csv.DictReader((tmp_path / "out.hpa.csv").open()))
    assert len(beside) == DAY
    table = capsys.readouterr().out
    head, ours, *_ = table.splitlines()
    cells = dict(zip(head.split(), ours.split(), strict=False))
    assert cells["policy"] == "predictive"
    assert float(cells["kWh"]) == pytest.approx(0.5 * float(cells["replica-h"]), rel=0.01)
    assert float(cells["kgCO2e"]) == pytest.approx(0.4 * float(cells["kWh"]), rel=0.01)
    assert "of HPA" in head


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--column": "load"}, "no column 'load'"),
        ({"--capacity-per-replica": "0"}, "capacity per replica is 0"),
        ({"--startup-seconds": "-5"}, "startup seconds is -5"),
        ({"--settle-seconds": "-1"}, "settle seconds is -1"),
        ({"--step-seconds": "0"}, "--step-seconds is 0"),
        ({"--history-steps": "144"}, "144 steps of history were asked for, the trace has 144"),
        ({"--policy": "magic"}, "unknown policy magic"),
        ({"--policy": ","}, "--policy names none"),
        ({"--budget-period": "Daily"}, "--budget-period Daily needs a budget: --budget-limit"),
        ({"--grams-co2e-per-kwh": "400"}, "--grams-co2e-per-kwh needs --watts-per-replica"),
        ({"--report": "one.out", "--decisions": "../" + Path.cwd().name + "/one.out"}, "name the same file"),
        ({"--trace": "nowhere.csv"}, "nowhere.csv: cannot be read"),
        ({"--max-cost-per-hour": "5"}, "needs --usd-per-replica-hour"),
        ({"--max-power-usage": "5"}, "needs --watts-per-replica"),
        ({"--optimizer": "nowhere.yaml"}, "nowhere.yaml: No such file"),
        ({"--report": "no/such/out.html"}, "--report: there is no folder no/such"),
        ({"--decisions": "."}, "--decisions: . is a folder, a file is needed"),
    ],
)
def test_what_is_wrong_is_named(
    trace_file: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], message: str
):
    given = {
        "--trace": str(trace_file),
        "--column": "rps",
        "--capacity-per-replica": "10",
        "--startup-seconds": "400",
        "--policy": "hpa",
    }
    arguments = [part for pair in (given | change).items() for part in pair]
    assert main(["simulate", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "steps in" not in told  # refused before anything was replayed


def test_forecasts_in_bulk_decide_what_live_ones_do(outcomes: dict[str, Outcome], four_days: Trace):
    forecaster = LiveForecaster(STEP, knowledge=default_knowledge()[0])
    live = Predictive(four_days, RULES, forecaster, fleet_policy(four_days, RULES, plain_workload()))
    run = replay(four_days, RULES, live)
    assert (run.replicas == outcomes["predictive"].run.replicas).all()
    assert run.reasons == outcomes["predictive"].run.reasons


@pytest.mark.parametrize(("settle_seconds", "history_steps"), [(10.0, 0), (10.0, 2 * DAY), (700.0, 1)])
def test_live_and_in_bulk_the_same_is_known_of_steps_that_have_not_settled(
    four_days: Trace, settle_seconds: float, history_steps: int
):
    rules = replace(RULES, settle_seconds=settle_seconds, history_steps=history_steps)
    forecaster = LiveForecaster(STEP, knowledge=default_knowledge()[0])
    live = Predictive(four_days, rules, forecaster, fleet_policy(four_days, rules, plain_workload()))
    run, bulk = replay(four_days, rules, live), ran(four_days, "predictive", rules=rules)["predictive"].run
    assert (run.replicas == bulk.replicas).all()
    assert run.reasons == bulk.reasons


def test_a_model_that_the_optimizer_asks_for_is_heard_in_bulk_as_it_is_live(four_days: Trace):
    asking = replace(plain_workload(), forecast=ForecastPolicy(model="AutoReg"))
    rules = replace(RULES, history_steps=2 * DAY)
    live, bulk = (
        Predictive(four_days, rules, forecaster, fleet_policy(four_days, rules, asking))
        for forecaster in (
            LiveForecaster(STEP),
            ReplayedForecaster(whole_history(four_days, asking.key), rules.taught_steps(STEP)),
        )
    )
    runs = [replay(four_days, rules, policy) for policy in (live, bulk)]
    assert (runs[0].replicas == runs[1].replicas).all()
    for policy in (live, bulk):
        assert policy.decision is not None
        assert policy.decision.forecast is not None
        assert policy.decision.forecast.asked == AskedModel("AutoReg", True)
    assert "AutoReg" in dict(live.decision.forecast.weights)  # type: ignore[union-attr]


def test_a_step_that_has_not_settled_is_the_demand_of_the_moment_and_no_history():
    trace = Trace("four", 0.0, STEP, np.array([1.0, 2.0, 3.0, 4.0]))
    sight = Sight(trace, replace(RULES, settle_seconds=10.0), KEY)
    shown = [sight.of(trace.demand[:step], World.at_rest(1, 0), step * STEP) for step in range(1, 5)]

    assert [value_or_none(each.demand) for each in shown] == [1.0, 2.0, 3.0, 4.0]
    histories = [each.demand_history for each in shown]
    assert histories[0] is None
    assert [(each.start_seconds, *each.values) for each in histories if each] == [(0.0, 1), (STEP, 2), (2 * STEP, 3)]


def test_a_workload_is_replayed_under_its_own_name(four_days: Trace):
    # When a forecaster refreshes depends on the name, and with it what the operator of that workload would have done.
    named = replace(plain_workload(), key=KEY)
    forecaster = LiveForecaster(STEP, knowledge=default_knowledge()[0])
    live = Predictive(four_days, RULES, forecaster, fleet_policy(four_days, RULES, named))
    run = replay(four_days, RULES, live)
    assert live.decision is not None
    assert live.decision.key == named.key
    bulk = simulate(four_days, RULES, ["predictive"], named, lambda _: None)["predictive"].run
    assert (run.replicas == bulk.replicas).all()
    assert run.reasons == bulk.reasons
