"""Chance as a pure function of place: the same seed, stream and index always draw the same number.

A generator with state would have to be run from the beginning to know what noise noon had. History and the live
exporter evaluate the same demand on different grids, in different processes, and must agree at every instant where
both speak.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, stream: int, index: Indices) -> Floats:
    """Draws from (0, 1), one per index: splitmix64 (Steele, Lea, Flood 2014) of seed, stream and index."""
    key = np.uint64((seed * 1_000_003 + stream) % 2**64)
    with np.errstate(over="ignore"):  # wrapping around is the method
        state = (index.astype(np.uint64) + _mix(np.atleast_1d(key))) * _GOLDEN
        bits = _mix(state) >> np.uint64(11)
    return (bits.astype(np.float64) + 0.5) / 2.0**53


def normal(seed: int, stream: int, index: Indices) -> Floats:
    """Standard normal draws, one per index."""
    return np.asarray(ndtri(uniform(seed, stream, index)), dtype=np.float64)


def smooth_normal(seed: int, stream: int, times_seconds: Floats, knot_seconds: float) -> Floats:
    """Continuous standard normal noise over time: draws at knots, blended between them at constant variance.

    Halfway between two knots the plain mean of both would have variance 1/2; dividing by sqrt(w² + (1−w)²) restores 1.
    """
    position = times_seconds / knot_seconds
    knot = np.floor(position)
    weight = position - knot
    before = normal(seed, stream, knot.astype(np.int64))
    after = normal(seed, stream, knot.astype(np.int64) + 1)
    return np.asarray(((1 - weight) * before + weight * after) / np.hypot(weight, 1 - weight))


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)
