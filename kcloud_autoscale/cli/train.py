"""`kcloud-autoscale train`: learn what to assume of new workloads, and write it as a bundle."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kcloud_autoscale.cli.training_data import TrainingData, from_files, made_up
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.forecast.artifacts import Bundle, Provenance, check_new, save_bundle
from kcloud_autoscale.forecast.evaluate import ColdScore, cold_score, scores_csv
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.train import CELLS, train_boosted, train_priors

_DESCRIPTION = """Learn from many series what to assume of a workload that has shown little: coefficients and interval
widths for each step length and lead time, and one gradient-boosting model that speaks in the first hours. Without
--data it learns from made-up demand, as the default bundle did. Measured on other series than it was trained on."""


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("train", description=_DESCRIPTION)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="models/NAME/VERSION, a new folder")
    parser.add_argument("--data", type=Path, nargs="+", metavar="FILE", help="CSV, CSV.GZ or Parquet files")
    parser.add_argument("--column", metavar="NAME", help="demand column; needed where a file has several")
    parser.add_argument("--series", type=int, default=60, metavar="N", help="made-up series (default: 60)")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="of the made-up series (default: 7)")
    parser.add_argument(
        "--cells",
        metavar="STEP:HORIZON,…",
        help="step seconds and horizon steps to learn; multiples of the rows of --data (default: 16, 10 s to 30 min)",
    )
    parser.add_argument("--no-boosting", action="store_true", help="only the linear priors")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, score on held-out series and write the bundle; 0 when it is written."""
    check_new(args.out)
    if find_spec("sklearn") is None:
        raise ConfigError("train needs scikit-learn, an extra: pip install 'kcloud-autoscale[train]'")
    cells = _cells(args.cells)
    source = from_files(args.data, args.column, cells) if args.data else made_up(args.series, args.seed)
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
    provenance = _provenance(args, source, cells, pairs)
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


def _cold(source: TrainingData, cell: tuple[float, int], knowledge: Knowledge | None) -> ColdScore:
    """Held-out score of a cell."""
    return cold_score(source.held_out(cell[0]), cell[0], cell[1], knowledge)


def _provenance(
    args: argparse.Namespace,
    source: TrainingData,
    cells: Sequence[tuple[float, int]],
    pairs: Sequence[tuple[ColdScore, ColdScore]],
) -> Provenance:
    """What goes into the manifest."""
    ours, plain = (float(np.exp(np.mean([np.log(pair[i].pinball_ratio) for pair in pairs]))) for i in (0, 1))
    return Provenance(
        name=args.out.resolve().parent.name,
        version=args.out.resolve().name,
        data=source.words,
        data_sha256=source.sha256({step for step, _ in cells}),
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
