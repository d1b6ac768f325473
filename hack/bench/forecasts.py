"""``make bench-forecast``: forecasters on the same series and cutoffs, and what each costs."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from hack.bench import peers
from hack.bench.child import measure
from hack.bench.clock import quantile
from hack.bench.series import BEGIN_SECONDS, DAY, TRACES, generated, plain_name, recorded
from hack.bench.table import Table, publish
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.backtest import Task, Windows, backtest
from kcloud_autoscale.forecast.losses import Scores, pinball
from kcloud_autoscale.forecast.registry import STATISTICAL
from kcloud_autoscale.forecast.scoreboard import BASE, geometric_mean, score_table
from kcloud_autoscale.simulate.trace_rows import Trace

OURS = "online-ensemble"
FAST = (BASE, OURS, "ewma", "seasonal-naive")
# SARIMAX and STL are refitted hourly at minutes per series and day; name them with --models to wait for them.
SLOW = ("autoreg", "ets", "holt-winters")
SLOW_STEP_SIZE = 24  # a fit of Prophet's takes seconds
WINDOW_SECONDS = 900.0
YOUNG_SECONDS = 600.0
HEAD = ("series", "forecaster", "n", "pinball .95", "worst", "coverage .95", "MASE", "us per step")
BAR_HEAD = ("bar", "measured", "met")


@dataclass(frozen=True, slots=True)
class Panel:
    """Series that are judged together.

    Attributes:
        name: For the table.
        traces: The series.
        models: Who is run on them.
        step_size: Steps between cutoffs.
        families: Of other people's forecasters that are run too.
    """

    name: str
    traces: Sequence[Trace]
    models: Sequence[str]
    step_size: int = 1
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model of one series costs: a fit with its forecast, a forecast alone where that is possible."""

    cold_seconds: float
    peak_mib: float
    path_seconds: float = 0.0


def add_parser(subparsers: object) -> ArgumentParser:
    """Declare the bench."""
    parser: ArgumentParser = subparsers.add_parser("forecast", help=__doc__)  # type: ignore[attr-defined]
    parser.add_argument("--traces", type=Path, default=TRACES, help="folder of CSV files with a demand column")
    parser.add_argument("--most", type=int, help="at most so many series of each kind, for a quick look")
    parser.add_argument("--days", type=float, default=9.0, help="of generated load; the first week only teaches")
    parser.add_argument("--models", nargs="*", default=SLOW, choices=STATISTICAL, help="refitted hourly, per series")
    parser.add_argument("--slow-series", type=int, default=3, help="series those are run on")
    parser.add_argument(
        "--peers", action="store_true", help="statsforecast and Prophet too, in an environment of their own"
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000], help="fleets whose cost is measured")
    parser.add_argument("--jobs", type=int, default=1, help="series at once; above 1 the costs are not comparable")
    parser.set_defaults(run=run)
    return parser


def run(args: Namespace) -> int:
    """Print the tables; 1 when a bar is missed."""
    panels, notes = _panels(args)
    rows: list[tuple[str, ...]] = []
    fits: dict[str, Fit] = {}
    ours: dict[str, list[Scores]] = {}
    with ProcessPoolExecutor(args.jobs) as pool:
        for panel in panels:
            windows = backtest(_tasks(panel), pool, _told)
            for family in panel.families:
                windows += _peers(family, panel, windows, fits, notes)
            scored = score_table(windows)
            rows += [_row(panel.name, model, scored) for model in dict.fromkeys(model for _, model, _ in scored)]
            ours[panel.name] = [scores for _, model, scores in scored if model == OURS]
        young = _young(args, pool)
    bars = _bars(ours, young)
    tables = [
        Table("Forecasters: pinball loss relative to calibrated last value, geometric mean and worst", HEAD, rows),
        Table("Cost of our fleet forecast", ("fleet", *_COST_HEAD), _costs(args.sizes)),
        Table("Cost of models of one series, which does not depend on the fleet", _FIT_HEAD, _fit_rows(args, fits)),
        Table("Bars", BAR_HEAD, bars),
    ]
    notes += [
        "The peak of 15 minutes (one step where steps are longer), a cutoff at every step but for slow models, whose",
        "cost includes a refit an hour. Other people's models say their own 0.95 quantile: scikit-learn of the peak,",
        "peers (with --peers) of each step, of which the largest counts.",
    ]
    publish("bench-forecast", tables, notes)
    return 1 if any(row[2] == "no" for row in bars) else 0


def _panels(args: Namespace) -> tuple[list[Panel], list[str]]:
    minute, five = (generated(step, args.days, args.most) for step in (60.0, 300.0))
    found = [Panel("generated, 1 min", minute, FAST), Panel("generated, 5 min", five, FAST)]
    notes = []
    real = [_last_days(trace, 28.0) for trace in recorded(args.traces, args.most)]
    if real:
        found.append(Panel("recorded", real, FAST))
    else:
        notes.append(f"No recordings in {args.traces}: skipped.")
    if (args.models or args.peers) and args.slow_series:
        # Recorded and generated in turn, so that the few are unlike.
        shapes = generated(300.0, args.days)[::3]
        few = [each for pair in zip_longest(real[::4], shapes) for each in pair if each is not None][: args.slow_series]
        found.append(Panel("slow models too", few, (*FAST, *args.models), SLOW_STEP_SIZE, _families(args)))
    return found, notes


def _history(trace: Trace) -> DemandHistory:
    return DemandHistory(trace.start_seconds, trace.step_seconds, trace.demand)


def _families(args: Namespace) -> tuple[str, ...]:
    """scikit-learn is ours already; the others need an environment of their own."""
    return ("scikit-learn", "others") if args.peers else ("scikit-learn",)


def _peers(
    family: str, panel: Panel, windows: Sequence[Windows], fits: dict[str, Fit], notes: list[str]
) -> list[Windows]:
    """A family's forecasts at the same cutoffs; none, and a word why, where they cannot be had."""
    bases = {each.unique_id: each for each in windows if each.model == BASE}
    found: list[Windows] = []
    try:
        python = Path(sys.executable) if family == "scikit-learn" else peers.environment()
        for trace in panel.traces:
            said = peers.judged(family, python, _history(trace), bases[plain_name(trace)])
            found += said.windows
            fits |= {name: Fit(seconds, said.peak_mib) for name, seconds in said.fit_seconds.items()}
            print(f"{family} on {trace.name}", file=sys.stderr, flush=True)
    except peers.PeersError as error:
        notes.append(f"{family} skipped: {error}")
        return []
    return found


def _last_days(trace: Trace, days: float) -> Trace:
    keep = round(days * DAY / trace.step_seconds)
    skipped = max(0, len(trace.demand) - keep)
    start = trace.start_seconds + skipped * trace.step_seconds
    return replace(trace, start_seconds=start, demand=trace.demand[skipped:])


def _tasks(panel: Panel) -> list[Task]:
    return [
        Task(
            plain_name(trace),
            _history(trace),
            model,
            max(1, round(WINDOW_SECONDS / trace.step_seconds)),
            min(round(7 * DAY / trace.step_seconds), len(trace.demand) // 2),
            panel.step_size,
            default_knowledge()[0] if model == OURS else None,
        )
        for trace in panel.traces
        for model in panel.models
    ]


def _told(task: Task) -> None:
    print(f"{task.model} on {task.unique_id}", file=sys.stderr, flush=True)


def _row(panel: str, model: str, scored: Sequence[tuple[str, str, Scores]]) -> tuple[str, ...]:
    mine = [scores for _, name, scores in scored if name == model]
    ratios = [each.pinball_ratio for each in mine]
    return (
        panel,
        model,
        str(len(mine)),
        f"{geometric_mean(ratios):.3f}",
        f"{max(ratios):.3f}",
        f"{np.mean([each.coverage for each in mine]):.3f}",
        f"{np.median([each.mase for each in mine]):.2f}",
        f"{np.median([each.microseconds for each in mine]):,.0f}",
    )


def _young(args: Namespace, pool: ProcessPoolExecutor) -> float:
    """Our loss over last value's for workloads 10 to 60 minutes old, five-minute windows, geometric mean."""
    days, knowledge = generated(60.0, 2.0, args.most), default_knowledge()[0]
    tasks = [
        Task(f"{trace.name} {hour}", _hour(trace, hour), OURS, 5, round(YOUNG_SECONDS / 60.0), 1, knowledge)
        for trace in days
        for hour in range(0, 46, 3)
    ]
    return geometric_mean([_loss_over_last_value(each) for each in backtest(tasks, pool)])


def _hour(trace: Trace, hour: int) -> DemandHistory:
    return DemandHistory(BEGIN_SECONDS + hour * 3_600.0, 60.0, trace.demand[60 * hour : 60 * hour + 65])


def _loss_over_last_value(windows: Windows) -> float:
    plain = float(pinball(windows.actual, windows.present, 0.95).mean())
    return windows.scores().pinball / plain


_COST_HEAD = ("cold, us per workload", "warm cycle, us per workload", "as the tick calls it", "peak RSS")


def _costs(sizes: Sequence[int]) -> list[tuple[str, ...]]:
    """Processor time: cold is learning two weeks of minutes, warm one cycle, medians."""
    rows = []
    for size in sizes:
        found = measure("learning", "--workloads", size, "--cycles", 10)
        warm, whole = (quantile(found[kind], 0.5)[1] for kind in ("vectorised", "whole"))
        each = [f"{1e6 * seconds / size:,.1f}" for seconds in (found["taught"][1], warm, whole)]
        rows.append((f"{size:,}", *each, f"{found['peak_mib']:,.0f} MiB"))
    return rows


_FIT_HEAD = ("forecaster", "cold, us per workload", "warm cycle, us per workload", "cold, 1,000", "10,000", "peak RSS")


def _fit_rows(args: Namespace, fits: dict[str, Fit]) -> list[tuple[str, ...]]:
    """Cold is one fit and forecast; a warm cycle of a minute is a forecast and a sixtieth of the next fit."""
    own = {}
    for model in args.models if args.slow_series else ():
        found = measure("one_fit", "--model", model)
        fit, path = quantile(found["fit"], 0.5)[1], quantile(found["path"], 0.5)[1]
        own[model] = Fit(fit + path, found["peak_mib"], path)
    return [
        (
            name,
            f"{1e6 * each.cold_seconds:,.0f}",
            f"{1e6 * (each.path_seconds + each.cold_seconds / 60):,.0f}",
            f"{1_000 * each.cold_seconds:,.0f} s",
            f"{10_000 * each.cold_seconds:,.0f} s",
            f"{each.peak_mib:,.0f} MiB",
        )
        for name, each in (own | fits).items()
    ]


def _bars(ours: dict[str, list[Scores]], young: float) -> list[tuple[str, ...]]:
    ratios = [each.pinball_ratio for name, scores in ours.items() if "slow" not in name for each in scores]
    mean, worst = geometric_mean(ratios), max(ratios)
    rows = [
        _bar("pinball .95 <= 0.60 of calibrated last value, geometric mean", f"{mean:.3f}", mean <= 0.60),
        _bar("worst series <= 1.05", f"{worst:.3f}", worst <= 1.05),
        _bar("ten minutes to an hour old: <= 0.40 of last value", f"{young:.3f}", young <= 0.40),
    ]
    for name, scores in ours.items():
        if "slow" in name:
            continue  # a handful of windows says nothing of one in twenty
        covered = float(np.mean([each.coverage for each in scores]))
        rows.append(_bar(f"coverage 0.945-0.960, {name}", f"{covered:.3f}", 0.945 <= covered <= 0.960))
    return rows


def _bar(what: str, measured: str, met: bool) -> tuple[str, ...]:
    return what, measured, "yes" if met else "no"
