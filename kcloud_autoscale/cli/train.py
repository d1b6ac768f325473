"""`kcloud-autoscale train`: learn what to assume of new workloads, and write it as a bundle."""

from __future__ import annotations

import argparse
import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.forecast.artifacts import Bundle, Provenance, save_bundle
from kcloud_autoscale.forecast.evaluate import ColdScore, cold_score, scores_csv
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import DAY_SECONDS, steps_in
from kcloud_autoscale.forecast.synthetic import synthetic_demand
from kcloud_autoscale.forecast.train import CELLS, train_boosted, train_priors
from kcloud_autoscale.simulate.traces import read_trace

_DESCRIPTION = """Learn from many series what to assume of a workload that has shown little: coefficients and interval
widths for each step length and lead time, and one gradient-boosting model that speaks in the first hours. Without
--data it learns from made-up demand, as the default bundle did. Measured on other series than it was trained on."""

# Steps of 10 s for a day and a half, of half an hour for three weeks: the week is in what has the steps for it.
_DAYS = {10.0: 1.5, 60.0: 9.0, 300.0: 15.0, 600.0: 15.0, 1_800.0: 21.0}


@dataclass(frozen=True, slots=True)
class Source:
    """Where demand comes from: training and held-out series (series, steps) at a step length."""

    words: str
    sha256: str
    window: str
    train: Callable[[float], FloatArray]
    held_out: Callable[[float], FloatArray]


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("train", help="learn a model bundle from histories", description=_DESCRIPTION)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="models/NAME/VERSION, a new folder")
    parser.add_argument("--data", type=Path, nargs="+", metavar="FILE", help="CSV, CSV.GZ or Parquet, one series each")
    parser.add_argument("--column", metavar="NAME", help="demand column; needed where a file has several")
    parser.add_argument("--series", type=int, default=60, metavar="N", help="made-up series (default: 60)")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="of the made-up series (default: 7)")
    parser.add_argument(
        "--cells",
        metavar="STEP:HORIZON,…",
        help="step seconds and horizon steps to learn (default: 16 from 10 s to 30 min)",
    )
    parser.add_argument("--no-boosting", action="store_true", help="only the linear priors")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, score on held-out series and write the bundle; 0 when it is written."""
    cells = _cells(args.cells)
    source = _from_files(args, cells) if args.data else _made_up(args)
    with tqdm(total=len(cells) * (2 if args.no_boosting else 3), unit="cell", disable=None) as progress:
        table = train_priors(source.train, cells, progress=lambda _: progress.update())
        boosted = None
        if not args.no_boosting:
            boosted = train_boosted(source.train, cells, progress=lambda _: progress.update())
        knowledge = Knowledge(table.cells, boosted)
        pairs = []
        for cell in cells:
            pairs.append((_cold(source, cell, knowledge), _cold(source, cell, None)))
            progress.update()
    provenance = _provenance(args, source, pairs)
    save_bundle(
        args.out, Bundle(provenance, knowledge), _card(provenance, pairs), scores_csv([ours for ours, _ in pairs])
    )
    print(f"{args.out}: ten minutes of history at {provenance.scores['cold_pinball_ratio']:.3f} of last value's loss")
    return 0


def _cells(text: str | None) -> Sequence[tuple[float, int]]:
    """The cells asked for."""
    if text is None:
        return CELLS
    try:
        cells = [(float(step), int(horizon)) for step, horizon in (each.split(":") for each in text.split(","))]
    except ValueError as error:
        raise ConfigError(f"--cells: {text!r} is not STEP:HORIZON,STEP:HORIZON,…") from error
    if any(step <= 0 or horizon < 1 for step, horizon in cells):
        raise ConfigError(f"--cells: {text!r} has a step or horizon that is not positive")
    return cells


def _made_up(args: argparse.Namespace) -> Source:
    """Synthetic demand; the held-out series have another seed."""

    def demand(seed: int, step_seconds: float) -> FloatArray:
        return synthetic_demand(args.series, _days(step_seconds), step_seconds, seed)

    words = f"{args.series} made-up series per step length, seed {args.seed} (kcloud_autoscale.forecast.synthetic)"
    return Source(
        words=words,
        sha256=hashlib.sha256(words.encode()).hexdigest(),
        window="; ".join(f"{days:g} days at {step:g} s" for step, days in _DAYS.items()),
        train=functools.cache(functools.partial(demand, args.seed)),
        held_out=functools.cache(functools.partial(demand, args.seed + 1)),
    )


def _days(step_seconds: float) -> float:
    """History per step length; that of the nearest listed one."""
    return _DAYS[min(_DAYS, key=lambda step: abs(np.log(step / step_seconds)))]


def _from_files(args: argparse.Namespace, cells: Sequence[tuple[float, int]]) -> Source:
    """Traces, each cut into windows of equal length; every fourth window is held out."""
    finest = min(step for step, _ in cells)
    traces = [read_trace(path, args.column, finest) for path in args.data]

    def windows(step_seconds: float) -> FloatArray:
        length = steps_in(_days(step_seconds) * DAY_SECONDS, step_seconds)
        pieces = []
        for trace in traces:
            demand = _coarser(trace.demand, max(1, round(step_seconds / trace.step_seconds)))
            whole = min(length, len(demand))
            pieces += [demand[at : at + whole] for at in range(0, len(demand) - whole + 1, whole)]
        shortest = min(len(piece) for piece in pieces)
        return np.stack([piece[-shortest:] for piece in pieces])

    cached = functools.cache(windows)
    if len(cached(finest)) < 4:
        raise ConfigError(f"--data: {len(cached(finest))} windows; at least 4 are needed to train and to hold out")
    digest = hashlib.sha256("".join(trace.sha256 for trace in traces).encode()).hexdigest()
    return Source(
        words="; ".join(trace.name for trace in traces),
        sha256=digest,
        window=f"{len(cached(finest))} windows of up to {_days(finest):g} days",
        train=lambda step: np.delete(cached(step), np.s_[3::4], axis=0),
        held_out=lambda step: cached(step)[3::4],
    )


def _coarser(demand: FloatArray, factor: int) -> FloatArray:
    """Means of ``factor`` steps, gaps filled with what was last known (training wants whole series)."""
    known = np.where(np.isfinite(demand), np.arange(len(demand)), 0)
    filled = np.nan_to_num(demand[np.maximum.accumulate(known)])
    return np.asarray(filled[: len(filled) // factor * factor].reshape(-1, factor).mean(axis=1))


def _cold(source: Source, cell: tuple[float, int], knowledge: Knowledge | None) -> ColdScore:
    """Held-out score of a cell."""
    return cold_score(source.held_out(cell[0]), cell[0], cell[1], knowledge)


def _provenance(args: argparse.Namespace, source: Source, pairs: Sequence[tuple[ColdScore, ColdScore]]) -> Provenance:
    """What goes into the manifest."""
    ours, plain = (float(np.exp(np.mean([np.log(pair[i].pinball_ratio) for pair in pairs]))) for i in (0, 1))
    return Provenance(
        name=args.out.resolve().parent.name,
        version=args.out.resolve().name,
        data=source.words,
        data_sha256=source.sha256,
        window=source.window,
        made=datetime.now(UTC).date().isoformat(),
        scores={
            "cold_pinball_ratio": round(ours, 4),
            "cold_pinball_ratio_without": round(plain, 4),
            "cold_coverage": round(float(np.mean([pair[0].coverage for pair in pairs])), 4),
        },
    )


def _card(provenance: Provenance, pairs: Sequence[tuple[ColdScore, ColdScore]]) -> str:
    """The card: what it is for, what it was made of, how good it is, what it cannot do."""
    rows = "\n".join(
        f"| {ours.step_seconds:g} s | {ours.horizon} | {ours.pinball_ratio:.3f} | {plain.pinball_ratio:.3f} | "
        f"{ours.coverage:.3f} |"
        for ours, plain in pairs
    )
    cells = ",".join(f"{ours.step_seconds:g}:{ours.horizon}" for ours, _ in pairs)
    return f"""# {provenance.name} {provenance.version}

What to assume of a workload that has shown little demand: ridge coefficients, interval widths and expert weights per
step length and lead time, and a gradient-boosting model (scikit-learn, kept as plain arrays) heard in its first hours.

- Trained on: {provenance.data}; {provenance.window}. Made {provenance.made}.
- Target: the peak of the lead window, as a quantile forecast; features and library versions are in `manifest.json`.
- Not for: demand that can be negative. It fades as the workload shows its own ways, and is silent after four hours.

Ten minutes of history, series not trained on: 0.95 pinball loss over the bare last value's, with this bundle and with
the priors by hand; coverage of the 0.95 quantile.

| step | horizon | ratio | by hand | coverage |
|---|---|---|---|---|
{rows}

Reproduce: `kcloud-autoscale train` with the same data, seed and cells ({cells}).
"""
