"""The notebooks as a reader runs them: executed in a kernel of their own, then asked what they computed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from hack.cluster import Prometheus
from hack.load.demand import DemandShape
from tests.integration.series import Series, write_blocks

pytestmark = pytest.mark.integration

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
STEP_SECONDS = 300
SCRAPE_SECONDS = 60
DAYS = 3
# Seconds on an idle machine; a busy one is slow, not wrong.
CELL_SECONDS = 400
# What a developer's shell may have set must not reach the notebooks.
PARAMETERS = (
    *("PROMETHEUS_URL", "QUERY", "TRACE", "SAVE_TO", "DAYS", "STEP_SECONDS", "LEAD_SECONDS", "SERIES", "MODELS"),
    *("CAPACITY_PER_REPLICA", "STARTUP_SECONDS", "USD_PER_REPLICA_HOUR", "WATTS_PER_REPLICA"),
)


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run one with some parameters; returns what a last expression evaluates to, and how many plots were drawn."""

    def run(name: str, asked: str, **parameters: str) -> tuple[Any, int]:
        for variable in PARAMETERS:
            monkeypatch.delenv(variable, raising=False)
        for variable, value in {**parameters, "OMP_NUM_THREADS": "1"}.items():
            monkeypatch.setenv(variable, value)
        for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
        (path,) = NOTEBOOKS.glob(f"{name}-*.ipynb")
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.append(new_code_cell(f"import json\nprint(json.dumps({asked}))"))
        NotebookClient(
            notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
        ).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        plots = sum("image/png" in output.get("data", {}) for output in outputs)
        return json.loads(notebook.cells[-1].outputs[0].text), plots

    return run


def test_explore_reads_a_real_prometheus_and_hands_its_history_on(
    execute: Callable[..., Any], prometheus: Callable[[], Prometheus], tmp_path: Path
) -> None:
    now = int(time.time()) // STEP_SECONDS * STEP_SECONDS
    start = now - DAYS * 86_400
    gap = range(start + 86_400, start + 86_400 + 7_200)
    rates = DemandShape(level_per_second=40.0).sample(np.arange(start, now + 1.0, SCRAPE_SECONDS))
    total = np.concatenate([[0.0], np.cumsum(rates[1:]) * SCRAPE_SECONDS])
    counter = Series("requests_total", {"service": "llm"}, lambda at: float(total[at // SCRAPE_SECONDS]))
    scrapes = [at for at in range(0, now - start + 1, SCRAPE_SECONDS) if start + at not in gap]
    server = prometheus()
    server.start(data_dir=write_blocks([counter], start, now - start, tmp_path, scrapes))
    saved = tmp_path / "history.csv"
    told, plots = execute(
        "01",
        '{"start": trace.start_seconds, "demand": history.fillna(-1).tolist(), "missing": missing_fraction,'
        ' "unlike": unlike.to_dict()}',
        PROMETHEUS_URL=server.url,
        QUERY='sum(rate(requests_total{service="llm"}[5m]))',
        DAYS=str(DAYS),
        STEP_SECONDS=str(STEP_SECONDS),
        SAVE_TO=str(saved),
    )
    assert plots == 3
    assert list(told["unlike"]) == ["one lead time", "a day"]  # three days know no week ago
    assert all(0.0 < each < 1.0 for each in told["unlike"].values())
    # Two hours without scrapes are 24 steps of 864. A rate over five minutes looks back one step, so those beside the
    # gap are unknown as well, and one more at each end of what Prometheus has may hold too few samples.
    assert 24 <= round(864 * told["missing"]) <= 28
    demand = np.array(told["demand"])
    shift = round((told["start"] - start) / STEP_SECONDS)  # the next step may have begun since
    meant = rates[1:].reshape(-1, STEP_SECONDS // SCRAPE_SECONDS).mean(axis=1)[shift:]
    read = demand[: len(meant)]
    assert np.median(np.abs(read / meant - 1.0)[read >= 0]) < 0.03

    # What it saved is what the next notebook replays.
    steps, _ = execute("03", "len(trace.demand)", TRACE=str(saved), STEP_SECONDS=str(STEP_SECONDS))
    assert steps == len(demand)


def test_compare_scores_every_model_on_every_series(execute: Callable[..., Any]) -> None:
    told, plots = execute(
        "02",
        '{"scores": scores.to_dict("index"), "cold": {name: each.pinball_ratio for name, each in cold.items()}}',
        MODELS="online-ensemble,last-value,ewma",
    )
    assert plots == 3
    scores = told["scores"]
    assert set(scores) == {"online-ensemble", "last-value", "ewma"}
    assert {each["series"] for each in scores.values()} == {4}
    assert scores["last-value"]["pinball_ratio"] == pytest.approx(1.0)  # its own base
    assert scores["online-ensemble"]["pinball_ratio"] < 0.9
    assert all(0.9 < each["coverage"] < 1.0 for each in scores.values())
    assert 0.0 < told["cold"]["trained"] < 0.6
    assert told["cold"]["trained"] != told["cold"]["by hand"]


def test_calibrate_meets_its_levels(execute: Callable[..., Any]) -> None:
    told, plots = execute("03", '{"coverage": {n: c.tolist() for n, c in coverage.items()}, "days": len(daily)}')
    assert plots == 3
    assert told["days"] == 7  # the second half of 14
    operator = told["coverage"]["operator: rolling, mixed, re-read"]
    assert operator == sorted(operator)
    assert operator[3] == pytest.approx(0.95, abs=0.03)
    assert operator[-1] > 0.98


def test_money_follows_from_replicas(execute: Callable[..., Any]) -> None:
    told, plots = execute(
        "04",
        '{"hours": {n: o.score.replica_hours for n, o in outcomes.items()}, "said": savings_text(outcomes),'
        ' "late": {n: o.score.violation_fraction for n, o in outcomes.items()}}',
        USD_PER_REPLICA_HOUR="2.5",
    )
    assert plots == 3
    hours = told["hours"]
    assert set(hours) == {"predictive", "hpa", "hpa-tuned", "static", "oracle"}
    assert hours["oracle"] < hours["predictive"] < hours["hpa"] < hours["static"]
    usd = 2.5 * (hours["hpa"] - hours["predictive"])
    both = f"with {told['late']['predictive']:.2%} of steps short of replicas instead of {told['late']['hpa']:.2%}"
    beside, at_equal_misses = told["said"].splitlines()
    assert f"{usd:,.0f} USD" in beside
    assert both in beside
    # Most of what looks like a saving beside HPA at 70 % is one of hindsight: the same misses cost the tuned one less.
    assert at_equal_misses.startswith("At equal misses")
    assert told["late"]["hpa-tuned"] <= told["late"]["predictive"]
    assert told["late"]["predictive"] < 0.02
