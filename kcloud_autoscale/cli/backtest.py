"""`kcloud-autoscale backtest`: how well would each model have forecast my history?"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from kcloud_autoscale.cli.demand_source import from_options
from kcloud_autoscale.cli.executor import add_executor, chosen_executor
from kcloud_autoscale.cli.options import add_prometheus, check_outputs, positive, refuse_prometheus, writing
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.units import SECONDS_PER_DAY
from kcloud_autoscale.forecast.artifacts import default_knowledge, load_bundle
from kcloud_autoscale.forecast.backtest import Task, Windows, backtest
from kcloud_autoscale.forecast.fleet import horizon_steps
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.registry import NAMES
from kcloud_autoscale.forecast.scoreboard import BASE, forecast_frame, score_table, scores_frame, summary
from kcloud_autoscale.report.backtest import write_report
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.traces import DEFAULT_STEP_SECONDS, read_files

_DESCRIPTION = """Feed each series to each model step by step and compare the quantiles of the peak of the lead window
with the peak that came. pinball_ratio is the loss of the 0.95 quantile over that of calibrated last value (below 1 is
better), coverage should be near 0.95, over_provision is the spare capacity at 5 % missed windows."""
_DEFAULT_MODELS = "online-ensemble,last-value,ewma,seasonal-naive"
_PARQUET = ".parquet"


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("backtest", description=_DESCRIPTION)
    _add_demand(parser, parser.add_argument_group("demand; files, or a Prometheus"))
    _add_protocol(parser.add_argument_group("what is asked of whom"))
    add_executor(parser.add_argument_group("where it runs"))
    results = parser.add_argument_group("results; tables are CSV, or Parquet by their name")
    results.add_argument("--out", type=Path, metavar="FILE", help="every forecast, tidy")
    results.add_argument("--scores", type=Path, metavar="FILE", help="scores of each series and model")
    results.add_argument("--report", type=Path, metavar="FILE", help="one self-contained HTML file with plots")
    parser.set_defaults(run=run)


def _add_demand(parser: Any, group: Any) -> None:
    parser.add_argument(
        "traces",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="CSV, CSV.GZ or Parquet; a series each, or several told apart by a column unique_id",
    )
    add_prometheus(group, group, "one or several series")
    group.add_argument("--column", metavar="NAME", help="demand column; needed where a file has several")
    group.add_argument("--events", action="store_true", help="each row is an event: count them, or sum --column")
    group.add_argument(
        "--step-seconds",
        type=float,
        metavar="S",
        help=f"length of a step; default: that of the file, {DEFAULT_STEP_SECONDS:g} for Prometheus",
    )


def _add_protocol(group: Any) -> None:
    group.add_argument("--horizon-seconds", type=float, default=900.0, metavar="S", help="lead window (default: 900)")
    group.add_argument(
        "--models",
        default=_DEFAULT_MODELS,
        metavar="NAMES",
        help=f"comma-separated, from {', '.join(NAMES)}; {BASE} is always run, losses are relative to it "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--train-days", type=float, metavar="D", help="days before the first judged window (default: half of a series)"
    )
    group.add_argument("--step-size", type=int, default=1, metavar="N", help="steps between cutoffs (default: 1)")
    group.add_argument(
        "--bundle", type=Path, metavar="DIR", help="what `train` wrote, for online-ensemble; default: the operator's"
    )


def run(args: argparse.Namespace) -> int:
    """Backtest and report; 0."""
    _check(args)
    models = _models(args.models)
    traces = _traces(args)
    tasks = _tasks(traces, models, args)
    with chosen_executor(args) as executor, tqdm(total=len(tasks), unit="fit", disable=None) as progress:
        windows = backtest(tasks, executor, lambda _: progress.update())
    with writing():
        _write(windows, traces, args)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Everything that can be refused before hours of work."""
    if positive(args.horizon_seconds, "--horizon-seconds") > SECONDS_PER_DAY:
        raise ConfigError(f"--horizon-seconds is {args.horizon_seconds:g}, must be at most {SECONDS_PER_DAY:g}")
    positive(args.train_days, "--train-days")
    positive(args.step_seconds, "--step-seconds")
    if args.step_size < 1:
        raise ConfigError(f"--step-size is {args.step_size}, must be at least 1")
    if bool(args.traces) == bool(args.prometheus):
        raise ConfigError("name files, or --prometheus with --query; one of both")
    if args.traces:
        refuse_prometheus(args)
    check_outputs(args, ("--out", "--scores", "--report"))


def _models(names: str) -> list[str]:
    """The models asked for, each once, and the one that they are compared with; unknown ones are refused."""
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in NAMES]
    if unknown or not wanted:
        raise ConfigError(f"--models: {', '.join(unknown) or 'none given'}; there are {', '.join(NAMES)}")
    return wanted if BASE in wanted else [*wanted, BASE]


def _traces(args: argparse.Namespace) -> list[Trace]:
    """Every series, told apart by its name; what was put right in them is said."""
    if args.prometheus:
        traces = from_options(args, time.time())
    else:
        traces = read_files(args.traces, args.column, args.step_seconds, args.events)
    twice = [name for name, count in Counter(trace.name for trace in traces).items() if count > 1]
    if twice:
        raise ConfigError(f"several series have the same name: {', '.join(map(repr, twice[:3]))}")
    for trace in traces:
        for repair in trace.repairs:
            print(f"{trace.name}: {repair}", file=sys.stderr)
    return traces


def _tasks(traces: Sequence[Trace], models: Sequence[str], args: argparse.Namespace) -> list[Task]:
    """A task per series and model; series in which nothing can be judged are left out, and that is said.

    Raises:
        ConfigError: None is left.
    """
    knowledge = _knowledge(args.bundle)
    tasks = [_task(trace, model, knowledge, args) for trace in traces for model in models]
    obstacles = {task.unique_id: task.obstacle() for task in tasks[:: len(models)]}
    judged = [task for task in tasks if not obstacles[task.unique_id]]
    told = [words for words in obstacles.values() if words]
    if not judged:
        more = f" (and {len(told) - 1} more series)" if len(told) > 1 else ""
        raise ConfigError(f"no window could be judged: {told[0]}{more}")
    for words in told:
        print(f"left out: {words}", file=sys.stderr)
    return judged


def _task(trace: Trace, model: str, knowledge: Knowledge | None, args: argparse.Namespace) -> Task:
    step = trace.step_seconds
    half = len(trace.demand) // 2
    first = half if args.train_days is None else round(args.train_days * SECONDS_PER_DAY / step)
    history = DemandHistory(trace.start_seconds, step, trace.demand)
    return Task(trace.name, history, model, horizon_steps(args.horizon_seconds, step), first, args.step_size, knowledge)


def _knowledge(folder: Path | None) -> Knowledge | None:
    """Of the bundle named, else of the operator's, without which it goes on with the priors by hand."""
    return default_knowledge()[0] if folder is None else load_bundle(folder).knowledge


def _write(windows: Sequence[Windows], traces: Sequence[Trace], args: argparse.Namespace) -> None:
    """Write the files asked for and print the table."""
    scores = score_table(windows)
    if args.out:
        _save(forecast_frame(windows), args.out)
    if args.scores:
        _save(scores_frame(scores), args.scores)
    if args.report:
        write_report(args.report, windows, traces, ["kcloud-autoscale", *sys.argv[1:]])
    print(summary(scores).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def _save(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix.lower() != _PARQUET:
        frame.to_csv(path, index=False)
        return
    try:
        frame.to_parquet(path, index=False)
    except ImportError as error:
        raise ConfigError(f"{path}: Parquet needs the extra: pip install 'kcloud-autoscale[parquet]'") from error
