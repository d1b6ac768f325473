"""What `train` learns from and is judged on: made-up demand, or one's own traces. The two parts share no series."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import DAY_SECONDS, steps_in
from kcloud_autoscale.forecast.synthetic import synthetic_demand
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.traces import read_files

# Steps of 10 s for a day and a half, of half an hour for three weeks: the week is in what has the steps for it.
_DAYS = {10.0: 1.5, 60.0: 9.0, 300.0: 15.0, 600.0: 15.0, 1_800.0: 21.0}
_MADE_UP = "{series} made-up series per step length, seed {seed} (kcloud_autoscale.forecast.synthetic)"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Where demand comes from: training and held-out series (series, steps) at a step length."""

    words: str
    window: str
    train: Callable[[float], FloatArray]
    held_out: Callable[[float], FloatArray]

    def sha256(self, steps_seconds: Iterable[float]) -> str:
        """Of the demand trained on at these step lengths.

        Seven digits of each number: the eighth differs between processors' sines.
        """
        digest = hashlib.sha256()
        for step in sorted(steps_seconds):
            digest.update("\n".join(f"{value:.6e}" for value in self.train(step).ravel()).encode())
        return digest.hexdigest()


def made_up(series: int, seed: int) -> TrainingData:
    """Synthetic demand; the held-out series have the next seed."""
    if series < 1:
        raise ConfigError(f"--series is {series}, must be at least 1")

    def demand(seed: int, step_seconds: float) -> FloatArray:
        return synthetic_demand(series, _days(step_seconds), step_seconds, seed)

    return TrainingData(
        words=_MADE_UP.format(series=series, seed=seed),
        window="; ".join(f"{days:g} days at {step:g} s" for step, days in _DAYS.items()),
        train=functools.cache(functools.partial(demand, seed)),
        held_out=functools.cache(functools.partial(demand, seed + 1)),
    )


def made_up_again(words: str) -> TrainingData | None:
    """The data that a manifest tells of in these words, if it can be made anew."""
    pattern = re.escape(_MADE_UP).replace(r"\{series\}", r"(\d+)").replace(r"\{seed\}", r"(\d+)")
    found = re.fullmatch(pattern, words)
    return None if found is None else made_up(int(found[1]), int(found[2]))


def from_files(paths: Sequence[Path], column: str | None, cells: Sequence[tuple[float, int]]) -> TrainingData:
    """Traces, each cut into windows of equal length; every fourth window is held out.

    Raises:
        ConfigError: A file cannot be used, there is too little, or a cell's step does not fit a file's.
    """
    traces = read_files(paths, column)
    steps = {step for step, _ in cells}
    for trace in traces:
        for step in sorted(steps):
            _check_fit(trace, step)
    cached = functools.cache(functools.partial(_windows, traces))
    for step in sorted(steps):
        if len(cached(step)) < 4:
            raise ConfigError(
                f"--data: {len(cached(step))} windows of up to {_days(step):g} days at {step:g} s; "
                "at least 4 are needed to train and to hold out"
            )
    return TrainingData(
        words="; ".join(f"{trace.name} (sha256 {trace.sha256[:12]})" for trace in traces),
        window="; ".join(
            f"{len(cached(step))} windows of up to {_days(step):g} days at {step:g} s" for step in sorted(steps)
        ),
        train=lambda step: np.delete(cached(step), np.s_[3::4], axis=0),
        held_out=lambda step: cached(step)[3::4],
    )


def _days(step_seconds: float) -> float:
    """History per step length; that of the nearest listed one."""
    return _DAYS[min(_DAYS, key=lambda step: abs(np.log(step / step_seconds)))]


def _check_fit(trace: Trace, step_seconds: float) -> None:
    """Whole rows make a step; of a step shorter than a row nothing can be learned."""
    rows = step_seconds / trace.step_seconds
    if rows < 1.0 - 1e-9 or abs(rows - round(rows)) > 1e-6:
        raise ConfigError(
            f"--cells: steps of {step_seconds:g} s are no multiple of the {trace.step_seconds:g} s between the rows "
            f"of {trace.name}"
        )


def _windows(traces: Sequence[Trace], step_seconds: float) -> FloatArray:
    """Shape (windows, steps): as many as each trace gives, as long as the shortest."""
    length = steps_in(_days(step_seconds) * DAY_SECONDS, step_seconds)
    pieces = []
    for trace in traces:
        demand = _coarser(trace.demand, round(step_seconds / trace.step_seconds))
        whole = min(length, len(demand))
        pieces += [demand[at : at + whole] for at in range(0, len(demand) - whole + 1, whole)]
    shortest = min(len(piece) for piece in pieces)
    return np.stack([piece[-shortest:] for piece in pieces])


def _coarser(demand: FloatArray, factor: int) -> FloatArray:
    """Means of ``factor`` steps, gaps filled with what was last known (training wants whole series)."""
    known = np.where(np.isfinite(demand), np.arange(len(demand)), 0)
    filled = np.nan_to_num(demand[np.maximum.accumulate(known)])
    return np.asarray(filled[: len(filled) // factor * factor].reshape(-1, factor).mean(axis=1))
