"""A simulation as one self-contained HTML file: opens from disk, asks nothing of the network."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from kcloud_autoscale.report.page import drawable, write_page
from kcloud_autoscale.report.phrases import amount, duration, share
from kcloud_autoscale.report.spare import spare_hours
from kcloud_autoscale.simulate.policies import hpa_beside
from kcloud_autoscale.simulate.run import Outcome
from kcloud_autoscale.simulate.score import Score, violating
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import WorldRules

_HPA = "hpa"
_IN_WORDS = {_HPA: "HPA at 70 %", "actual": "what ran"}


@dataclass(frozen=True, slots=True)
class Framing:
    """What a report says around its numbers.

    Attributes:
        notes: What a reader must know to weigh them, a sentence each.
        beside: The policy that the first is compared with.
        unclaimed: Policies whose misses nobody knows.
    """

    notes: tuple[str, ...] = ()
    beside: str = _HPA
    unclaimed: frozenset[str] = frozenset()


PLAIN = Framing()


def write_report(
    path: Path,
    outcomes: dict[str, Outcome],
    trace: Trace,
    rules: WorldRules,
    command: Sequence[str],
    framing: Framing = PLAIN,
) -> None:
    """Write the report; the first policy is the one it tells about, the others stand beside it."""
    write_page(path, "simulation", _data(outcomes, trace, rules, command, framing))


def _data(
    outcomes: dict[str, Outcome], trace: Trace, rules: WorldRules, command: Sequence[str], framing: Framing
) -> dict[str, Any]:
    first = next(iter(outcomes.values()))
    return {
        "trace": trace.name,
        "subtitle": _subtitle(first, trace, rules),
        "start_seconds": trace.start_seconds,
        "step_seconds": trace.step_seconds,
        "first_step": first.run.first_step,
        "capacity_per_replica": rules.capacity_per_replica,
        "demand": drawable(first.run.demand),
        "facts": _facts(outcomes, framing),
        "beside": framing.beside,
        "notes": framing.notes,
        "columns": _columns(outcomes),
        "policies": [_policy(name, outcome, outcomes, rules, framing) for name, outcome in outcomes.items()],
        "why": spare_hours(first, rules),
        "log": _log(first, rules),
        "parameters": _parameters(trace, rules, command),
    }


def _subtitle(outcome: Outcome, trace: Trace, rules: WorldRules) -> str:
    replayed = duration(len(outcome.run.demand) * trace.step_seconds)
    serves = rules.capacity_per_replica
    shown = f"{serves:,.0f}" if 1e5 <= serves < 1e15 else f"{serves:,.6g}"
    return (
        f"{replayed} in steps of {trace.step_seconds:g} s; a replica serves {shown} per second and takes "
        f"{rules.startup_seconds:g} s to start.{' Times are UTC.' if trace.start_seconds else ''}"
    )


def _facts(outcomes: dict[str, Outcome], framing: Framing) -> list[tuple[str, str]]:
    """The few numbers a reader came for."""
    name, ours = next((name, outcome.score) for name, outcome in outcomes.items())
    facts = [(share(ours.violation_fraction, 2), f"of steps violated by {name}")]
    beside, words = outcomes.get(framing.beside), _IN_WORDS.get(framing.beside, framing.beside)
    if beside is not None and name != framing.beside:
        if framing.beside not in framing.unclaimed:
            facts.append((share(beside.score.violation_fraction, 2), f"violated by {words}"))
        if beside.score.replica_hours:
            change = ours.replica_hours / beside.score.replica_hours - 1.0
            facts.append((f"{change:+.1%}", f"replica-hours against {words}"))
        if framing.beside == _HPA and ours.saved_fraction is not None:
            facts.append((f"{ours.saved_fraction:.1%}", "saved of them while as much was served"))
    tuned, best = outcomes.get("hpa-tuned"), outcomes.get("oracle")
    # At equal misses alone: some traces no target of an HPA serves as well.
    fair = tuned is not None and tuned.score.violations <= ours.violations
    if fair and tuned is not None and best is not None and tuned.score.replica_hours > best.score.replica_hours:
        captured = (tuned.score.replica_hours - ours.replica_hours) / (
            tuned.score.replica_hours - best.score.replica_hours
        )
        facts.append((f"{captured:.0%}", "of what perfect foresight saves over the best HPA target"))
    return facts


def _hpa_hours(outcomes: dict[str, Outcome], name: str = _HPA) -> float | None:
    """What a policy is compared with; None where HPA did not run, or ran nothing, as with a ceiling of none."""
    hpa = outcomes.get(hpa_beside(name))
    return (hpa.score.replica_hours or None) if hpa is not None else None


def _columns(outcomes: dict[str, Outcome]) -> list[str]:
    columns = ["policy", "violating steps", "unserved", "replica-hours", "changes/h"]
    scores = [outcome.score for outcome in outcomes.values()]
    columns += ["USD"] if scores[0].usd is not None else []
    columns += ["kWh"] if scores[0].watt_hours is not None else []
    columns += ["kgCO2e"] if scores[0].grams_co2e is not None else []
    return columns + (["of HPA 70 %", "saved"] if _hpa_hours(outcomes) is not None else [])


def _cells(score: Score, outcomes: dict[str, Outcome], claimed: bool) -> list[str]:
    unserved = "–" if score.unserved_fraction is None else share(score.unserved_fraction, 3)
    missed = [share(score.violation_fraction, 2), unserved]
    cells = [score.policy, *(missed if claimed else ["–", "–"])]
    cells += [amount(score.replica_hours, 1), amount(score.changes_per_hour, 2)]
    cells += [amount(score.usd, 2)] if score.usd is not None else []
    cells += [amount(score.watt_hours / 1e3, 1)] if score.watt_hours is not None else []
    cells += [amount(score.grams_co2e / 1e3, 1)] if score.grams_co2e is not None else []
    if _hpa_hours(outcomes) is None:
        return cells
    hpa_hours = _hpa_hours(outcomes, score.policy)
    if hpa_hours is None:
        return [*cells, "–", "–"]
    saved = "–" if score.saved_fraction is None or not claimed else f"{score.saved_fraction:.1%}"
    return [*cells, amount(score.replica_hours / hpa_hours, 3), saved]


def _policy(
    name: str, outcome: Outcome, outcomes: dict[str, Outcome], rules: WorldRules, framing: Framing
) -> dict[str, Any]:
    run, trail, claimed = outcome.run, outcome.trail, name not in framing.unclaimed
    names = sorted(set(run.reasons))
    index = {reason: position for position, reason in enumerate(names)}
    return {
        "name": name,
        "cells": _cells(outcome.score, outcomes, claimed),
        "note": outcome.note,
        "replicas": run.replicas.tolist(),
        "ready": run.ready.tolist(),
        "violations": np.flatnonzero(violating(run, rules)).tolist() if claimed else [],
        "reason_names": names,
        "reasons": [index[reason] for reason in run.reasons],
        "median": None if trail is None else drawable(trail.median),
        "planned": None if trail is None else drawable(trail.planned),
    }


def _log(outcome: Outcome, rules: WorldRules) -> list[dict[str, Any]]:
    """Steps at which the count changed, with the reasons where they were kept, and steps that violated."""
    run = outcome.run
    late = violating(run, rules)
    thoughts = {} if outcome.trail is None else {thought.index: thought for thought in outcome.trail.thoughts}
    before = np.concatenate((run.replicas[:1], run.replicas[:-1]))
    rows = []
    for step in np.flatnonzero(late | (run.replicas != before)).tolist():
        thought = thoughts.get(step)
        rows.append(
            {
                "step": step,
                "before": int(before[step]) if thought is None else thought.before,
                "after": int(run.replicas[step]),
                "reason": run.reasons[step],
                "late": int(late[step]),
                "why": [] if thought is None else [list(row) for row in thought.steps],
            }
        )
    return rows


def _parameters(trace: Trace, rules: WorldRules, command: Sequence[str]) -> str:
    steps = len(trace.demand)
    lines = [
        f"kcloud-autoscale {version('kcloud-autoscale')}",
        shlex.join(command),
        f"trace {trace.name}",
        f"sha256 {trace.sha256}",
        *trace.repairs,
        f"{rules}",
        f"{steps} {'step' if steps == 1 else 'steps'}, {duration(steps * trace.step_seconds)}",
    ]
    return "\n".join(lines)
