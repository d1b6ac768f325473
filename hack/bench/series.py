"""Demand the benches judge by: generated, and recorded where recordings lie in a folder beside the project."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hack.load.demand import DemandShape, FlashCrowd, Ramp
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.traces import read_trace

TRACES = Path("../shared/traces")
# What demand may be called; recordings of other things (power, prices, utilization) are not load to scale on.
COLUMNS = ("requests_per_second", "events_per_second", "metric_value")
FEWEST_STEPS = 1_000  # of less than that no share of violations says anything

DAY = 86_400.0
# Midnight of a Monday.
BEGIN_SECONDS = 1_799_971_200.0


def _shapes() -> dict[str, DemandShape]:
    """Services as they occur, each unlike the others."""
    begin = BEGIN_SECONDS
    wave = Ramp(9 * 3_600.0, 75.0, 450.0, 600.0, 300.0, start_jitter_seconds=30.0, height_jitter_fraction=0.05)
    lunch = Ramp(12 * 3_600.0, 30.0, 1_800.0, 3_600.0, 1_800.0, start_jitter_seconds=120.0, height_jitter_fraction=0.1)
    crowds = (FlashCrowd(begin + 8.6 * DAY, 2.0), FlashCrowd(begin + 12.3 * DAY, 1.0))
    return {
        "office": DemandShape(origin_seconds=begin, level_per_second=120.0, weekend_fraction=0.4, seed=11),
        "chat": DemandShape(origin_seconds=begin, daily_fraction=0.6, peak_hour=21.0, weekend_fraction=1.1, seed=12),
        "steady": DemandShape(origin_seconds=begin, daily_fraction=0.1, noise_fraction=0.03, seed=13),
        "growing": DemandShape(origin_seconds=begin, trend_fraction_per_day=0.05, seed=14),
        "noisy": DemandShape(origin_seconds=begin, noise_fraction=0.3, noise_seconds=60.0, seed=15),
        "bursty": DemandShape(
            origin_seconds=begin, bursts_per_day=12.0, burst_fraction=1.0, burst_seconds=600, seed=16
        ),
        "morning wave": DemandShape(origin_seconds=begin, level_per_second=25.0, ramps=(wave,), seed=17),
        "two waves": DemandShape(origin_seconds=begin, ramps=(wave, lunch), bursts_per_day=2.0, seed=18),
        "crowds": DemandShape(origin_seconds=begin, crowds=crowds, seed=19),
        "night work": DemandShape(origin_seconds=begin, daily_fraction=0.9, peak_hour=3.0, noise_fraction=0.1, seed=20),
    }


def generated(step_seconds: float, days: float, most: int | None = None) -> list[Trace]:
    """Two weeks and the like of every shape, mean load of each step."""
    steps = round(days * DAY / step_seconds)
    # Six instants of every step: what a collector averages.
    instants = BEGIN_SECONDS + step_seconds * (np.arange(6 * steps) + 0.5) / 6
    return [
        Trace(f"{name}, {step_seconds:g} s", BEGIN_SECONDS, step_seconds, shape.sample(instants).reshape(-1, 6).mean(1))
        for name, shape in list(_shapes().items())[:most]
    ]


def recorded(folder: Path, most: int | None = None) -> list[Trace]:
    """The demand in a folder of CSV files; none where there is no such folder."""
    return [read_trace(path, column) for path, column in list(_demand_files(folder))[:most]]


def _demand_files(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            header = next(csv.reader(file), [])
            rows = sum(1 for _ in file)
        column = next((name for name in COLUMNS if name in header), None)
        if column is not None and rows >= FEWEST_STEPS:
            yield path, column


def plain_name(trace: Trace) -> str:
    """Of the file alone."""
    return trace.name.partition(".csv")[0]
