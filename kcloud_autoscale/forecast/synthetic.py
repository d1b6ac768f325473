"""Demand as services have it, made up: what the default priors and the default bundle are trained on.

Each series draws its own shape: up to four bumps a day, a weekend, slow and fast noise that grow with the level,
bursts that decay, scheduled kicks, level shifts, idle nights, and counts at rates from a handful to millions a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter

from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Timeline:
    """Days since the start and the step length, for one panel of made-up series."""

    days: FloatArray
    step_seconds: float


def synthetic_demand(series: int, days: float, step_seconds: float, seed: int) -> FloatArray:
    """Made-up demand, shape (series, steps), load per second; the same for the same seed."""
    rng = np.random.default_rng(seed)
    steps = round(days * DAY_SECONDS / step_seconds)
    timeline = Timeline(np.arange(steps) * step_seconds / DAY_SECONDS, step_seconds)
    return np.stack([_one(rng, timeline) for _ in range(series)])


def _one(rng: Generator, timeline: Timeline) -> FloatArray:
    """One series: a log profile plus noises, exponentiated, bursts added, counted."""
    log_demand = _daily_profile(rng, timeline) + _weekend(rng, timeline) + _wander(rng, timeline)
    log_demand += _level_shifts(rng, timeline)
    demand = np.exp(log_demand)
    demand *= 1.0 + _bursts(rng, timeline) + _kicks(rng, timeline)
    if rng.random() < 0.15:
        demand = _plateaus(rng, demand)
    if rng.random() < 0.12:
        demand[_idle(rng, timeline)] = 0.0
    return _counted(rng, timeline, demand)


def _daily_profile(rng: Generator, timeline: Timeline) -> FloatArray:
    """Up to four bumps of the day, in log units; one series in eight has no rhythm at all."""
    profile = np.zeros_like(timeline.days)
    if rng.random() < 0.125:
        return profile
    clock = timeline.days % 1.0
    for _ in range(rng.integers(1, 5)):
        distance = np.abs((clock - rng.random() + 0.5) % 1.0 - 0.5)
        width = rng.uniform(0.03, 0.3)
        profile += rng.uniform(0.1, 1.5) * np.exp(-0.5 * (distance / width) ** 2)
    return np.asarray(profile)


def _weekend(rng: Generator, timeline: Timeline) -> FloatArray:
    """A lower level on two days of seven, for half of the series."""
    shift = rng.uniform(-1.2, 0.2) if rng.random() < 0.5 else 0.0
    return np.where((timeline.days + rng.integers(0, 7)) % 7.0 >= 5.0, shift, 0.0)


def _wander(rng: Generator, timeline: Timeline) -> FloatArray:
    """Autoregressive noise with memories of minutes, an hour and a day, plus noise without memory."""
    total = np.zeros_like(timeline.days)
    for memory_seconds, most in ((600.0, 0.15), (3_600.0, 0.25), (DAY_SECONDS, 0.3)):
        keep = np.exp(-timeline.step_seconds / memory_seconds)
        scale = rng.uniform(0.0, most) * rng.random()
        total += _autoregressive(rng.normal(size=len(total)) * scale * np.sqrt(1.0 - keep**2), float(keep))
    sharp = np.exp(rng.uniform(np.log(0.005), np.log(0.3)))
    return np.asarray(total + sharp * rng.normal(size=len(total)))


def _autoregressive(shocks: FloatArray, keep: float) -> FloatArray:
    """``x[t] = keep x[t-1] + shock[t]``."""
    return np.asarray(lfilter([1.0], [1.0, -keep], shocks))


def _level_shifts(rng: Generator, timeline: Timeline) -> FloatArray:
    """Lasting changes, about one every ten days for a third of the series."""
    shifts = np.zeros_like(timeline.days)
    if rng.random() < 0.33:
        for _ in range(rng.poisson(timeline.days[-1] / 10.0)):
            shifts[rng.integers(0, len(shifts)) :] += rng.normal() * 0.5
    return shifts


def _bursts(rng: Generator, timeline: Timeline) -> FloatArray:
    """Unforeseeable bursts that decay over minutes to hours, for half of the series."""
    bursts = np.zeros_like(timeline.days)
    if rng.random() < 0.5:
        size, memory_seconds = np.exp(rng.uniform(-1.5, 1.5)), np.exp(rng.uniform(np.log(120.0), np.log(7_200.0)))
        for _ in range(rng.poisson(rng.uniform(0.2, 8.0) * timeline.days[-1])):
            bursts[rng.integers(0, len(bursts))] += rng.exponential(size)
        bursts = _autoregressive(bursts, float(np.exp(-timeline.step_seconds / memory_seconds)))
    return bursts


def _kicks(rng: Generator, timeline: Timeline) -> FloatArray:
    """Scheduled waves at fixed times of the day, for a quarter of the series."""
    kicks = np.zeros_like(timeline.days)
    if rng.random() < 0.25:
        seconds = (timeline.days % 1.0) * DAY_SECONDS
        for _ in range(rng.integers(1, 4)):
            since = (seconds - rng.uniform(0.0, DAY_SECONDS)) % DAY_SECONDS
            ramp, hold = rng.uniform(30.0, 1_800.0), rng.uniform(300.0, 7_200.0)
            shape = np.clip(np.minimum(since / ramp, (2 * ramp + hold - since) / ramp), 0.0, 1.0)
            kicks += rng.uniform(0.2, 3.0) * shape
    return kicks


def _plateaus(rng: Generator, demand: FloatArray) -> FloatArray:
    """Demand that is set, not fluctuating: a few whole units held for a while, as allocations are."""
    units = rng.integers(4, 60)
    held = np.round(demand / demand.max() * units)
    hold = int(rng.integers(2, 30))
    return np.asarray(np.repeat(held[::hold], hold)[: len(demand)])


def _idle(rng: Generator, timeline: Timeline) -> FloatArray:
    """Hours of every day without any demand."""
    begin, length = rng.random(), rng.uniform(0.1, 0.7)
    return np.asarray((timeline.days - begin) % 1.0 < length)


def _counted(rng: Generator, timeline: Timeline, demand: FloatArray) -> FloatArray:
    """Poisson counts per step, divided by its length: rates from three a step to three million."""
    per_step = np.exp(rng.uniform(np.log(3.0), np.log(3e6)))
    expected = demand / max(float(demand.mean()), 1e-12) * per_step
    return np.asarray(rng.poisson(np.minimum(expected, 1e12)) / timeline.step_seconds)
