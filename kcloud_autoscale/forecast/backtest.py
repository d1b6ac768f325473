"""Rolling-origin evaluation: what each forecaster said at every cutoff, having seen only what came before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, replace

import numpy as np

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.losses import Scores, coverage, mase, over_provision, pinball
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.registry import ENSEMBLES, make_forecaster
from kcloud_autoscale.forecast.replay import replay
from kcloud_autoscale.forecast.ring import BoolArray, FloatArray, IntArray, sliding_max
from kcloud_autoscale.forecast.settings import LEVELS

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
        knowledge: Of a bundle, for the online ensemble; the priors by hand if None.
    """

    unique_id: str
    history: DemandHistory
    model: str
    horizon: int
    first_cutoff: int
    step_size: int = 1
    knowledge: Knowledge | None = None

    def obstacle(self) -> str:
        """Why no window can be judged, in numbers; empty where one can."""
        values, name = self.history.values, self.unique_id
        span = f"{name}: {len(values)} steps of {self.history.step_seconds:g} s"
        if self.horizon >= len(values):
            return f"{span} hold no window of {self.horizon} steps and a step before it"
        least = max(self.first_cutoff, 1) + self.horizon
        if least > len(values):
            return f"{span}; {self.first_cutoff} of training and a window of {self.horizon} need {least}"
        if not len(self.cutoffs()[0]):
            unknown = len(values) - int(self._known().sum())
            return f"{span}, {unknown} of them unknown: no window after the first {self.first_cutoff} is whole"
        return ""

    def cutoffs(self) -> tuple[IntArray, FloatArray]:
        """Last steps seen before each judged window, and the peaks of those windows.

        A window is judged where all of it and the step before it are known.
        """
        known = self._known()
        cutoffs = np.arange(max(self.first_cutoff, 1) - 1, len(known) - self.horizon, self.step_size)
        if not len(cutoffs):
            return cutoffs, np.zeros(0)
        peaks = sliding_max(np.where(known, self.history.values, np.nan)[1:], self.horizon)
        cutoffs = cutoffs[known[cutoffs] & np.isfinite(peaks[cutoffs])]
        return cutoffs, peaks[cutoffs]

    def _known(self) -> BoolArray:
        values = self.history.values
        return np.asarray(np.isfinite(values) & (values >= 0))


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What one model said about the windows of one series.

    Attributes:
        unique_id: Name of the series.
        model: Who.
        cutoff_seconds: Shape (windows,), Unix time of the last instant seen.
        window_seconds: Length of the window.
        spacing_seconds: Between cutoffs where none was left out.
        actual: Shape (windows,), the peak that came, load per second.
        present: Shape (windows,), demand of the last step seen.
        quantiles: Shape (windows, len(LEVELS)).
        microseconds: Per step of the series, learning and forecasting.
    """

    unique_id: str
    model: str
    cutoff_seconds: FloatArray
    window_seconds: float
    spacing_seconds: float
    actual: FloatArray
    present: FloatArray
    quantiles: FloatArray
    microseconds: float

    def scores(self) -> Scores:
        """How it did; the ratio to last value is not known here."""
        judged = self.quantiles[:, JUDGED]
        losses = pinball(self.actual[:, None], self.quantiles, np.array(LEVELS)).mean(axis=0)
        return Scores(
            windows=len(self.actual),
            mase=mase(self.actual, self.quantiles[:, 0], self.present),
            pinball=float(losses[JUDGED]),
            pinball_ratio=float("nan"),
            coverage=coverage(self.actual, judged),
            over_provision=over_provision(self.actual, judged),
            microseconds=self.microseconds,
            pinballs=tuple(losses.tolist()),
            coverages=tuple(coverage(self.actual, said) for said in self.quantiles.T),
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
    cutoffs, actual = task.cutoffs()
    if not len(cutoffs):
        return None
    values = task.history.values
    begin = time.perf_counter()
    quantiles = _said(task, cutoffs)
    spent = time.perf_counter() - begin
    step = task.history.step_seconds
    return Windows(
        unique_id=task.unique_id,
        model=task.model,
        cutoff_seconds=task.history.start_seconds + (cutoffs + 1) * step,
        window_seconds=task.horizon * step,
        spacing_seconds=task.step_size * step,
        actual=actual,
        present=values[cutoffs],
        quantiles=quantiles,
        microseconds=1e6 * spent / len(values),
    )


def _said(task: Task, cutoffs: np.ndarray) -> FloatArray:
    """Quantiles (cutoffs, levels) of the model, fed step by step; the online ensemble in bulk, which is the same."""
    step, values = task.history.step_seconds, task.history.values
    if task.model in ENSEMBLES:
        key, history = WorkloadKey("backtest", task.unique_id), replace(task.history, start_seconds=0.0)
        asked = ENSEMBLES[task.model]
        told = replay(key, history, task.horizon * step, 0, knowledge=task.knowledge, model=asked)
        return np.asarray(told.quantiles[cutoffs - told.first])
    forecaster = make_forecaster(task.model, step, task.horizon)
    rows, at = [], 0
    for cutoff in cutoffs:
        forecaster.learn(values[at : cutoff + 1])
        rows.append(forecaster.quantiles(LEVELS))
        at = cutoff + 1
    return np.array(rows)
