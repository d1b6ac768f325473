"""Runs in the peers' own environment: ``python peer_fit.py IN.npz OUT.npz``; knows nothing of this project.

IN holds ``values`` (steps,), ``seen`` (cutoffs,), ``horizon``, ``day`` and ``step_seconds``; OUT one array
(cutoffs, 3) per model: the largest median of the window's steps, their largest 0.95 quantile, seconds of fitting and
forecasting. Every model is used as its documentation does it, fitted anew at each cutoff on at most a week.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

LEVEL = 90  # its upper end is the 0.95 quantile
WEEK = 7


def main() -> None:
    """Fit every model at every cutoff."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    given = np.load(sys.argv[1])
    values, day, horizon = given["values"], int(given["day"]), int(given["horizon"])
    found = {}
    for name, model in _models(day, float(given["step_seconds"])).items():
        model(values[: 2 * day], horizon)  # compiles and imports, which no user pays at each fit
        rows = []
        for seen in given["seen"]:
            began = time.perf_counter()
            median, upper = model(values[max(0, seen - WEEK * day) : seen], horizon)
            rows.append((median, upper, time.perf_counter() - began))
        found[name] = np.array(rows)
    np.savez(sys.argv[2], **found)  # type: ignore[arg-type]


Model = Callable[[np.ndarray, int], tuple[float, float]]


def _models(day: int, step_seconds: float) -> dict[str, Model]:
    from statsforecast.models import MSTL, AutoARIMA, AutoETS  # type: ignore[import-not-found]

    # Longer seasons than 24 are beyond AutoETS, and take AutoARIMA hours: there the day is left to MSTL.
    return {
        "statsforecast AutoETS": _nixtla(lambda: AutoETS(season_length=1)),
        "statsforecast AutoARIMA": _nixtla(lambda: AutoARIMA(season_length=1)),
        "statsforecast MSTL": _nixtla(lambda: MSTL(season_length=day, trend_forecaster=AutoETS(model="ZZN"))),
        "prophet": lambda past, horizon: _prophet(past, horizon, step_seconds),
    }


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
