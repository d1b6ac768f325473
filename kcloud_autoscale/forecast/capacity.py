"""Capacity of a replica (κ) learned from history: the largest load per ready replica that meets a target's threshold.

Latency, utilization and queue rise with the load on a replica, whatever the curve. Isotonic regression asks for
nothing more than that: the pairs are sorted by load, the medians of small groups are made monotone by pooling
neighbours, and the fitted curve is read where it crosses the threshold. Nothing is extrapolated: until the curve has
crossed the threshold, however close it came, κ is *at least* the largest load seen to meet it, which is a type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from kcloud_autoscale.domain.bounds import LEAST_CAPACITY_PER_SECOND, LOAD
from kcloud_autoscale.domain.capacity import LEARNED, SPEC, Capacity, CapacityAtLeast, KnownCapacity
from kcloud_autoscale.domain.observation import CapacityHistory
from kcloud_autoscale.domain.policy import MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.state import CapacityState
from kcloud_autoscale.domain.units import SECONDS_PER_DAY

REFIT_SECONDS = 300.0
# The newest of each band of load stand for it. A version that is twice as slow fills a band with its own pairs in
# an hour and a half at that load, while the rush of last Friday is still remembered on Thursday.
PAIRS_PER_BAND = 80
BAND_RATIO = 1.1
MOST_PAIRS = 2_000
LONGEST_MEMORY_SECONDS = 14.0 * SECONDS_PER_DAY
# Medians of twenty: noise of 20 % in each pair leaves 6 % in the curve before pooling, and outliers leave nothing.
PAIRS_PER_GROUP = 20
FEWEST_PAIRS = 3 * PAIRS_PER_GROUP
# A replica that is kept at κ is seen a little above it. Loads so far above are the same κ, seen again, and move it; at
# larger ones that are fine it is another replica, of which nothing but a lower bound is known.
STILL_THE_SAME = BAND_RATIO


def learn(
    states: tuple[CapacityState, ...], pieces: Sequence[CapacityHistory], policy: WorkloadPolicy, now_seconds: float
) -> tuple[CapacityState, ...]:
    """Take in new pairs, and refit what has not been fitted for five minutes.

    Args:
        states: One per target metric seen so far.
        pieces: New steps, oldest first; NaN where a step is unknown.
        policy: Its targets name the thresholds.
        now_seconds: Unix time of this tick.

    Returns:
        The next states; the same object when there is nothing new.
    """
    if not pieces:
        return states
    thresholds = {target.name: target.threshold for target in policy.targets}
    known = {state.metric_name: state for state in states if state.metric_name in thresholds}
    for piece in pieces:
        if piece.metric_name in thresholds:
            known[piece.metric_name] = _extended(known.get(piece.metric_name), piece)
    return tuple(_refitted(state, thresholds[name], now_seconds) for name, state in known.items())


def estimate(states: tuple[CapacityState, ...], policy: WorkloadPolicy) -> Capacity | None:
    """Load per second that one replica serves within every objective; the smallest of several targets.

    Returns:
        κ as set by the user (a `requests` target's threshold is a κ) or as learned. Where no load has missed any
        threshold, the largest that met all of them: only the metric itself can say when κ is reached. Else None.
    """
    if policy.capacity_per_replica is not None:
        return _known(policy.capacity_per_replica, SPEC)
    known = [_known(value, SPEC) for value in map(_given, policy.targets) if value is not None]
    learned = [learned_capacity(state) for state in states] if policy.targets else []
    known += [_known(value, LEARNED) for value in learned if value is not None]
    if known:
        return min(known, key=lambda each: each.per_replica)
    proven = [state.proven_per_replica for state in states] if policy.targets else []
    met = [value for value in proven if value is not None]
    # A threshold that no load has met bounds κ from above, below what the others have met.
    return CapacityAtLeast(min(met)) if met and len(met) == len(proven) else None


def learned_capacity(state: CapacityState) -> float | None:
    """Where the curve crosses the threshold; None where it never did, or where larger loads are fine by now.

    Evidence above κ ages away because nobody goes there any more; what was learned then stands. At a κ of 10, loads
    up to 10.8 that are fine make it 10.8; once 12 are fine, nothing is known but that κ is at least that.
    """
    crossed, proven = state.crossed_per_replica, state.proven_per_replica
    if crossed is None or proven is None:
        return crossed
    return max(crossed, proven) if proven <= STILL_THE_SAME * crossed else None


def _known(per_replica: float, source: str) -> KnownCapacity:
    return KnownCapacity(max(per_replica, LEAST_CAPACITY_PER_SECOND), source)


def _given(target: MetricTarget) -> float | None:
    """The threshold of `requests` is a load per replica. A query of one's own may count something else."""
    return target.threshold if target.name == "requests" and target.query is None else None


def _extended(state: CapacityState | None, piece: CapacityHistory) -> CapacityState:
    """The state with the piece's known pairs appended; steps already taken in are not taken twice."""
    state = state or CapacityState(piece.metric_name)
    at = piece.start_seconds + piece.step_seconds * np.arange(len(piece.metric))
    with np.errstate(divide="ignore", invalid="ignore"):
        load = piece.demand / piece.ready_replicas
    usable = (load >= LEAST_CAPACITY_PER_SECOND) & (load <= LOAD.most) & (piece.metric <= LOAD.most)
    if len(state.at_seconds):
        usable &= at > state.at_seconds[-1]
    if not usable.any():
        return state
    return replace(
        state,
        at_seconds=np.concatenate((state.at_seconds, at[usable])),
        load_per_replica=np.concatenate((state.load_per_replica, load[usable])),
        metric=np.concatenate((state.metric, piece.metric[usable])),
    )


def _refitted(state: CapacityState, threshold: float, now_seconds: float) -> CapacityState:
    due = now_seconds - state.fitted_seconds >= REFIT_SECONDS or state.threshold != threshold
    if not due:
        return state
    before = state.crossed_per_replica if state.threshold == threshold else None
    kept = _kept(state, now_seconds)
    at, load, metric = state.at_seconds[kept], state.load_per_replica[kept], state.metric[kept]
    proven, refuted = _bounds(load, metric, threshold)
    crossed = _crossed(proven, refuted, before)
    return CapacityState(state.metric_name, at, load, metric, crossed, proven, threshold, now_seconds)


def _crossed(proven: float | None, refuted: float | None, before: float | None) -> float | None:
    """Where the curve crosses, as the evidence shows or as it was learned before.

    One bound alone is no capacity, but it moves or ends what was learned before: the smallest load that is not fine
    (a slower version) brings it down, one far above that is fine (a faster version) ends it.
    """
    if proven is not None and refuted is not None:
        return refuted
    if before is None:
        return None
    if refuted is not None:
        return min(before, refuted)
    return None if proven is not None and proven > STILL_THE_SAME * before else before


def _kept(state: CapacityState, now_seconds: float) -> NDArray[np.intp]:
    """Indices, ascending, of the pairs that stay: the newest of each band of load, the upper bands first."""
    recent = np.flatnonzero(state.at_seconds >= now_seconds - LONGEST_MEMORY_SECONDS)
    band = np.floor(np.log(state.load_per_replica[recent]) / np.log(BAND_RATIO)).astype(np.int64)
    order = np.lexsort((-recent, -band))  # upper bands first, newest first within a band
    starts = np.flatnonzero(np.diff(band[order], prepend=np.iinfo(np.int64).max))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    chosen: NDArray[np.intp] = np.sort(recent[order[rank < PAIRS_PER_BAND][:MOST_PAIRS]])
    return chosen


def _bounds(load: FloatArray, metric: FloatArray, threshold: float) -> tuple[float | None, float | None]:
    """The largest load seen to meet the threshold, and the load at which the monotone curve crosses it.

    Between two groups the curve is taken as straight. Latency curves are convex, so the chord lies above them and
    the crossing is, if anything, too low: 40 ms at 8/s and 120 ms at 10/s cross 100 ms at 9.5/s.

    Returns:
        (proven, refuted); either is None where the pairs do not show it.
    """
    if len(load) < FEWEST_PAIRS:
        return None, None
    order = np.argsort(load, kind="stable")
    # Whole groups; the few that are left over come off the lower end, far from the threshold.
    grouped = order[len(order) % PAIRS_PER_GROUP :].reshape(-1, PAIRS_PER_GROUP)
    x = np.median(load[grouped], axis=1)
    y = np.asarray(isotonic_regression(np.median(metric[grouped], axis=1)).x)
    above = int(np.searchsorted(y, threshold, side="right"))  # y ascends: the first group over the threshold
    if above == 0:
        return None, float(x[0])
    if above < len(y):
        share = (threshold - y[above - 1]) / (y[above] - y[above - 1])
        return float(x[above - 1]), float(x[above - 1] + share * (x[above] - x[above - 1]))
    # Nothing crossed. Where the whole group of the largest loads is fine, so is the largest of them.
    fine = bool((metric[grouped[-1]] <= threshold).all())
    return float(load[order[-1]] if fine else x[-1]), None
