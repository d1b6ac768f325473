"""`kcloud-autoscale backtest`: how well would each model have forecast my history?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.units import SECONDS_PER_DAY
from kcloud_autoscale.forecast.backtest import Task, Windows, backtest, forecast_frame, score_table, summary
from kcloud_autoscale.forecast.fleet import horizon_steps
from kcloud_autoscale.forecast.registry import NAMES
from kcloud_autoscale.simulate.traces import read_trace

_DESCRIPTION = """Feed each series to each model step by step and compare the quantiles of the peak of the lead window
with the peak that came. pinball_ratio is the loss of the 0.95 quantile over that of calibrated last value (below 1 is
better), coverage should be near 0.95, over_provision is the spare capacity at 5 % missed windows."""
_DEFAULT_MODELS = "online-ensemble,last-value,ewma,seasonal-naive"


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("backtest", help="score forecasts on a history", description=_DESCRIPTION)
    parser.add_argument("traces", type=Path, nargs="+", metavar="FILE", help="CSV, CSV.GZ or Parquet, one series each")
    parser.add_argument("--column", metavar="NAME", help="demand column; needed where a file has several")
    parser.add_argument("--step-seconds", type=float, metavar="S", help="length of a step; default: that of the file")
    parser.add_argument("--horizon-seconds", type=float, default=900.0, metavar="S", help="lead window (default: 900)")
    parser.add_argument(
        "--models", default=_DEFAULT_MODELS, metavar="NAMES", help=f"comma-separated, from {', '.join(NAMES)}"
    )
    parser.add_argument(
        "--train-days", type=float, metavar="D", help="days before the first judged window (default: half of the file)"
    )
    parser.add_argument("--step-size", type=int, default=1, metavar="N", help="steps between cutoffs (default: 1)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--executor", metavar="URL", help="dask://HOST:PORT instead of local processes")
    parser.add_argument("--out", type=Path, metavar="FILE", help="CSV of every forecast, tidy")
    parser.add_argument("--scores", type=Path, metavar="FILE", help="CSV of the scores of each series and model")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Backtest; 0 when there is something to report, 1 when no window could be judged."""
    models = _models(args.models)
    tasks = [task for path in args.traces for task in _tasks(path, models, args)]
    with _executor(args) as executor, tqdm(total=len(tasks), unit="fit", disable=None) as progress:
        windows = backtest(tasks, executor, lambda _: progress.update())
    if not windows:
        print("no window could be judged: the series are shorter than --train-days and --horizon-seconds together")
        return 1
    _report(windows, args)
    return 0


def _models(names: str) -> list[str]:
    """The models asked for; unknown ones are refused."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in NAMES]
    if unknown or not wanted:
        raise ConfigError(f"--models: {', '.join(unknown) or 'none given'}; there are {', '.join(NAMES)}")
    return wanted


def _tasks(path: Path, models: Sequence[str], args: argparse.Namespace) -> Iterator[Task]:
    """One task per model for the series of a file."""
    if args.horizon_seconds <= 0 or args.step_size < 1:
        raise ConfigError("--horizon-seconds and --step-size must be positive")
    trace = read_trace(path, args.column, args.step_seconds)
    history = DemandHistory(trace.start_seconds, trace.step_seconds, trace.demand)
    half = len(trace.demand) // 2
    first = half if args.train_days is None else round(args.train_days * SECONDS_PER_DAY / trace.step_seconds)
    horizon = horizon_steps(args.horizon_seconds, trace.step_seconds)
    for model in models:
        yield Task(trace.name, history, model, horizon, first, args.step_size)


@contextmanager
def _executor(args: argparse.Namespace) -> Iterator[Executor | None]:
    """Where the tasks run: here, in local processes, or on a Dask cluster."""
    if args.executor:
        with _dask(args.executor) as executor:
            yield executor
    elif args.jobs > 1:
        # A fork of a process whose BLAS has threads may hang; a spawned one starts clean.
        with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as executor:
            yield executor
    else:
        yield None


@contextmanager
def _dask(url: str) -> Iterator[Executor]:
    """An executor of the Dask cluster at ``dask://HOST:PORT``."""
    if not url.startswith("dask://"):
        raise ConfigError(f"--executor: {url!r} is not dask://HOST:PORT")
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError("--executor dask:// needs the extra: pip install 'kcloud-autoscale[dask]'") from error
    try:
        client: Any = Client(f"tcp://{url.removeprefix('dask://')}", timeout="10s")  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigError(f"--executor: no Dask scheduler answers at {url}: {error}") from error
    with client, client.get_executor() as executor:
        yield executor


def _report(windows: Sequence[Windows], args: argparse.Namespace) -> None:
    """Write the files asked for and print the table."""
    scores = score_table(windows)
    if args.out:
        forecast_frame(windows).to_csv(args.out, index=False)
    if args.scores:
        rows = [{"unique_id": series, "model": model, **asdict(each)} for series, model, each in scores]
        pd.DataFrame(rows).to_csv(args.scores, index=False)
    print(summary(scores).to_string(index=False, float_format=lambda value: f"{value:.3f}"))
