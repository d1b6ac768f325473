"""Rolling-origin evaluation: what each forecaster said at every cutoff, having seen only what came before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.losses import Scores, coverage, mase, over_provision, pinball
from kcloud_autoscale.forecast.registry import make_forecaster
from kcloud_autoscale.forecast.replay import replay
from kcloud_autoscale.forecast.ring import FloatArray, sliding_max
from kcloud_autoscale.forecast.settings import LEVELS

BASE = "last-value"
JUDGED = LEVELS.index(0.95)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One series and one model.

    Attributes:
        unique_id: Name of the series.
        history: All of it.
        model: A name of the registry.
        horizon: Steps of the window whose peak is forecast.
        first_cutoff: Steps before the first window that is judged; they only train.
        step_size: Steps between cutoffs.
    """

    unique_id: str
    history: DemandHistory
    model: str
    horizon: int
    first_cutoff: int
    step_size: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What one model said about the windows of one series.

    Attributes:
        unique_id: Name of the series.
        model: Who.
        cutoff_seconds: Shape (windows,), Unix time of the last instant seen.
        window_seconds: Length of the window.
        actual: Shape (windows,), the peak that came, load per second.
        present: Shape (windows,), demand of the last step seen.
        quantiles: Shape (windows, len(LEVELS)).
        microseconds: Per step of the series, learning and forecasting.
    """

    unique_id: str
    model: str
    cutoff_seconds: FloatArray
    window_seconds: float
    actual: FloatArray
    present: FloatArray
    quantiles: FloatArray
    microseconds: float

    def scores(self) -> Scores:
        """How it did; the ratio to last value is not known here."""
        judged = self.quantiles[:, JUDGED]
        return Scores(
            windows=len(self.actual),
            mase=mase(self.actual, self.quantiles[:, 0], self.present),
            pinball=float(pinball(self.actual, judged, LEVELS[JUDGED]).mean()),
            pinball_ratio=float("nan"),
            coverage=coverage(self.actual, judged),
            over_provision=over_provision(self.actual, judged),
            microseconds=self.microseconds,
        )


def backtest(
    tasks: Sequence[Task], executor: Executor | None = None, done: Callable[[Task], object] = lambda _: None
) -> list[Windows]:
    """Run every task, here or on an executor, and return the results in the order of the tasks.

    Tasks in which no window can be judged are left out.
    """
    results: dict[int, Windows | None] = {}
    if executor is None:
        for index, task in enumerate(tasks):
            results[index] = run_task(task)
            done(task)
    else:
        futures: dict[Future[Windows | None], int] = {
            executor.submit(run_task, task): index for index, task in enumerate(tasks)
        }
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            done(tasks[futures[future]])
    return [found for index in sorted(results) if (found := results[index]) is not None]


def run_task(task: Task) -> Windows | None:
    """Walk the series once, one model; None if no window is complete."""
    values = task.history.values
    known = np.isfinite(values) & (values >= 0)
    cutoffs = np.arange(max(task.first_cutoff, 1) - 1, len(values) - task.horizon, task.step_size)
    if not len(cutoffs):
        return None
    peaks = sliding_max(np.where(known, values, np.nan)[1:], task.horizon)
    cutoffs = cutoffs[known[cutoffs] & np.isfinite(peaks[cutoffs])]
    if not len(cutoffs):
        return None
    begin = time.perf_counter()
    quantiles = _said(task, cutoffs)
    spent = time.perf_counter() - begin
    step = task.history.step_seconds
    return Windows(
        unique_id=task.unique_id,
        model=task.model,
        cutoff_seconds=task.history.start_seconds + (cutoffs + 1) * step,
        window_seconds=task.horizon * step,
        actual=peaks[cutoffs],
        present=values[cutoffs],
        quantiles=quantiles,
        microseconds=1e6 * spent / len(values),
    )


def _said(task: Task, cutoffs: np.ndarray) -> FloatArray:
    """Quantiles (cutoffs, levels) of the model, fed step by step; the online ensemble in bulk, which is the same."""
    step, values = task.history.step_seconds, task.history.values
    if task.model == "online-ensemble":
        key = WorkloadKey("backtest", task.unique_id)
        told = replay(key, replace(task.history, start_seconds=0.0), task.horizon * step, 0)
        return np.asarray(told.quantiles[cutoffs - told.first])
    forecaster = make_forecaster(task.model, step, task.horizon)
    rows, at = [], 0
    for cutoff in cutoffs:
        forecaster.learn(values[at : cutoff + 1])
        rows.append(forecaster.quantiles(LEVELS))
        at = cutoff + 1
    return np.array(rows)


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


def score_table(windows: Sequence[Windows]) -> list[tuple[str, str, Scores]]:
    """(unique_id, model, scores) with each pinball loss relative to calibrated last value's on the same series."""
    plain = [(each.unique_id, each.model, each.scores()) for each in windows]
    base = {series: scores.pinball for series, model, scores in plain if model == BASE}
    return [
        (series, model, replace(scores, pinball_ratio=_ratio(scores.pinball, base.get(series))))
        for series, model, scores in plain
    ]


def _ratio(loss: float, base: float | None) -> float:
    """Loss over the base's; 1 where both are zero, NaN without a base."""
    if base is None:
        return float("nan")
    if base == 0:
        return 1.0 if loss == 0 else float("inf")
    return loss / base


def summary(scores: Sequence[tuple[str, str, Scores]]) -> pd.DataFrame:
    """One row per model: geometric mean and worst of the pinball ratio, means of the rest, over all series."""
    rows = []
    for model in dict.fromkeys(model for _, model, _ in scores):
        mine = [each for _, name, each in scores if name == model]
        ratios = np.array([each.pinball_ratio for each in mine])
        rows.append(
            {
                "model": model,
                "series": len(mine),
                "pinball_ratio": float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-12))))),
                "worst_ratio": float(ratios.max()),
                "coverage": float(np.mean([each.coverage for each in mine])),
                "mase": float(np.mean([each.mase for each in mine])),
                "over_provision": float(np.mean([each.over_provision for each in mine])),
                "microseconds_per_step": float(np.median([each.microseconds for each in mine])),
            }
        )
    return pd.DataFrame(rows)
