"""A backtest as one self-contained HTML file: who forecasts best, how honestly, when and where not."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from kcloud_autoscale.forecast.artifacts import LIBRARIES
from kcloud_autoscale.forecast.backtest import JUDGED, Windows
from kcloud_autoscale.forecast.scoreboard import BASE, Scored, score_table, summary
from kcloud_autoscale.forecast.settings import LEVELS
from kcloud_autoscale.report.backtest_drawing import LINES_PER_MODEL, drawing
from kcloud_autoscale.report.backtest_scopes import COLUMNS, normal_scores, scope_of_all, scope_of_series
from kcloud_autoscale.report.page import drawable, write_page
from kcloud_autoscale.report.phrases import amount, duration, share
from kcloud_autoscale.simulate.trace_rows import Trace

# Of a fleet the series with the largest loss are shown: half a million numbers are 4 MB.
_MOST_LISTED, _MOST_LISTED_NUMBERS = 400, 150_000
_MOST_DRAWN, _MOST_DRAWN_NUMBERS = 40, 300_000
_MOST_POINTS, _FEWEST_POINTS = 20_000, 300


def write_report(path: Path, windows: Sequence[Windows], traces: Sequence[Trace], command: Sequence[str]) -> None:
    """Write the report; the first model is the one it tells about.

    Args:
        path: HTML file.
        windows: Of every series the same models in the same order, calibrated last value among them.
        traces: The series, by name.
        command: What was run, to be run again.
    """
    write_page(path, "backtest", _data(windows, {trace.name: trace for trace in traces}, command))


def _data(windows: Sequence[Windows], traces: Mapping[str, Trace], command: Sequence[str]) -> dict[str, Any]:
    scores = score_table(windows)
    models = list(dict.fromkeys(each.model for each in windows))
    said = {name: list(each) for name, each in groupby(windows, lambda each: each.unique_id)}
    scored = {name: list(each) for name, each in groupby(scores, lambda each: each[0])}
    worst_first = sorted(said, key=lambda name: -scored[name][0][2].pinball_ratio)
    scopes = [scope_of_series(said[name], scored[name]) for name in worst_first]
    everything = scope_of_all(models, scores, scopes)
    shown = scopes[: _listed(everything)]
    drawn = worst_first[: min(_MOST_DRAWN, len(shown))]
    points = _MOST_DRAWN_NUMBERS // (len(drawn) * (2 + LINES_PER_MODEL * len(models)))
    points = min(_MOST_POINTS, max(_FEWEST_POINTS, points))
    return {
        "title": f"{_counted(len(said), 'series', 'series')}, {_counted(len(models), 'model', 'models')}",
        "subtitle": _subtitle(windows, everything["windows"]),
        "facts": _facts(scores, models),
        "models": models,
        "columns": COLUMNS,
        "levels": LEVELS,
        "judged": JUDGED,
        "level_scores": drawable(normal_scores(LEVELS)),
        "series": len(said),
        "scopes": [everything, *shown] if len(said) > 1 else shown,
        "drawings": [drawing(said[name], points) for name in drawn],
        "relative": all(not traces[name].start_seconds for name in said),
        "parameters": _parameters(windows, [traces[name] for name in said], command),
    }


def _listed(scope: Mapping[str, Any]) -> int:
    """How many series fit; each has as many numbers per model as all series together."""
    levels, hours, days = 4 * len(LEVELS), len(scope["hours"][0]), len(scope["days"][0])
    return max(1, min(_MOST_LISTED, _MOST_LISTED_NUMBERS // (len(scope["hours"]) * (levels + hours + days))))


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _subtitle(windows: Sequence[Windows], judged: int) -> str:
    """What was asked of every model."""
    lengths = sorted({each.window_seconds for each in windows})
    shown = " or ".join(f"{seconds:g}" for seconds in lengths)
    return (
        f"Each model forecast the peak of the next {shown} s at {judged:,} cutoffs, knowing only what came before. "
        f"Losses are relative to {BASE} with the same calibration: below 1 is better."
    )


def _facts(scores: Sequence[Scored], models: Sequence[str]) -> list[tuple[str, str]]:
    """The few numbers a reader came for."""
    table = {str(row["model"]): row for row in summary(scores).to_dict("records")}
    best = min(table, key=lambda model: float(table[model]["pinball_ratio"]))
    first, ours, base = models[0], table[models[0]], table[BASE]
    spare = "" if first == BASE else f"; {BASE} {share(base['over_provision'], 0)}"
    facts = [
        (amount(table[best]["pinball_ratio"], 2), f"of last value's loss: {best}, the best of {len(models)}"),
        (share(ours["coverage"], 1), f"of peaks at or below the 0.95 quantile of {first}"),
        (share(ours["over_provision"], 0), f"spare capacity at 5 % missed windows: {first}{spare}"),
    ]
    mine = [each for each in scores if each[1] == first]
    if len(mine) > 1:
        worst = max(mine, key=_ratio_of)
        facts.append((amount(worst[2].pinball_ratio, 2), f"of last value's loss where {first} is worst: {worst[0]}"))
    return facts


def _ratio_of(scored: Scored) -> float:
    return scored[2].pinball_ratio


def _versions(libraries: Iterable[str]) -> Iterator[str]:
    """Of those that are here: scikit-learn is for training alone."""
    for name in libraries:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


def _parameters(windows: Sequence[Windows], traces: Sequence[Trace], command: Sequence[str]) -> str:
    """What it takes to repeat the run, on the same data."""
    together = hashlib.sha256("".join(trace.sha256 for trace in traces).encode()).hexdigest()
    lines = [
        shlex.join(command),
        ", ".join(_versions((*LIBRARIES[::-1], "statsmodels"))),
        f"quantiles {', '.join(f'{level:g}' for level in LEVELS)}; sha256 of all data {together}",
        *(_told(trace, windows) for trace in traces[:_MOST_LISTED]),
    ]
    return "\n".join(lines)


def _told(trace: Trace, windows: Sequence[Windows]) -> str:
    """One series: its data, and what of it was judged."""
    mine = next(each for each in windows if each.unique_id == trace.name)
    trained = duration(float(mine.cutoff_seconds[0]) - trace.start_seconds)
    known = float(np.isfinite(trace.demand).mean())
    parts = [
        f"{trace.name}: {len(trace.demand)} steps of {trace.step_seconds:g} s from {trace.start_seconds:.0f}",
        f"{known:.2%} known, first judged after {trained}, a cutoff every {mine.spacing_seconds:g} s",
        f"sha256 {trace.sha256}",
        *trace.repairs,
    ]
    return "; ".join(parts)
