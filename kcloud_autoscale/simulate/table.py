"""Runs as tables: the decisions as CSV, the comparison as text."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from kcloud_autoscale.domain.policy import CapUnit
from kcloud_autoscale.simulate.run import Outcome
from kcloud_autoscale.simulate.scenario import HAIR, Scenario, ScenarioOutcome
from kcloud_autoscale.simulate.score import Score, violating
from kcloud_autoscale.simulate.traces import Trace
from kcloud_autoscale.simulate.world import Run, WorldRules

COLUMNS = ("t", "demand", "replicas", "ready", "reason", "violates", "timestamp")
_UNITS = {CapUnit.USD_PER_HOUR: "USD/h", CapUnit.WATTS: "W"}


def write_decisions(path: Path, run: Run, trace: Trace, rules: WorldRules) -> None:
    """One row per scored step; demand is empty where it is unknown, replicas is what was asked for and is paid for."""
    late = violating(run, rules)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for index, demand in enumerate(run.demand):
            step = run.first_step + index
            at = datetime.fromtimestamp(trace.start_seconds + step * trace.step_seconds, UTC)
            writer.writerow(
                (
                    step,
                    "" if math.isnan(demand) else repr(float(demand)),
                    int(run.replicas[index]),
                    int(run.ready[index]),
                    run.reasons[index],
                    int(late[index]),
                    at.isoformat().replace("+00:00", "Z"),
                )
            )


def comparison(outcomes: dict[str, Outcome]) -> str:
    """A table of all policies; the last column is replica-hours over those of HPA, where HPA ran."""
    hpa = outcomes["hpa"].score.replica_hours if "hpa" in outcomes else None
    priced = any(outcome.score.usd is not None for outcome in outcomes.values())
    metered = any(outcome.score.watt_hours is not None for outcome in outcomes.values())
    head = ["policy", "violating", "unserved", "replica-h", "changes/h"]
    head += (["USD"] if priced else []) + (["kWh"] if metered else []) + (["of HPA"] if hpa else [])
    lines = _aligned([head, *(_cells(o.score, priced, metered, hpa) for o in outcomes.values())])
    lines += [f"{name}: {outcome.note}" for name, outcome in outcomes.items() if outcome.note]
    return "\n".join(lines)


def scenario_table(scenario: Scenario, outcome: ScenarioOutcome) -> str:
    """A line per workload, then one per shared limit: the most that ran at any instant, transit included."""
    priced = any(scored.usd is not None for scored in outcome.scores)
    metered = any(scored.watt_hours is not None for scored in outcome.scores)
    head = ["workload", "violating", "unserved", "replica-h", "changes/h"]
    head += (["USD"] if priced else []) + (["kWh"] if metered else [])
    lines = _aligned([head, *(_cells(scored, priced, metered, None) for scored in outcome.scores)])
    for cap, peak in zip(scenario.shared_caps, outcome.peaks, strict=True):
        verdict = "held" if peak <= cap.limit * HAIR else "CROSSED"
        lines.append(f"{cap.name}: at most {peak:,.2f} of {cap.limit:,.2f} {_UNITS[cap.unit]}, {verdict}")
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [_line(row, widths) for row in rows]


def _cells(score: Score, priced: bool, metered: bool, hpa_hours: float | None) -> list[str]:
    cells = [
        score.policy,
        f"{score.violation_fraction:.2%}",
        f"{score.unserved_fraction:.3%}",
        f"{score.replica_hours:,.1f}",
        f"{score.changes_per_hour:.2f}",
    ]
    if priced:
        cells.append("-" if score.usd is None else f"{score.usd:,.2f}")
    if metered:
        cells.append("-" if score.watt_hours is None else f"{score.watt_hours / 1_000.0:,.1f}")
    if hpa_hours:
        cells.append(f"{score.replica_hours / hpa_hours:.3f}")
    return cells


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)))
