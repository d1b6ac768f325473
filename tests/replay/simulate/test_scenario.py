from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_autoscale.cli.main import main
from kcloud_autoscale.cli.scenario_file import read_scenario
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import CapUnit, CostScope, SharedCap, WorkloadPolicy
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.simulate.policies import POLICIES
from kcloud_autoscale.simulate.predictive import plain_workload
from kcloud_autoscale.simulate.run import simulate
from kcloud_autoscale.simulate.scenario import Member, Scenario
from kcloud_autoscale.simulate.scenario_run import ScenarioOutcome, replay_scenario
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import WorldRules

STEP = 600.0


def member(
    name: str, demand: np.ndarray, usd: float, watts: float, priority: int = 50, startup: float = 700.0
) -> Member:
    key = WorkloadKey("default", name)
    rules = WorldRules(10.0, startup, 1, 1_000, usd, watts)
    return Member(key, Trace(name, 0.0, STEP, demand), rules, WorkloadPolicy(key, priority=priority))


def shared(unit: CapUnit, limit: float, *members: Member) -> SharedCap:
    return SharedCap(f"shared/{unit.value}", unit, limit, frozenset(one.key for one in members))


def wave(steps: int, phase: float = 0.0) -> np.ndarray:
    return 100.0 - 70.0 * np.cos(2.0 * np.pi * np.arange(steps) / 144.0 + phase)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Up to four workloads of wild demand with gaps, under limits from just above the floors to generous."""
    steps = draw(st.integers(5, 40))
    members = []
    for index in range(draw(st.integers(1, 4))):
        seed = draw(st.integers(0, 10_000))
        rng = np.random.default_rng(seed)
        demand = rng.exponential(80.0, steps) * (1.0 + 5.0 * (rng.random(steps) < 0.1))
        demand[1:][rng.random(steps - 1) < 0.1] = np.nan
        usd, watts = draw(st.sampled_from((0.7, 1.3, 6.88))), draw(st.sampled_from((70.0, 333.3, 700.0)))
        startup = draw(st.sampled_from((0.0, 700.0, 3_000.0)))
        members.append(member(f"w{index}", demand, usd, watts, draw(st.integers(0, 100)), startup))
    room = st.floats(1.0, 20.0)
    usd_floor = sum(one.rules.usd_per_replica_hour or 0.0 for one in members)
    watts_floor = sum(one.rules.watts_per_replica or 0.0 for one in members)
    caps = (
        shared(CapUnit.USD_PER_HOUR, usd_floor * draw(room), *members),
        shared(CapUnit.WATTS, watts_floor * draw(room), *members),
    )
    return Scenario(tuple(members), caps)


def operated(scenario: Scenario) -> ScenarioOutcome:
    return replay_scenario(scenario)["predictive"]


@settings(max_examples=25, deadline=None)
@given(scenarios(), st.sampled_from([name for name in POLICIES if name not in ("predictive", "hpa-tuned")]))
def test_no_other_policy_crosses_a_shared_limit_either(scenario: Scenario, name: str):
    outcome = replay_scenario(scenario, [name])[name]
    for cap, peak in zip(scenario.shared_caps, outcome.peaks, strict=True):
        assert peak <= cap.limit * (1.0 + 1e-9)
    for run, one in zip(outcome.runs, scenario.members, strict=True):
        assert run.replicas.min() >= one.rules.min_replicas
        assert run.replicas.max() <= one.rules.max_replicas


def test_the_limits_are_shared_among_rivals_as_among_ours():
    # 12 $/h for two static peaks of 17 replicas at 1 $/h: floors first, then all that is left to the higher priority.
    high, low = member("high", wave(144), 1.0, 100.0, 90), member("low", wave(144), 1.0, 100.0, 10)
    tight = Scenario((high, low), (shared(CapUnit.USD_PER_HOUR, 12.0, high, low),))
    static = replay_scenario(tight, ["static"])["static"]
    assert [set(run.replicas.tolist()) for run in static.runs] == [{11}, {1}]
    assert set(static.runs[0].reasons) == {"SharedCap"}
    equal = Scenario(tuple(replace(each, workload=replace(each.workload, priority=50)) for each in (high, low)))
    shared_alike = replace(equal, shared_caps=(shared(CapUnit.USD_PER_HOUR, 12.0, *equal.members),))
    static = replay_scenario(shared_alike, ["static"])["static"]
    assert [set(run.replicas.tolist()) for run in static.runs] == [{6}, {6}]


def test_a_budget_that_is_shared_holds_for_every_policy():
    one, two = member("one", wave(288), 1.0, 100.0), member("two", wave(288, 2.0), 1.0, 100.0)
    scope = CostScope("team", frozenset((one.key, two.key)), budget_usd=200.0)
    outcomes = replay_scenario(Scenario((one, two), (), (scope,)), ["predictive", "hpa", "keda", "static"])
    for name, outcome in outcomes.items():
        ((_, limit, spent),) = outcome.budgets
        floors = 2.0 * 48.0  # a spent budget pays the floors on
        assert spent <= limit + floors, name
        beyond = sum((run.replicas[run.replicas > 1]).sum() * STEP / 3600.0 for run in outcome.runs)
        assert beyond <= limit + 1e-6, name


def test_the_tuned_hpa_of_a_scenario_is_one_target_for_all():
    one, two = member("one", wave(288), 1.0, 100.0), member("two", wave(288, 1.0), 1.0, 100.0)
    scenario = Scenario((one, two), (shared(CapUnit.USD_PER_HOUR, 30.0, one, two),))
    found = replay_scenario(scenario, ["predictive", "hpa", "hpa-tuned"])
    assert found["hpa-tuned"].note.startswith("target ")
    assert found["hpa-tuned"].total.violation_fraction <= found["predictive"].total.violation_fraction
    assert found["hpa-tuned"].total.replica_hours <= found["hpa"].total.replica_hours


@settings(max_examples=25, deadline=None)
@given(scenarios())
def test_no_shared_limit_is_ever_crossed_transit_included(scenario: Scenario):
    outcome = operated(scenario)
    for cap, peak in zip(scenario.shared_caps, outcome.peaks, strict=True):
        assert peak <= cap.limit * (1.0 + 1e-9)
        # Counted again from the runs alone; what ran at the end of a step is at most what ran within it.
        each = [one.each(cap.unit) or 0.0 for one in scenario.members]
        total = sum(run.replicas * price for run, price in zip(outcome.runs, each, strict=True))
        assert total.max() <= peak * (1.0 + 1e-9)


def test_a_limit_that_binds_changes_what_runs_and_the_lower_priority_gives_way():
    high, low = member("high", wave(288), 1.0, 100.0, 90), member("low", wave(288), 1.0, 100.0, 10)
    free = operated(Scenario((high, low), (shared(CapUnit.USD_PER_HOUR, 1_000.0, high, low),)))
    tight = operated(Scenario((high, low), (shared(CapUnit.USD_PER_HOUR, 24.0, high, low),)))
    # Each peaks at 170 / 10 = 17 replicas of 1 USD/h, so 34 in all without the limit.
    assert free.peaks[0] >= 34.0
    assert 20.0 < tight.peaks[0] <= 24.0
    assert tight.scores[0].violations < tight.scores[1].violations


def test_one_workload_without_limits_decides_as_it_does_alone():
    # A workload's name decides when its forecast refreshes, so it is that of the single simulation.
    alone = replace(member("workload", wave(288), 1.0, 100.0), key=plain_workload().key)
    together = operated(Scenario((alone,))).runs[0]
    single = simulate(alone.trace, alone.rules, ["predictive"], plain_workload(), lambda _: None)["predictive"].run
    assert together.replicas.tolist() == single.replicas.tolist()
    assert list(together.reasons) == list(single.reasons)


def test_floors_that_alone_break_a_limit_are_refused():
    one, two = member("one", wave(10), 3.0, 100.0), member("two", wave(10), 3.0, 100.0)
    with pytest.raises(ConfigError, match="is 5, the floors alone take 6"):
        replay_scenario(Scenario((one, two), (shared(CapUnit.USD_PER_HOUR, 5.0, one, two),)))


def test_traces_on_different_grids_are_refused():
    with pytest.raises(ConfigError, match="default/two: 11 steps of 600 s from 1970-01-01T00:00:00"):
        replay_scenario(Scenario((member("one", wave(10), 1.0, 1.0), member("two", wave(11), 1.0, 1.0))))


def written(folder: Path, **changes: object) -> Path:
    """Two workloads under a limit of 20 USD/h; `changes` are fields of the file, `chat` ones of the first workload."""
    for name, phase in (("chat", 0.0), ("search", 2.0)):
        rows = "".join(f"{at},{value}\n" for at, value in enumerate(wave(60, phase)))
        (folder / f"{name}.csv").write_text(f"t,rps\n{rows}")
    common = {"column": "rps", "capacityPerReplica": 10, "startupSeconds": 700, "usdPerReplicaHour": 1.0}
    chat = {"name": "chat", "trace": "chat.csv", **common, **dict(changes.pop("chat", {}))}  # type: ignore[call-overload]
    search = {"name": "shop/search", "trace": "search.csv", **common}
    content = {"stepSeconds": 600, "shared": {"costPerHourLimit": 20}, "workloads": [chat, search], **changes}
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_command_writes_one_file_per_workload_and_says_how_limits_were_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = written(tmp_path)
    assert main(["simulate", "--scenario", str(path), "--decisions", str(tmp_path / "out.csv"), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "shared/costPerHourLimit: at most" in out
    assert "of 20.00 USD/h, held" in out
    for name in ("out.default.chat.csv", "out.shop.search.csv"):
        assert len(list(csv.DictReader((tmp_path / name).open()))) == 60


def test_rivals_and_lines_without_caps_stand_beside_where_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--policy", "predictive,hpa", "--without-caps", "--decisions", str(tmp_path / "out.csv"), "--quiet"]
    assert main(["simulate", "--scenario", str(written(tmp_path)), *words]) == 0
    out = capsys.readouterr().out
    names = ["predictive", "hpa", "predictive-without-caps", "hpa-without-caps"]
    assert [line.split()[0] for line in out.splitlines()[1:5]] == names
    blocks = {block.splitlines()[0].rstrip(":"): block for block in out.split("\n\n")[1:]}
    for name in names:
        assert ("shared/costPerHourLimit: at most" in blocks[name]) is not name.endswith("without-caps")
    assert "CROSSED" not in out
    assert "hard limits left less than was wanted" in blocks["hpa"]
    assert "hard limits" not in blocks["hpa-without-caps"]
    for stem in ("out", *(f"out.{name}" for name in names[1:])):
        assert len(list(csv.DictReader((tmp_path / f"{stem}.shop.search.csv").open()))) == 60
    free = written(tmp_path, shared={})
    assert main(["simulate", "--scenario", str(free), "--without-caps"]) == 2
    assert "--without-caps needs caps or budgets to leave out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chat": {"capacityPerReplica": 0}}, "workloads[0].capacityPerReplica: Input should be greater than 0, not 0"),
        ({"chat": {"capacityPerReplica": None}}, "workloads[0].capacityPerReplica is needed"),
        ({"chat": {"trace": "none.csv"}}, "workloads[0].trace: "),
        ({"chat": {"column": "qps"}}, "workloads[0].trace: "),
        ({"chat": {"minReplicas": 5, "maxReplicas": 2}}, "workloads[0].minReplicas is 5, maxReplicas 2"),
        ({"chat": {"maxPowerUsage": 100}}, "workloads[0].wattsPerReplica is needed for its power cap"),
        ({"chat": {"replicas": 3}}, "workloads[0].replicas: "),
        ({"chat": {"name": "shop/search"}}, "workloads: a name is given twice"),
        ({"workloads": []}, "workloads: "),
        ({"shared": {"maxPowerUsage": -1}}, "shared.maxPowerUsage: "),
        ({"objects": [{"kind": "CostPolicy"}]}, "objects: "),
        ({"chat": {"name": "a/b/c"}}, "workloads[0].name: "),
    ],
)
def test_what_is_wrong_is_named_by_file_and_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], said: str
):
    path = written(tmp_path, **changes)
    assert main(["simulate", "--scenario", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"{path}: {said}" in error
    assert len(error.splitlines()) == 1


def test_flags_of_one_workload_are_refused_with_a_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = (
        ("--max-replicas", "3", "whose file says it"),
        ("--min-replicas", "0", "whose file says it"),
        ("--settle-seconds", "0", "whose file says it"),
        ("--days", "3", "which replays files, and writes no report"),
        ("--report", str(tmp_path / "x.html"), "writes no report"),
        ("--budget-limit", "9", "whose objects may be a WorkloadOptimizer or a CostPolicy"),
    )
    for option, value, why in given:
        assert main(["simulate", "--scenario", str(written(tmp_path)), option, value]) == 2
        told = capsys.readouterr().err
        assert f"{option} cannot be used with --scenario" in told
        assert why in told


API = "kcloud.io/v1alpha1"
COST = {"apiVersion": API, "kind": "CostPolicy", "metadata": {"name": "team"}, "spec": {"costPerHourLimit": 12}}
OPTIMIZER = {
    "apiVersion": API,
    "kind": "WorkloadOptimizer",
    "metadata": {"name": "chat"},
    "spec": {
        "autoScaling": {
            "maxReplicas": 50,
            "metrics": [{"type": "latency", "threshold": 500}],
            "demand": {"preset": "vllm"},
        }
    },
}


def test_policies_in_the_file_bring_their_limits(tmp_path: Path):
    optimizer = OPTIMIZER | {"metadata": {"name": "chat", "namespace": "default"}}
    scenario, _ = read_scenario(written(tmp_path, objects=[optimizer, COST]))
    own, teams = scenario.shared_caps
    assert (own.name, own.limit) == ("shared/costPerHourLimit", 20.0)
    assert (teams.name, teams.limit, len(teams.members)) == ("team/costPerHourLimit", 12.0, 1)


def test_a_budget_of_a_policy_is_shared_and_never_crossed_while_more_than_the_floors_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Both need 13 replicas at 1 USD/h: 10 h of them are 260 USD, and 100 are there."""
    named = [OPTIMIZER | {"metadata": {"name": name, "namespace": namespace}}
             for namespace, name in (("default", "chat"), ("shop", "search"))]  # fmt: skip
    team = COST | {"spec": {"budgetLimit": 100, "alertThresholds": [{"type": "budget_usage", "value": 80}]}}
    path = written(tmp_path, objects=[*named, team], shared={})
    assert main(["simulate", "--scenario", str(path), "--decisions", str(tmp_path / "out.csv")]) == 0
    told = capsys.readouterr()
    assert f"{path}: CostPolicy team: this version does not act on spec.alertThresholds" in told.err
    rows = [
        np.array([int(row["replicas"]) for row in csv.DictReader((tmp_path / name).open())])
        for name in ("out.default.chat.csv", "out.shop.search.csv")
    ]
    both = rows[0] + rows[1]
    spent = np.cumsum(both) * STEP / 3_600.0
    assert spent[both > 2].max() <= 100.0 + 1e-6
    assert spent[both > 2].max() > 99.0
    # The floors go on after the last cent, and the verdict says so.
    assert f"team/budgetLimit: {spent[-1]:,.2f} of 100.00 $ spent, CROSSED" in told.out


def test_a_policy_that_covers_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = written(tmp_path, objects=[COST])
    assert main(["simulate", "--scenario", str(path)]) == 0
    assert "CostPolicy team covers no WorkloadOptimizer of this file, and limits nothing" in capsys.readouterr().err


def test_an_optimizer_obeys_the_budget_beside_it(tmp_path: Path):
    path = tmp_path / "optimizer.yaml"
    path.write_text(yaml.safe_dump_all([OPTIMIZER, COST | {"spec": {"monthlyBudget": 500}}]))
    written(tmp_path)
    out = tmp_path / "out.csv"
    world = ["--trace", str(tmp_path / "chat.csv"), "--column", "rps", "--capacity-per-replica", "10"]
    world += ["--startup-seconds", "60", "--step-seconds", "600", "--optimizer", str(path), "--policy", "predictive"]
    assert main(["simulate", *world, "--usd-per-replica-hour", "20", "--decisions", str(out), "--quiet"]) == 0
    # Twice the even pace of 500 USD over the 31 days of January 1970, at 20 USD/h each, is less than one replica.
    assert {int(row["replicas"]) for row in csv.DictReader(out.open())} == {1}


def test_an_optimizer_obeys_the_policies_beside_it(tmp_path: Path):
    path = tmp_path / "optimizer.yaml"
    path.write_text(yaml.safe_dump_all([OPTIMIZER, COST]))
    written(tmp_path)
    most = []
    for price in ("0.01", "2.0"):
        out = tmp_path / "out.csv"
        world = ["--trace", str(tmp_path / "chat.csv"), "--column", "rps", "--capacity-per-replica", "10"]
        world += ["--startup-seconds", "60", "--step-seconds", "600", "--max-replicas", "50"]
        world += ["--optimizer", str(path), "--usd-per-replica-hour", price, "--decisions", str(out)]
        assert main(["simulate", *world, "--policy", "predictive", "--quiet"]) == 0
        most.append(max(int(row["replicas"]) for row in csv.DictReader(out.open())))
    # At 2 USD/h a limit of 12 leaves room for 6, at a cent for all that the load needs, 14 and more within 60 steps.
    assert most[0] >= 14
    assert most[1] == 6
