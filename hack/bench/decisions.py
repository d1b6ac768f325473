"""``make bench-decisions``: every policy on the same traces, and what ours makes of what foresight could save."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hack.bench.series import DAY, TRACES, generated, plain_name, recorded
from hack.bench.table import Table, publish
from kcloud_autoscale.forecast.scoreboard import geometric_mean
from kcloud_autoscale.simulate.policies import POLICIES
from kcloud_autoscale.simulate.predictive import plain_workload
from kcloud_autoscale.simulate.run import simulate
from kcloud_autoscale.simulate.score import Score
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import WorldRules

POLICY_HEAD = ("policy", "violating", "unserved", "replica-h of HPA-70 %", "changes/h of HPA-70 %", "traces")
TRACE_HEAD = ("trace", "violating", "HPA-70 %", "of HPA-70 %", "of tuned HPA", "of foresight", "captured", "changes/h")
BAR_HEAD = ("bar", "measured", "met")


@dataclass(frozen=True, slots=True)
class Judged:
    """One trace under every policy."""

    name: str
    scores: dict[str, Score]
    tuned_exists: bool

    @property
    def ours(self) -> Score:
        return self.scores["predictive"]

    @property
    def hpa(self) -> Score:
        return self.scores["hpa"]

    def hours_of(self, other: str) -> float:
        """Our replica-hours over those of another policy."""
        return self.ours.replica_hours / self.scores[other].replica_hours

    @property
    def captured(self) -> float:
        """Share of what perfect foresight saves over the HPA tuned with hindsight to our violations."""
        tuned = self.scores["hpa-tuned"].replica_hours
        return (tuned - self.ours.replica_hours) / max(tuned - self.scores["oracle"].replica_hours, 1e-9)

    @property
    def violations_kept(self) -> bool:
        """No more than HPA, or than 1 %."""
        return self.ours.violation_fraction <= max(0.01, self.hpa.violation_fraction)


def add_parser(subparsers: object) -> ArgumentParser:
    """Declare the bench."""
    parser: ArgumentParser = subparsers.add_parser("decisions", help=__doc__)  # type: ignore[attr-defined]
    parser.add_argument("--traces", type=Path, default=TRACES, help="folder of CSV files with a demand column")
    parser.add_argument("--most", type=int, help="at most so many traces of each kind, for a quick look")
    parser.add_argument("--days", type=float, default=14.0, help="of generated load")
    parser.add_argument("--history-days", type=float, default=7.0, help="known at the start, at most half a trace")
    parser.add_argument("--replicas", type=float, default=10.0, help="mean demand in replicas' worth")
    parser.add_argument("--startup-seconds", type=float, default=240.0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="traces at once")
    parser.set_defaults(run=run)
    return parser


def run(args: Namespace) -> int:
    """Print the tables; 1 when a bar is missed."""
    traces = recorded(args.traces, args.most)
    notes = [] if traces else [f"No recordings in {args.traces}: generated load alone, the rest is skipped."]
    traces += generated(60.0, args.days, args.most)
    with ProcessPoolExecutor(args.jobs) as pool:
        waiting = [pool.submit(_judge, trace, args) for trace in traces]
        judged = []
        for job in waiting:
            judged.append(job.result())
            print(f"{judged[-1].name}: done", file=sys.stderr, flush=True)
    reached = bars(judged)
    tables = [
        Table("Policies, geometric means and medians over all traces", POLICY_HEAD, _policy_rows(judged)),
        Table("Ours, trace by trace", TRACE_HEAD, [_trace_row(each) for each in judged]),
        Table("Bars", BAR_HEAD, reached),
    ]
    notes.append(
        f"{args.replicas:g} replicas' worth of mean demand, {args.startup_seconds:g} s start-up, up to"
        f" {args.history_days:g} days known before the first decision; default settings, nothing tuned to a trace."
    )
    publish("bench-decisions", tables, notes)
    return 1 if any(row[2] == "no" for row in reached) else 0


def _judge(trace: Trace, args: Namespace) -> Judged:
    history = min(round(args.history_days * DAY / trace.step_seconds), len(trace.demand) // 2)
    capacity = float(np.nanmean(trace.demand)) / args.replicas
    rules = WorldRules(capacity, args.startup_seconds, history_steps=history)
    found = simulate(trace, rules, POLICIES, plain_workload(), lambda _: None)
    exists = found["hpa-tuned"].score.violations <= found["predictive"].score.violations
    return Judged(plain_name(trace), {name: outcome.score for name, outcome in found.items()}, exists)


def _policy_rows(judged: Sequence[Judged]) -> list[tuple[str, ...]]:
    return [_policy_row(name, judged) for name in POLICIES]


def _policy_row(name: str, judged: Sequence[Judged]) -> tuple[str, ...]:
    """The tuned HPA counts where it exists: some traces it cannot serve as well as we do at any target."""
    fair = [each for each in judged if name != "hpa-tuned" or each.tuned_exists]
    scores = [each.scores[name] for each in fair]
    if not scores:
        return (name, *[""] * 4, f"0 of {len(judged)}")
    hours = [each.scores[name].replica_hours / each.hpa.replica_hours for each in fair]
    changes = [each.scores[name].changes_per_hour / max(each.hpa.changes_per_hour, 1e-9) for each in fair]
    return (
        name,
        f"{np.median([score.violation_fraction for score in scores]):.2%}",
        f"{np.median([score.unserved_fraction or 0.0 for score in scores]):.3%}",
        f"{geometric_mean(hours):.3f}",
        f"{np.median(changes):.2f}",
        f"{len(fair)} of {len(judged)}",
    )


def _trace_row(each: Judged) -> tuple[str, ...]:
    tuned = f"{each.hours_of('hpa-tuned'):.3f}" if each.tuned_exists else "never as good"
    return (
        each.name,
        f"{each.ours.violation_fraction:.2%}",
        f"{each.hpa.violation_fraction:.2%}",
        f"{each.hours_of('hpa'):.3f}",
        tuned,
        f"{each.hours_of('oracle'):.3f}",
        f"{each.captured:.0%}" if each.tuned_exists else "",
        f"{each.ours.changes_per_hour:.2f} / {each.hpa.changes_per_hour:.2f}",
    )


def bars(judged: Sequence[Judged]) -> list[tuple[str, str, str]]:
    """What was promised, what was measured, and whether that is met."""
    kept = sum(each.violations_kept for each in judged)
    ratio = geometric_mean([each.hours_of("hpa") for each in judged])
    fair = [each for each in judged if each.tuned_exists]
    cheaper = sum(each.hours_of("hpa-tuned") < 1.0 for each in fair) + len(judged) - len(fair)
    captured = float(np.mean([each.captured for each in fair])) if fair else float("nan")
    calm = sum(each.ours.changes_per_hour <= each.hpa.changes_per_hour for each in judged)
    of = f"of {len(judged)}"
    return [
        _bar("violating steps <= max(1 %, HPA-70 %'s), every trace", f"{kept} {of}", kept == len(judged)),
        _bar("replica-hours <= 0.80 of HPA-70 %'s, geometric mean", f"{ratio:.3f}", ratio <= 0.80),
        _bar("cheaper than the HPA tuned with hindsight, every trace", f"{cheaper} {of}", cheaper == len(judged)),
        _bar(">= 75 % of foresight's saving over it, mean", f"{captured:.0%}", captured >= 0.75),
        _bar("changes per hour <= HPA-70 %'s, every trace", f"{calm} {of}", calm == len(judged)),
    ]


def _bar(what: str, measured: str, met: bool) -> tuple[str, str, str]:
    return what, measured, "yes" if met else "no"
