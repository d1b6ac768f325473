"""Demand over time: requests per second as a pure function of the instant, with the rhythms of real traffic."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hack.load.chance import Floats, normal, smooth_normal, uniform

# Independent streams of chance, one per ingredient, so that changing one ingredient moves no other.
_FAST_NOISE, _SLOW_NOISE, _BURST, _RAMP = 1, 2, 3, 4
_BURST_SLOTS_PER_DAY = 48


class Demand(Protocol):
    """Whatever says how many requests per second arrive at an instant; NaN where nobody was measuring."""

    def sample(self, times_seconds: Floats) -> Floats:
        """Requests per second at each instant (seconds since the epoch), shape of `times_seconds`."""
        ...


@dataclass(frozen=True, slots=True)
class Ramp:
    """A recurring wave of clients: at the same clock time of every period, more or less, up, held, and down again.

    Jitter is what makes it a forecast and not a timetable: each occurrence starts a normal number of seconds early or
    late (never more than two standard deviations) and is higher or lower by its own factor.
    """

    start_seconds: float  # into the period, from the shape's origin
    height_per_second: float
    rise_seconds: float
    hold_seconds: float
    fall_seconds: float
    period_seconds: float = 86_400.0
    start_jitter_seconds: float = 0.0
    height_jitter_fraction: float = 0.0

    @property
    def length_seconds(self) -> float:
        return self.rise_seconds + self.hold_seconds + self.fall_seconds

    def occurrence_start_seconds(self, occurrence: int, seed: int) -> float:
        """When the given occurrence begins, in seconds after the shape's origin."""
        starts, _ = self._draw(np.array([occurrence]), seed)
        return float(starts[0])

    def at(self, since_origin_seconds: Floats, seed: int) -> Floats:
        """The wave alone, requests per second."""
        nearest = np.floor((since_origin_seconds - self.start_seconds) / self.period_seconds).astype(np.int64)
        total = np.zeros_like(since_origin_seconds)
        for neighbour in (nearest, nearest + 1):  # the next one may start early
            starts, heights = self._draw(neighbour, seed)
            total += heights * self._wave(since_origin_seconds - starts)
        return total

    def _draw(self, occurrence: np.ndarray, seed: int) -> tuple[Floats, Floats]:
        late = self.start_jitter_seconds * np.clip(normal(seed, _RAMP, occurrence), -2, 2)
        taller = 1 + self.height_jitter_fraction * np.clip(normal(seed + 1, _RAMP, occurrence), -2, 2)
        return self.start_seconds + occurrence * self.period_seconds + late, self.height_per_second * taller

    def _wave(self, elapsed_seconds: Floats) -> Floats:
        up = np.clip(elapsed_seconds / self.rise_seconds, 0, 1)
        down = np.clip((self.length_seconds - elapsed_seconds) / self.fall_seconds, 0, 1)
        return np.minimum(_smoothstep(up), _smoothstep(down))


@dataclass(frozen=True, slots=True)
class FlashCrowd:
    """A crowd nobody could foresee: up in seconds, gone over minutes, once."""

    at_seconds: float  # since the epoch
    height_fraction: float  # of the level it meets
    rise_seconds: float = 20.0
    decay_seconds: float = 300.0

    def at(self, times_seconds: Floats) -> Floats:
        """The crowd as a fraction of the level, 0 before it comes."""
        elapsed = times_seconds - self.at_seconds
        rise = np.clip(elapsed / self.rise_seconds, 0, 1)
        fading = np.exp(-np.maximum(elapsed - self.rise_seconds, 0) / self.decay_seconds)
        return np.asarray(self.height_fraction * rise * fading)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time of which no record exists: the collector was away. Missing, not zero."""

    start_seconds: float  # since the epoch
    length_seconds: float


@dataclass(frozen=True, slots=True)
class DemandShape:
    """Generated demand: level × trend × daily × weekly rhythm + waves, × noise, × bursts and crowds, with holes.

    Noise is log-normal around the level (its mean is the level), so it grows with the level and demand is never
    negative.
    """

    level_per_second: float = 40.0
    origin_seconds: float = 345_600.0  # midnight of a Monday, since the epoch: 1970-01-05
    day_seconds: float = 86_400.0  # shorter for a rhythm one can watch
    daily_fraction: float = 0.4  # 0.4: 40 % above the mean at the peak hour, 40 % below twelve hours later
    peak_hour: float = 14.0
    weekend_fraction: float = 0.7  # of a working day
    trend_fraction_per_day: float = 0.0
    noise_fraction: float = 0.05
    noise_seconds: float = 20.0
    bursts_per_day: float = 0.0
    burst_fraction: float = 0.5
    burst_seconds: float = 120.0
    ramps: tuple[Ramp, ...] = ()
    crowds: tuple[FlashCrowd, ...] = ()
    gaps: tuple[Gap, ...] = ()
    seed: int = 1

    def sample(self, times_seconds: Floats) -> Floats:
        """Requests per second at each instant; NaN inside gaps."""
        times = np.asarray(times_seconds, dtype=np.float64)
        since = times - self.origin_seconds
        calm = self._calm(since)
        crowds = sum((crowd.at(times) for crowd in self.crowds), np.zeros_like(times))
        demand = calm * self._noise(times) * (1 + self._bursts(since) + crowds)
        for gap in self.gaps:
            demand[(times >= gap.start_seconds) & (times < gap.start_seconds + gap.length_seconds)] = np.nan
        return np.asarray(demand)

    def expected(self, times_seconds: Floats) -> Floats:
        """The same without noise, bursts, crowds and gaps: what a perfect forecaster could know the day before."""
        return self._calm(np.asarray(times_seconds, dtype=np.float64) - self.origin_seconds)

    def _calm(self, since: Floats) -> Floats:
        days = since / self.day_seconds
        hour = (days % 1) * 24
        daily = 1 + self.daily_fraction * np.cos(2 * np.pi * (hour - self.peak_hour) / 24)
        trend = np.maximum(1 + self.trend_fraction_per_day * days, 0)
        waves = sum((ramp.at(since, self.seed) for ramp in self.ramps), np.zeros_like(since))
        return np.asarray((self.level_per_second * daily + waves) * trend * self._weekly(days))

    def _weekly(self, days: Floats) -> Floats:
        """1 on working days, `weekend_fraction` on the last two, blended over an hour either side of midnight."""
        weights = np.array([1.0] * 5 + [self.weekend_fraction] * 2)
        today = np.floor(days).astype(np.int64)
        phase = days - today
        blend = np.clip((phase - 23 / 24) * 12, 0, 0.5) - np.clip((1 / 24 - phase) * 12, 0, 0.5)
        other = today + np.sign(blend).astype(np.int64)
        return np.asarray((1 - np.abs(blend)) * weights[today % 7] + np.abs(blend) * weights[other % 7])

    def _noise(self, times: Floats) -> Floats:
        fast = smooth_normal(self.seed, _FAST_NOISE, times, self.noise_seconds)
        slow = smooth_normal(self.seed, _SLOW_NOISE, times, 60 * self.noise_seconds)
        sigma = self.noise_fraction
        return np.asarray(np.exp(sigma * (0.8 * fast + 0.6 * slow) - sigma**2 / 2))  # 0.8² + 0.6² = 1

    def _bursts(self, since: Floats) -> Floats:
        slot_seconds = self.day_seconds / _BURST_SLOTS_PER_DAY
        slot = np.floor(since / slot_seconds).astype(np.int64)
        total = np.zeros_like(since)
        if self.bursts_per_day <= 0:
            return total
        for index in (slot, slot - 1):  # the tail of the burst before
            happens = uniform(self.seed, _BURST, index) < self.bursts_per_day / _BURST_SLOTS_PER_DAY
            start = (index + uniform(self.seed + 1, _BURST, index)) * slot_seconds
            height = self.burst_fraction * (0.5 + uniform(self.seed + 2, _BURST, index))
            age = since - start
            total += np.where(happens & (age >= 0), height * np.exp(-np.maximum(age, 0) / self.burst_seconds), 0)
        return total


def morning_ramp(
    ramp_start_seconds: float,
    *,
    day_seconds: float = 86_400.0,
    level_per_second: float = 25.0,
    height_per_second: float = 75.0,
    rise_seconds: float = 45.0,
    hold_seconds: float = 60.0,
    fall_seconds: float = 30.0,
    jitter_seconds: float = 4.0,
    seed: int = 1,
) -> DemandShape:
    """A service that wakes at nine: its daily batch of clients starts at `ramp_start_seconds`, and so it did every day.

    Three times the load on top of the level within 45 s, held for 60 s, gone in 30 s: what a reactive scaler orders
    when it has seen the rise comes when half of it is over. `day_seconds` is how long a day lasts; 8,640 makes all
    other durations those of a service that wakes ten times as slowly. Each day the batch comes up to two jitters early
    or late and is up to 10 % higher or lower; today it is on time. Today is always a Tuesday, so the demo looks alike
    whenever it is run, and the days before hold two quiet ones a week.
    """
    nine = day_seconds * 9 / 24
    ramp = Ramp(
        start_seconds=nine,
        height_per_second=height_per_second,
        rise_seconds=rise_seconds,
        hold_seconds=hold_seconds,
        fall_seconds=fall_seconds,
        period_seconds=day_seconds,
        start_jitter_seconds=jitter_seconds,
        height_jitter_fraction=0.05,
    )
    # The occurrence of day 1, a Tuesday, is the one promised: the whole clock is shifted by its jitter.
    tuesday_nine = ramp.occurrence_start_seconds(1, seed)
    return DemandShape(
        level_per_second=level_per_second,
        origin_seconds=ramp_start_seconds - tuesday_nine,
        day_seconds=day_seconds,
        daily_fraction=0.3,
        noise_fraction=0.04,
        bursts_per_day=3.0,
        burst_seconds=120.0 * day_seconds / 86_400,
        ramps=(ramp,),
        seed=seed,
    )


def _smoothstep(x: Floats) -> Floats:
    """0 to 1 with level ends, so that a wave has no kink a derivative could see coming."""
    return np.asarray(x * x * (3 - 2 * x))
