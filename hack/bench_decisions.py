"""Decision quality over a folder of traces: ours beside HPA, HPA tuned with hindsight, and perfect foresight.

``python -m hack.bench_decisions FOLDER``: every CSV in it that has a column of requests, events or a service metric is
replayed at about 10 replicas on average. Nothing is tuned to a trace; all settings are the defaults.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kcloud_autoscale.simulate.predictive import plain_workload
from kcloud_autoscale.simulate.run import simulate
from kcloud_autoscale.simulate.score import Score
from kcloud_autoscale.simulate.traces import read_trace
from kcloud_autoscale.simulate.world import WorldRules

COLUMNS = ("requests_per_second", "events_per_second", "metric_value")
FEWEST_STEPS = 1_000  # of less than that no share of violations says anything


@dataclass(frozen=True, slots=True)
class Line:
    """One trace: what ours, HPA at 70 %, the best HPA at our violations and foresight cost."""

    name: str
    ours: Score
    hpa: Score
    tuned: Score
    tuned_note: str
    oracle: Score

    @property
    def ratio(self) -> float:
        return self.ours.replica_hours / self.hpa.replica_hours

    @property
    def captured(self) -> float:
        """Share of what foresight saves over the tuned HPA."""
        possible = self.tuned.replica_hours - self.oracle.replica_hours
        return (self.tuned.replica_hours - self.ours.replica_hours) / possible

    @property
    def kept(self) -> bool:
        """No more violations than HPA, or than 1 %."""
        return self.ours.violation_fraction <= max(0.01, self.hpa.violation_fraction)


def traces(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files with a demand column long enough to be judged by."""
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            header = next(csv.reader(file), [])
            rows = sum(1 for _ in file)
        column = next((name for name in COLUMNS if name in header), None)
        if column is not None and rows >= FEWEST_STEPS:
            yield path, column


def measured(path: Path, column: str, replicas: float, startup_seconds: float) -> Line:
    """One trace at a capacity that makes the mean demand worth `replicas`."""
    trace = read_trace(path, column)
    rules = WorldRules(float(np.nanmean(trace.demand)) / replicas, startup_seconds)
    found = simulate(trace, rules, ("predictive", "hpa", "hpa-tuned", "oracle"), plain_workload(), lambda _: None)
    tuned = found["hpa-tuned"]
    scores = (found[name].score for name in ("predictive", "hpa"))
    return Line(path.name.removesuffix(".csv.gz"), *scores, tuned.score, tuned.note, found["oracle"].score)


def main() -> int:
    """Print one line per trace and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--replicas", type=float, default=10.0, help="mean demand in replicas' worth")
    parser.add_argument("--startup-seconds", type=float, default=240.0)
    args = parser.parse_args()
    jobs = list(traces(args.folder))
    if not jobs:
        print(f"{args.folder}: no traces to judge by, skipped", file=sys.stderr)
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        waiting = [pool.submit(measured, *job, args.replicas, args.startup_seconds) for job in jobs]
        lines = [job.result() for job in waiting]
    _print(lines)
    return 0 if all(line.kept for line in lines) else 1


def _print(lines: list[Line]) -> None:
    head = ("violating", "HPA's", "of HPA", "tuned", "oracle", "captured", "changes")
    print(f"{'trace':34s}" + "".join(f"{name:>11s}" for name in head))
    for line in lines:
        hours, changes = line.hpa.replica_hours, line.hpa.changes_per_hour
        print(
            f"{line.name:34s}{line.ours.violation_fraction:>10.2%}{' ' if line.kept else '!'}"
            f"{line.hpa.violation_fraction:>11.2%}{line.ratio:>11.3f}{line.tuned.replica_hours / hours:>11.3f}"
            f"{line.oracle.replica_hours / hours:>11.3f}{line.captured:>11.0%}"
            f"{line.ours.changes_per_hour / changes if changes else 0.0:>11.2f}"
        )
    ratio = _geometric_mean([line.ratio for line in lines])
    bound = _geometric_mean([line.oracle.replica_hours / line.hpa.replica_hours for line in lines])
    captured = float(np.mean([line.captured for line in lines]))
    cheaper = sum(line.ours.replica_hours < line.tuned.replica_hours for line in lines)
    print(f"geometric mean of HPA {ratio:.3f}, of foresight {bound:.3f}; captured {captured:.0%} on average;")
    print(f"cheaper than the tuned HPA on {cheaper} of {len(lines)}")


def _geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


if __name__ == "__main__":
    sys.exit(main())
