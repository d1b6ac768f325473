"""What the backtest's report says of one series, and of all together: scores by level, loss by hour and by day."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from kcloud_autoscale.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from kcloud_autoscale.forecast.backtest import JUDGED, Windows
from kcloud_autoscale.forecast.losses import Scores, pinball
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.scoreboard import BASE, Scored, geometric_mean, ratio
from kcloud_autoscale.forecast.settings import LEVELS
from kcloud_autoscale.report.page import drawable
from kcloud_autoscale.report.phrases import amount, share

ALL = "all series"
COLUMNS = (
    "model",
    "MASE",
    "loss / last value",
    "worst",
    "coverage of 0.95",
    "over-provision at 5 % risk",
    "µs per step",
)


def scope_of_all(models: Sequence[str], scores: Sequence[Scored], scopes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All series: geometric means of ratios, means of coverage, medians of the rest."""
    by_model = {model: [each for _, name, each in scores if name == model] for model in models}
    base = {series: each for series, model, each in scores if model == BASE}
    ratios = {model: _level_ratios(scores, model, base) for model in models}
    cells = [
        _cells(
            model,
            float(np.median([each.mase for each in mine])),
            ratios[model][JUDGED],
            max(each.pinball_ratio for each in mine),
            float(np.mean([each.coverage for each in mine])),
            float(np.median([each.over_provision for each in mine])),
            float(np.median([each.microseconds for each in mine])),
        )
        for model, mine in by_model.items()
    ]
    return {
        "name": ALL,
        "windows": sum(each.windows for each in base.values()),
        "cells": cells,
        "ratios": [drawable(each) for each in ratios.values()],
        "losses": None,
        **_coverage([np.mean([each.coverages for each in mine], axis=0) for mine in by_model.values()]),
        "hours": _mean_of([scope["hours"] for scope in scopes]),
        **_days_of_all(scopes),
    }


def _level_ratios(scores: Sequence[Scored], model: str, base: Mapping[str, Scores]) -> list[float]:
    """Geometric mean over series of a model's loss over the base's, per level."""
    losses = [(each.pinballs, base[series].pinballs) for series, name, each in scores if name == model]
    return [
        geometric_mean([ratio(mine[level], plain[level]) for mine, plain in losses]) for level in range(len(LEVELS))
    ]


def scope_of_series(windows: Sequence[Windows], scores: Sequence[Scored]) -> dict[str, Any]:
    """One series, all its models in one order."""
    base = next(each for _, model, each in scores if model == BASE)
    unit = base.pinball or 1.0
    losses = [pinball(each.actual, each.quantiles[:, JUDGED], LEVELS[JUDGED]) / unit for each in windows]
    seconds = windows[0].cutoff_seconds
    hour = (seconds // SECONDS_PER_HOUR % 24).astype(np.int64)
    day = (seconds // SECONDS_PER_DAY).astype(np.int64)
    return {
        "name": windows[0].unique_id,
        "windows": base.windows,
        "cells": [
            _cells(model, each.mase, each.pinball_ratio, None, each.coverage, each.over_provision, each.microseconds)
            for _, model, each in scores
        ],
        "ratios": [drawable(map(ratio, each.pinballs, base.pinballs)) for _, _, each in scores],
        "losses": [drawable(each.pinballs) for _, _, each in scores],
        **_coverage([np.array(each.coverages) for _, _, each in scores]),
        "hours": [drawable(_binned(each, hour, 24)) for each in losses],
        "first_day": int(day[0]),
        "days": [drawable(_binned(each, day - day[0], int(day[-1] - day[0]) + 1)) for each in losses],
    }


def _cells(
    model: str,
    mase: float,
    loss_ratio: float,
    worst_ratio: float | None,
    covered: float,
    spare: float,
    microseconds: float,
) -> list[str]:
    """A row under `COLUMNS`."""
    worst = "" if worst_ratio is None else amount(worst_ratio, 3)
    numbers = [amount(mase, 3), amount(loss_ratio, 3), worst, share(covered, 1), share(spare, 1)]
    return [model, *numbers, amount(microseconds, 0)]


def _coverage(coverages: Sequence[FloatArray]) -> dict[str, Any]:
    """Per model and level, and as normal scores: on that scale 0.95 and 0.99 stand apart."""
    return {
        "coverages": [drawable(each) for each in coverages],
        "coverage_scores": [drawable(normal_scores(each)) for each in coverages],
    }


def normal_scores(shares: Sequence[float] | FloatArray) -> FloatArray:
    """Normal scores of shares; none and all, which have none, are drawn at 0.1 and 99.95 %."""
    return np.asarray(ndtri(np.clip(shares, 0.001, 0.9995)))


def _binned(values: FloatArray, bins: np.ndarray, count: int) -> FloatArray:
    """Mean per bin, NaN where it is empty."""
    total = np.bincount(bins, values, minlength=count)
    many = np.bincount(bins, minlength=count)
    return np.asarray(np.where(many > 0, total / np.maximum(many, 1), np.nan))


def _mean_of(profiles: Sequence[Sequence[Sequence[float | None]]]) -> list[list[float | None]]:
    """Mean over series of (models, bins), of those that have the bin."""
    stacked = np.array(profiles, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an hour in which no series has a window
        return [drawable(each) for each in np.nanmean(stacked, axis=0)]


def _days_of_all(scopes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Days of all series on one calendar."""
    first = min(scope["first_day"] for scope in scopes)
    last = max(scope["first_day"] + len(scope["days"][0]) for scope in scopes)
    laid = []
    for scope in scopes:
        own = np.array(scope["days"], dtype=np.float64)
        wide = np.full((len(own), last - first), np.nan)
        wide[:, scope["first_day"] - first : scope["first_day"] - first + own.shape[1]] = own
        laid.append(wide.tolist())
    return {"first_day": first, "days": _mean_of(laid)}
