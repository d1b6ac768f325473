"""What a backtest found, as tables: tidy forecasts, scores of each series, a line per model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from kcloud_autoscale.forecast.backtest import Windows
from kcloud_autoscale.forecast.losses import Scores
from kcloud_autoscale.forecast.settings import LEVELS

BASE = "last-value"
"""The model whose loss is 1, with rolling conformal offsets like all others."""

Scored = tuple[str, str, Scores]
"""Series, model, scores."""


def forecast_frame(windows: Sequence[Windows]) -> pd.DataFrame:
    """Tidy forecasts: unique_id, ds (end of the window), cutoff, y, model, and a column per quantile."""
    frames = []
    for each in windows:
        cutoff = pd.to_datetime(each.cutoff_seconds, unit="s", utc=True)
        frame = pd.DataFrame(
            {
                "unique_id": each.unique_id,
                "ds": cutoff + pd.Timedelta(seconds=each.window_seconds),
                "cutoff": cutoff,
                "y": each.actual,
                "model": each.model,
            }
        )
        for index, level in enumerate(LEVELS):
            frame[f"q{level:g}"] = each.quantiles[:, index]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def score_table(windows: Sequence[Windows]) -> list[Scored]:
    """(unique_id, model, scores) with each pinball loss relative to calibrated last value's on the same series."""
    plain = [(each.unique_id, each.model, each.scores()) for each in windows]
    base = {series: scores.pinball for series, model, scores in plain if model == BASE}
    return [
        (series, model, replace(scores, pinball_ratio=ratio(scores.pinball, base.get(series))))
        for series, model, scores in plain
    ]


def ratio(loss: float, base: float | None) -> float:
    """Loss over the base's; 1 where both are zero, NaN without a base."""
    if base is None:
        return float("nan")
    if base == 0:
        return 1.0 if loss == 0 else float("inf")
    return loss / base


def scores_frame(scores: Sequence[Scored]) -> pd.DataFrame:
    """A row per series and model, with a column per level for pinball loss and coverage."""
    rows = []
    for series, model, each in scores:
        row = {"unique_id": series, "model": model, **asdict(each)}
        for name, values in (("pinball", row.pop("pinballs")), ("coverage", row.pop("coverages"))):
            row |= {f"{name}_q{level:g}": value for level, value in zip(LEVELS, values, strict=True)}
        rows.append(row)
    return pd.DataFrame(rows)


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of ratios, 1e-12 at least: a half and a double are 1."""
    return float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-12)))))


def summary(scores: Sequence[Scored]) -> pd.DataFrame:
    """One row per model over all series: geometric mean and worst of the pinball ratio, mean coverage, else medians.

    Where last value never errs MASE is infinite: a mean would be infinite for the sake of one such series.
    """
    rows = []
    for model in dict.fromkeys(model for _, model, _ in scores):
        mine = [each for _, name, each in scores if name == model]
        ratios = [each.pinball_ratio for each in mine]
        rows.append(
            {
                "model": model,
                "series": len(mine),
                "pinball_ratio": geometric_mean(ratios),
                "worst_ratio": float(np.max(ratios)),
                "coverage": float(np.mean([each.coverage for each in mine])),
                "mase": float(np.median([each.mase for each in mine])),
                "over_provision": float(np.median([each.over_provision for each in mine])),
                "microseconds_per_step": float(np.median([each.microseconds for each in mine])),
            }
        )
    return pd.DataFrame(rows)
