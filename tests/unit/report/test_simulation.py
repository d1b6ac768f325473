from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kcloud_autoscale.report.page import drawable
from kcloud_autoscale.report.simulation import Framing, write_report
from kcloud_autoscale.report.spare import spare_hours
from kcloud_autoscale.simulate.predictive import plain_workload
from kcloud_autoscale.simulate.run import Outcome, simulate
from kcloud_autoscale.simulate.score import Score
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.trail import Trail
from kcloud_autoscale.simulate.world import Run, WorldRules

RULES = WorldRules(10.0, 900.0, usd_per_replica_hour=6.88, watts_per_replica=700.0, grams_per_kwh=425.0)
NAMES = ("predictive", "hpa", "hpa-tuned", "oracle")


@pytest.fixture(scope="module")
def trace() -> Trace:
    at = np.arange(3 * 144)
    demand = 100.0 - 70.0 * np.cos(2.0 * np.pi * at / 144) + np.random.default_rng(1).normal(0.0, 4.0, len(at))
    demand[200:206] = np.nan
    return Trace("</script><b>.csv:rps", 1_767_225_600.0, 600.0, demand, "abc123", ("3 rows were sorted",))


@pytest.fixture(scope="module")
def outcomes(trace: Trace) -> dict[str, Outcome]:
    return simulate(trace, RULES, NAMES, plain_workload(), lambda _: None, remember=True)


@pytest.fixture(scope="module")
def page(trace: Trace, outcomes: dict[str, Outcome], tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, outcomes, trace, RULES, ["kcloud-autoscale", "simulate", "--trace", "x.csv"])
    return path.read_text(encoding="utf-8")


def _loaded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


@pytest.fixture(scope="module")
def data(page: str) -> dict[str, Any]:
    return _loaded(page)


def test_the_page_asks_nothing_of_the_network(page: str):
    addresses = set(re.findall(r"""https?://[^\s"'<>)]+""", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a namespace, never fetched
    assert not re.search(r"<link|@import|src=|\bfetch\(|XMLHttpRequest", page)


def test_a_name_with_markup_in_it_breaks_nothing(page: str, data: dict[str, Any]):
    assert page.count("</script>") == 2
    assert data["trace"] == "</script><b>.csv:rps"


def test_every_step_of_every_policy_is_there(data: dict[str, Any], trace: Trace):
    assert [policy["name"] for policy in data["policies"]] == list(NAMES)
    for policy in data["policies"]:
        assert len(policy["replicas"]) == len(policy["ready"]) == len(policy["reasons"]) == len(trace.demand)
    assert data["demand"][200] is None  # a gap is drawn as a gap
    assert len(data["policies"][0]["planned"]) == len(trace.demand)
    assert data["policies"][1]["planned"] is None


def test_the_numbers_are_those_of_the_run(data: dict[str, Any], outcomes: dict[str, Outcome]):
    ours = outcomes["predictive"].score
    cells = dict(zip(data["columns"], data["policies"][0]["cells"], strict=True))
    assert cells["violating steps"] == f"{ours.violation_fraction:.2%}"
    assert cells["USD"] == f"{ours.replica_hours * 6.88:,.2f}"
    assert cells["kgCO2e"] == f"{ours.replica_hours * 0.7 * 0.425:,.1f}"
    assert len(data["policies"][0]["violations"]) == ours.violations


def test_every_change_is_in_the_log_with_its_reasons(data: dict[str, Any], outcomes: dict[str, Outcome]):
    run = outcomes["predictive"].run
    changed = [row for row in data["log"] if row["before"] != row["after"]]
    assert len(changed) >= int((np.diff(run.replicas) != 0).sum())
    for row in changed:
        assert row["why"], row
        assert any(stage == "size" for stage, *_ in row["why"])
        assert row["after"] == run.replicas[row["step"]]


def test_what_is_needed_to_repeat_the_run_is_said(data: dict[str, Any]):
    for needed in (
        "kcloud-autoscale simulate --trace x.csv",
        "sha256 abc123",
        "3 rows were sorted",
        "startup_seconds=900",
    ):
        assert needed in data["parameters"]


@pytest.mark.parametrize(
    ("steps", "subtitle", "said"),
    [
        (432, "3.0 days in steps of 600 s", "432 steps, 3.0 days"),
        (20, "3.3 h in steps of 600 s", "20 steps, 3.3 h"),
        (1, "10 min in steps of 600 s", "1 step, 10 min"),
    ],
)
def test_how_long_it_was_is_said_in_a_unit_that_fits(
    trace: Trace, tmp_path: Path, steps: int, subtitle: str, said: str
):
    part = replace(trace, demand=trace.demand[:steps])
    outcomes = simulate(part, RULES, ["hpa"], plain_workload(), lambda _: None)
    write_report(tmp_path / "part.html", outcomes, part, RULES, ["x"])
    found = _loaded((tmp_path / "part.html").read_text())
    assert found["subtitle"].startswith(subtitle)
    assert said in found["parameters"]


def test_spare_replicas_by_hand():
    # 20 per second need 2; the median peak needs 3, the planned one 5, 6 are kept, and 7 run: 1 + 2 + 1 + 1 spare.
    # Then no forecast: 4 run where 2 are needed. Then an unknown step, which is not counted.
    run = Run(
        "x", 0, 3_600.0, np.array([20.0, 20.0, np.nan]), np.array([7, 4, 9]), np.array([7, 4, 9]), ["a", "b", "c"]
    )
    trail = Trail(
        10.0, [30.0, np.nan, np.nan], [50.0, np.nan, np.nan], [(2, 3, 5, 6), (2, -1, -1, -1), (-1, -1, -1, -1)]
    )
    found = spare_hours(Outcome(run, Score("x", 2, 0, 0.0, 19.0, 0.0), trail=trail), WorldRules(10.0, 0.0))
    assert {str(each["name"]): each["replica_hours"] for each in found} == {
        "rise ahead": 1.0,
        "uncertainty": 2.0,
        "kept": 1.0,
        "windows and limits": 1.0,
        "no forecast": 2.0,
    }


def test_spare_replicas_of_a_demand_that_no_integer_holds():
    # 1e308 per second need 1e307 replicas of 10 and more are planned; the 4 that run are all needed.
    run = Run("x", 0, 3_600.0, np.array([1e308]), np.array([4]), np.array([4]), ["a"])
    trail = Trail(10.0, [1e308], [1.5e308], [(10**307, 10**307, 15 * 10**306, -1)])
    assert spare_hours(Outcome(run, Score("x", 1, 1, 1.0, 4.0, 0.0), trail=trail), WorldRules(10.0, 0.0)) == []


def test_nothing_that_ran_is_compared_with_nothing(trace: Trace, tmp_path: Path):
    none = WorldRules(10.0, 900.0, min_replicas=0, max_replicas=0)
    outcomes = simulate(trace, none, NAMES, plain_workload(), lambda _: None, remember=True)
    write_report(tmp_path / "none.html", outcomes, trace, none, ["x"])
    found = _loaded((tmp_path / "none.html").read_text())
    assert found["facts"] == [["100.00%", "of steps violated by predictive"], ["100.00%", "violated by HPA at 70 %"]]
    assert found["columns"] == ["policy", "violating steps", "unserved", "replica-hours", "changes/h"]
    assert all(len(policy["cells"]) == 5 for policy in found["policies"])


def test_the_largest_number_there_is_can_be_drawn():
    # To five digits it is 1.7977e308, which is above it.
    assert drawable([1.7976931348623157e308, 1.5e308, float("nan")]) == [None, 1.5e308, None]


def test_spare_replicas_add_up(outcomes: dict[str, Outcome]):
    run = outcomes["predictive"].run
    known = np.isfinite(run.demand)
    needed = np.minimum(np.ceil(run.demand[known] / 10.0 - 1e-9), run.replicas[known])
    total = float((run.replicas[known] - needed).sum()) * 600.0 / 3_600.0
    assert sum(
        float(str(each["replica_hours"])) for each in spare_hours(outcomes["predictive"], RULES)
    ) == pytest.approx(total)
    assert spare_hours(outcomes["hpa"], RULES) == []


def test_a_page_is_framed_by_what_it_compares_with_and_what_must_be_known(
    trace: Trace, outcomes: dict[str, Outcome], tmp_path: Path
):
    """As `recommend` writes it: what ran stands in the place of HPA, its misses are not claimed, caveats are said."""
    ran = dataclasses.replace(outcomes["hpa"].score, policy="actual")
    known = {"predictive": outcomes["predictive"], "actual": dataclasses.replace(outcomes["hpa"], score=ran)}
    framing = Framing(("a bound from below",), "actual", frozenset({"actual"}))
    write_report(tmp_path / "x.html", known, trace, RULES, ["x"], framing)
    data = _loaded((tmp_path / "x.html").read_text(encoding="utf-8"))
    assert (data["beside"], data["notes"]) == ("actual", ["a bound from below"])
    actual = data["policies"][1]
    assert (actual["cells"][:3], actual["violations"]) == (["actual", "–", "–"], [])
    words = [text for _, text in data["facts"]]
    assert words == ["of steps violated by predictive", "replica-hours against what ran"]
    saved = known["predictive"].score.replica_hours / ran.replica_hours - 1.0
    assert data["facts"][1][0] == f"{saved:+.1%}"
    assert data["subtitle"].endswith("Times are UTC.")
