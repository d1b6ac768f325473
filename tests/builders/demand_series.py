"""Demand as the forecast tests need it: seeded, a daily wave with noise that grows with the level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import WorkloadKey

DAY = 86_400.0


@dataclass(frozen=True)
class Request:
    """A forecast request as the tick makes it."""

    key: WorkloadKey
    horizon_seconds: float = 900.0
    level: float = 0.95
    model: str | None = None


def daily_wave(days: float, step_seconds: float, seed: int = 0, noise: float = 0.1, level: float = 50.0) -> np.ndarray:
    """Level +- 60 % over the day, times log-normal noise; shape (steps,)."""
    steps = round(days * DAY / step_seconds)
    phase = 2 * np.pi * np.arange(steps) * step_seconds / DAY
    clean = level * (1 + 0.6 * np.sin(phase))
    return np.asarray(clean * np.exp(noise * np.random.default_rng(seed).normal(size=steps)))


def history(values: np.ndarray, step_seconds: float, first_step: int = 0) -> DemandHistory:
    """A history that starts at absolute step ``first_step``."""
    return DemandHistory(first_step * step_seconds, step_seconds, np.asarray(values, dtype=np.float64))


def peaks(values: np.ndarray, horizon: int) -> np.ndarray:
    """Largest of the ``horizon`` values after each, NaN where they are not all there."""
    out = np.full(len(values), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(values, horizon)
    out[: len(values) - horizon] = windows[1:].max(axis=1)
    return out
