"""Runs as tables: the decisions as CSV, the comparison as text."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kcloud_autoscale.domain.policy import Caps, CapUnit, CostScope
from kcloud_autoscale.simulate.policies import hpa_beside
from kcloud_autoscale.simulate.run import Outcome
from kcloud_autoscale.simulate.scenario import HAIR
from kcloud_autoscale.simulate.scenario_run import ScenarioOutcome
from kcloud_autoscale.simulate.score import Score, violating
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import Run, WorldRules

COLUMNS = ("t", "demand", "replicas", "ready", "reason", "violates", "timestamp")
_HEAD = ("violating", "unserved", "replica-h", "changes/h")


def _kilo(value: float | None) -> float | None:
    return None if value is None else value / 1_000.0


_QUANTITIES: Mapping[str, tuple[Callable[[Score], float | None], str]] = {
    "USD": (lambda score: score.usd, "{:,.2f}"),
    "kWh": (lambda score: _kilo(score.watt_hours), "{:,.1f}"),
    "kgCO2e": (lambda score: _kilo(score.grams_co2e), "{:,.1f}"),
}
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


def comparison(
    outcomes: Mapping[str, Outcome],
    quantities: Sequence[str] | None = None,
    unclaimed: Collection[str] = (),
) -> str:
    """A table of all policies; where HPA ran, the last columns are replica-hours over its, and what was saved of them.

    Saved is what the operator's ledger would count: nothing while less is served than HPA would have.

    Args:
        outcomes: By name.
        quantities: Those of ``USD``, ``kWh`` and ``kgCO2e`` with a column; unless given, those that any policy knows.
        unclaimed: Policies whose misses nobody knows.
    """
    scores = {name: outcome.score for name, outcome in outcomes.items()}
    lines = _compared(scores, _known(list(scores.values())) if quantities is None else quantities, unclaimed)
    lines += [f"{name}: {outcome.note}" for name, outcome in outcomes.items() if outcome.note]
    return "\n".join(lines)


def savings_text(outcomes: Mapping[str, Outcome]) -> str:
    """What ours took beside HPA with what both missed, and beside the HPA tuned to miss no more: at equal misses.

    The cheapest way to spend less is to serve less: 22 % less money at 0.45 % instead of 0.00 % of steps short is no
    saving before the same target of misses is asked of the HPA too.
    """
    ours, sentences = outcomes["predictive"].score, []
    short = f"{ours.violation_fraction:.2%} of steps short of replicas"
    hpa, tuned = outcomes.get("hpa"), outcomes.get("hpa-tuned")
    if hpa is not None:
        missed = f"with {short} instead of {hpa.score.violation_fraction:.2%}"
        alike = (
            "" if ours.saved_fraction is None else f"; {ours.saved_fraction:.0%} were saved while as much was served"
        )
        sentences.append(f"Beside HPA at 70 % {_difference(ours, hpa.score)}, {missed}{alike}.")
    if tuned is not None and tuned.score.violations <= ours.violations:
        missed = f"with {short} beside its {tuned.score.violation_fraction:.2%}"
        sentences.append(
            f"At equal misses, beside an HPA tuned with hindsight, {_difference(ours, tuned.score)}, {missed}."
        )
    elif tuned is not None:
        sentences.append(f"No HPA target from 5 % up misses as few steps: none is as good as {short}.")
    return "\n".join(sentences)


def _difference(ours: Score, theirs: Score) -> str:
    less = theirs.replica_hours - ours.replica_hours
    parts = [f"{abs(less):,.0f} replica-hours"]
    if ours.usd is not None and theirs.usd is not None:
        parts.append(f"{abs(theirs.usd - ours.usd):,.0f} USD")
    if ours.watt_hours is not None and theirs.watt_hours is not None:
        parts.append(f"{abs(theirs.watt_hours - ours.watt_hours) / 1e3:,.0f} kWh")
    share = f" ({abs(less) / theirs.replica_hours:.0%})" if theirs.replica_hours else ""
    return f"{', '.join(parts)} {'less' if less >= 0.0 else 'more'}{share}"


def scenario_table(outcome: ScenarioOutcome) -> str:
    """A line per workload, then one per shared limit: the most that ran at any instant, transit included."""
    quantities = _known(outcome.scores)
    lines = _aligned([["workload", *_HEAD, *quantities], *(_cells(each, quantities, None) for each in outcome.scores)])
    for cap, peak in zip(outcome.scenario.shared_caps, outcome.peaks, strict=True):
        verdict = "held" if peak <= cap.limit * HAIR else "CROSSED"
        lines.append(f"{cap.name}: at most {peak:,.2f} of {cap.limit:,.2f} {_UNITS[cap.unit]}, {verdict}")
    for name, limit, spent in outcome.budgets:
        verdict = "held" if spent <= limit * HAIR else "CROSSED"
        lines.append(f"{name}: {spent:,.2f} of {limit:,.2f} $ spent, {verdict}")
    if outcome.note:
        lines.append(outcome.note)
    return "\n".join(lines)


def scenario_comparison(outcomes: Mapping[str, ScenarioOutcome]) -> str:
    """All workloads together by policy, then the table of each policy; of a single policy its table alone."""
    if len(outcomes) == 1:
        return scenario_table(next(iter(outcomes.values())))
    totals = {name: replace(outcome.total, policy=name) for name, outcome in outcomes.items()}
    blocks = ["\n".join(_compared(totals, _known(list(totals.values()))))]
    for name, outcome in outcomes.items():
        blocks.append("\n".join([f"{name}:", *(f"  {line}" for line in scenario_table(outcome).splitlines())]))
    return "\n\n".join(blocks)


def limits_text(caps: Caps, scopes: Sequence[CostScope]) -> str:
    """What holds for every policy of a table; empty where nothing does."""
    parts = []
    if caps.max_usd_per_hour is not None:
        parts.append(f"maxCostPerHour {caps.max_usd_per_hour:,.2f} $/h")
    if caps.max_watts is not None:
        parts.append(f"maxPowerUsage {caps.max_watts:,.0f} W")
    if caps.budget_usd is not None:
        parts.append(f"budgetLimit {caps.budget_usd:,.2f} $ ({caps.budget_period.value})")
    for scope in scopes:
        for name, limit in (("budgetLimit", scope.budget_usd), ("monthlyBudget", scope.monthly_usd)):
            parts += [] if limit is None else [f"{scope.name}/{name} {limit:,.2f} $"]
    return f"Every policy is held to {', '.join(parts)}." if parts else ""


def _compared(scores: Mapping[str, Score], quantities: Sequence[str], unclaimed: Collection[str] = ()) -> list[str]:
    hours = {name: scores[hpa_beside(name)].replica_hours for name in scores if hpa_beside(name) in scores}
    beside = any(hours.values())
    rows = [["policy", *_HEAD, *quantities, *(["of HPA", "saved"] if beside else [])]]
    for name, score in scores.items():
        cells = _cells(score, quantities, hours.get(name), score.policy not in unclaimed)
        rows.append(cells + ["-"] * (len(rows[0]) - len(cells)))
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [_line(row, widths) for row in rows]


def _known(scores: Sequence[Score]) -> list[str]:
    """Of money, energy and carbon what any of the scores knows."""
    return [name for name, (of, _) in _QUANTITIES.items() if any(of(each) is not None for each in scores)]


def _cells(score: Score, quantities: Sequence[str], hpa_hours: float | None, claimed: bool = True) -> list[str]:
    cells = [
        score.policy,
        f"{score.violation_fraction:.2%}" if claimed else "-",
        f"{score.unserved_fraction:.3%}" if claimed and score.unserved_fraction is not None else "-",
        f"{score.replica_hours:,.1f}",
        f"{score.changes_per_hour:.2f}",
    ]
    for name in quantities:
        of, form = _QUANTITIES[name]
        value = of(score)
        cells.append("-" if value is None else form.format(value))
    if hpa_hours:
        cells.append(f"{score.replica_hours / hpa_hours:.3f}")
        cells.append("-" if score.saved_fraction is None or not claimed else f"{score.saved_fraction:.1%}")
    return cells


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    return "  ".join((first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)))
