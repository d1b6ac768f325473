"""Runs in the environment of a family of models: ``python peer_fit.py FAMILY IN.npz OUT.npz``, FAMILY being
``scikit-learn`` or ``others``; knows nothing of this project.

IN holds ``values`` (steps,), ``seen`` (cutoffs,), ``horizon``, ``day`` and ``step_seconds``; OUT one array
(cutoffs, 4) per model: median and 0.95 quantile of the window's peak, seconds of fitting and forecasting by the wall's
clock and by the processor's. Models of single steps say the largest of each over the window. Every model is used as
its documentation does it, fitted anew at each cutoff on at most a week. ``peak_mib`` is the most memory that the
process held.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

LEVEL = 90  # its upper end is the 0.95 quantile
WEEK = 7


def main() -> None:
    """Fit every model at every cutoff."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    family, source, target = sys.argv[1:]
    given = np.load(source)
    values, day, horizon = given["values"], int(given["day"]), int(given["horizon"])
    found = {}
    models = _models(family, day, float(given["step_seconds"]))
    for name, model in models.items():
        model(values[: 2 * day], horizon)  # compiles and imports, which no user pays at each fit
        rows = []
        for seen in given["seen"]:
            began, busy = time.perf_counter(), time.process_time()
            median, upper = model(values[max(0, seen - WEEK * day) : seen], horizon)
            rows.append((median, upper, time.perf_counter() - began, time.process_time() - busy))
        found[name] = np.array(rows)
    np.savez(target, peak_mib=_peak_mib(), **found)  # type: ignore[arg-type]


def _peak_mib() -> float:
    """getrusage would count what the parent held when it forked."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024.0


Model = Callable[[np.ndarray, int], tuple[float, float]]


def _models(family: str, day: int, step_seconds: float) -> dict[str, Model]:
    if family == "scikit-learn":
        return {"scikit-learn boosting": _boosting(day)}
    from statsforecast.models import MSTL, AutoARIMA, AutoETS  # type: ignore[import-not-found]

    # Longer seasons than 24 are beyond AutoETS, and take AutoARIMA hours: there the day is left to MSTL.
    return {
        "statsforecast AutoETS": _nixtla(lambda: AutoETS(season_length=1)),
        "statsforecast AutoARIMA": _nixtla(lambda: AutoARIMA(season_length=1)),
        "statsforecast MSTL": _nixtla(lambda: MSTL(season_length=day, trend_forecaster=AutoETS(model="ZZN"))),
        "prophet": lambda past, horizon: _prophet(past, horizon, step_seconds),
    }


def _boosting(day: int, lags: int = 12) -> Model:
    """Gradient boosting of one series: its last steps, the same window yesterday and the time of day."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    def fit(past: np.ndarray, horizon: int) -> tuple[float, float]:
        peaks = np.lib.stride_tricks.sliding_window_view(past, horizon).max(axis=1)  # of the steps from each one on
        origins = np.arange(day - 1, len(past))
        recent = np.lib.stride_tricks.sliding_window_view(past, lags)[origins - lags + 1]
        yesterday = peaks[np.minimum(origins + 1 - day, len(peaks) - 1)]
        angle = 2 * np.pi * (origins % day) / day
        rows = np.column_stack([recent, yesterday, np.sin(angle), np.cos(angle)])
        targets, known = peaks[origins[:-horizon] + 1], len(origins) - horizon
        said = []
        for quantile in (0.5, 0.95):
            model = HistGradientBoostingRegressor(loss="quantile", quantile=quantile, early_stopping=False)
            said.append(float(model.fit(rows[:known], targets).predict(rows[-1:])[0]))
        return said[0], max(said)

    return fit


def _nixtla(make: Callable[[], object]) -> Model:
    def fit(past: np.ndarray, horizon: int) -> tuple[float, float]:
        said = make().forecast(y=past, h=horizon, level=[LEVEL])  # type: ignore[attr-defined]
        return float(said["mean"].max()), float(said[f"hi-{LEVEL}"].max())

    return fit


def _prophet(past: np.ndarray, horizon: int, step_seconds: float) -> tuple[float, float]:
    import pandas as pd
    from prophet import Prophet  # type: ignore[import-not-found]

    ds = pd.Timestamp("2026-01-05") + pd.to_timedelta(step_seconds * np.arange(len(past) + horizon), unit="s")
    model = Prophet(interval_width=LEVEL / 100)
    model.fit(pd.DataFrame({"ds": ds[: len(past)], "y": past}))
    said = model.predict(pd.DataFrame({"ds": ds[len(past) :]}))
    return float(said["yhat"].max()), float(said["yhat_upper"].max())


if __name__ == "__main__":
    main()
