"""Whether samples fill the window a rate looks back over. Where they do not, it is a fraction of the truth.

``rate`` divides by its whole window and extends what the samples span to the window's ends only where an end lies
within 1.1 intervals of a sample. After an outage the window of the first steps begins before the first sample: 60 of
100 requests per second are then told where 100 were served.

A window is filled when samples of the workload came in from one interval before its beginning to its end without a
break, of whichever series. So a pod that has just started leaves the sum known: others have been there all the time.
The interval before is for the targets' turns: after an outage the first is scraped up to an interval before the last,
so a break anywhere costs as long as the window and two intervals. A break inside the window would not harm one
series; it harms the sum where one pod's last sample before it lies inside and another's does not.
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from kcloud_autoscale.domain.series import FloatArray

BoolArray = NDArray[np.bool_]

TILE_SECONDS = 600.0
"""Samples are counted in tiles of this length to tell how far apart they were: 40 are 15 s apart."""

# Prometheus' own limit of extrapolation; and what a busy machine scrapes late, where a rehearsal scrapes every second.
_LATE_INTERVALS = 0.1
_LATE_SECONDS = 0.25
# A scrape is stored when it ends. At the present one must allow for a slow one, else demand would flicker; then at
# most an interval of the five in a window goes unseen.
_NEAR_NOW_INTERVALS = 1.5

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_RANGE = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)")
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")


def filled_seconds(window_seconds: float, interval_seconds: float) -> float:
    """Range in which samples are counted to tell whether the window at its end is filled."""
    return window_seconds + _near_seconds(interval_seconds)


def filled_samples(window_seconds: float, interval_seconds: float) -> int:
    """How many a series that was scraped all the time has in that range: 91.5 s of 15 s scrapes hold six or seven."""
    return math.floor(window_seconds / interval_seconds + 1.0 + 1e-6)


def covered(counts: FloatArray, samples: int) -> BoolArray:
    """Whether each step's window is filled.

    A step that is the last before an outage is given up too: it may end between the last scrapes of two targets. Of
    the last step of all, nobody knows yet.

    Args:
        counts: Samples of the most scraped series in the `filled_seconds` before each step's end, NaN for none; shape
            ``(steps,)``.
        samples: Of `filled_samples`.
    """
    filled: BoolArray = counts >= samples
    goes_on: BoolArray = np.append(filled[1:], True)
    return filled & goes_on


def instants(window_seconds: float, interval_seconds: float) -> tuple[int, float]:
    """How many intervals make a window, and their length: rounded so that a whole number does, to milliseconds."""
    count = math.ceil(window_seconds / interval_seconds - 1e-6)
    return count, math.floor(window_seconds / count * 1000.0) / 1000.0


def covered_now(newest: FloatArray, at_seconds: FloatArray, interval_seconds: float) -> bool:
    """Whether the window that ends now is filled.

    Here the samples of several series count together: a pod may take over from another at once.

    Args:
        newest: Unix time of the newest sample at each of `instants`, from the window's beginning on; NaN for none.
        at_seconds: The instants, Unix time; same shape.
        interval_seconds: Between scrapes.
    """
    age = at_seconds - newest
    near, near_now = _near_seconds(interval_seconds), _NEAR_NOW_INTERVALS * interval_seconds
    return bool((age[:-1] <= near).all() and age[-1] <= near_now)


def _near_seconds(interval_seconds: float) -> float:
    """How old the newest sample may be while scrapes go on."""
    return interval_seconds + max(_LATE_INTERVALS * interval_seconds, _LATE_SECONDS)


def silent_seconds(interval_seconds: float) -> float:
    """A pod without a sample for so long is not scraped: one scrape may be missed, after the second it is silent."""
    return interval_seconds + _near_seconds(interval_seconds)


def intervals(counts: FloatArray, usual_seconds: float) -> FloatArray:
    """Seconds between scrapes in each tile, as ``usual_seconds`` times a power of two; NaN where it is not known.

    Rounded up to such steps so that few windows serve all: one for 15 s, one for 30 s, one for what was scraped every
    45 to 60 s. A tile that an outage cut short is taken for as dense as the denser of its neighbours. One at either
    end of a workload's life tells nothing: the first scrapes of a new series look like the rare ones of an old one.

    Args:
        counts: Samples of the most scraped series in each tile, NaN for none; shape ``(tiles,)``.
        usual_seconds: Positive.
    """
    padded = np.pad(counts, 1, mode="edge")
    most = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    # A fifth of a doubling allows for missed scrapes: 36 in 600 s instead of 40 are 16.7 s apart, and count as 15 s.
    doublings = np.ceil(np.log2(TILE_SECONDS / most / usual_seconds) - 0.2)
    told: FloatArray = usual_seconds * 2.0**doublings
    return told


def interval_now(counts: FloatArray, usual_seconds: float) -> float:
    """The interval of the present from its last two tiles; the usual one for a workload younger than both."""
    told = float(intervals(counts, usual_seconds)[-1])
    return told if math.isfinite(told) else usual_seconds


def widened(mask: BoolArray) -> BoolArray:
    """The mask and its neighbours on both sides."""
    wide = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    return wide


def away_from_gaps(values: FloatArray, steps: int) -> FloatArray:
    """Values without those that are within ``steps`` of an unknown one.

    What remains to be done for a user's own query: whose samples it reads is not known, only how far it looks back.
    """
    unknown = ~np.isfinite(values)
    for _ in range(steps):
        unknown = widened(unknown)
    return np.where(unknown, np.nan, values)


def looked_back_steps(promql: str, step_seconds: float) -> int:
    """How many steps a query looks back over: 5 of 60 s for a rate over 5 minutes, 0 for a gauge."""
    return math.ceil(look_back_seconds(promql) / step_seconds)


def look_back_seconds(promql: str) -> float:
    """The longest range in a query, 0 without any: ``sum(rate(x[5m]))`` looks back 300 s."""
    return max((duration_seconds(each) for each in _RANGE.findall(promql)), default=0.0)


def duration_seconds(duration: str) -> float:
    """Of a duration as PromQL writes it, ``1h30m``; of what is not one, and of what follows it, nothing is counted."""
    duration, _, _ = duration.partition(":")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION.findall(duration))
