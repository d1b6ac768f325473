"""Calibrated quantiles: rolling conformal offsets with half-strength volatility scaling."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from kcloud_autoscale.forecast.ring import FloatArray, SingleArray
from kcloud_autoscale.forecast.settings import LEVELS

LEAST_SPREAD = 0.002
SCORES: FloatArray = np.asarray(ndtri(np.array(LEVELS)))
"""The levels as normal scores (0.95 is 1.645): a scale on which the tail of a curve is about straight."""
FARTHEST_SCORE = 6.0
# Of 576 residuals, 4.5 alike, 6.4 independent ones lie beyond the 0.95 quantile and 2.6 beyond the 0.98 quantile.
FEWEST_BEYOND = 5.0


def spread_of(fast: FloatArray, slow: FloatArray) -> FloatArray:
    """Unit of residuals: the geometric mean of the volatility now and of the day, in log units per step.

    Half strength: four times the usual volatility doubles the width. Full strength chases every burst; none misses
    the difference between night and day.
    """
    return np.asarray(np.sqrt(np.maximum(fast, LEAST_SPREAD) * np.maximum(slow, LEAST_SPREAD)))


def score_on_curve(values: FloatArray, curves: FloatArray) -> FloatArray:
    """Where a value fell on the quantile curve said before, as a normal score: 1.645 if it met the 0.95 quantile.

    Args:
        values: Shape (...).
        curves: Shape (..., levels), not decreasing.

    Returns:
        Shape (...), linear between levels and beyond them with the slope of the outer segment, within +-6.
    """
    segment = np.clip(np.sum(values[..., None] > curves, axis=-1), 1, len(LEVELS) - 1)
    low = np.take_along_axis(curves, segment[..., None] - 1, -1)[..., 0]
    high = np.take_along_axis(curves, segment[..., None], -1)[..., 0]
    left, right = SCORES[segment - 1], SCORES[segment]
    width = high - low
    inside = left + (values - low) / np.where(width > 0, width, 1.0) * (right - left)
    flat = np.where(values > high, FARTHEST_SCORE, np.where(values < low, -FARTHEST_SCORE, left))
    return np.clip(np.where(width > 0, inside, flat), -FARTHEST_SCORE, FARTHEST_SCORE)


def curve_readings(scores: FloatArray) -> FloatArray:
    """Matrices that read a quantile curve at other scores.

    Args:
        scores: Shape (rows, levels): where to read in order to meet each level.

    Returns:
        Shape (rows, levels, levels); ``curve @ matrix`` reads ``curve`` at the scores, linearly, beyond the ends too.
    """
    segment = np.clip(np.sum(scores[..., None] > SCORES, axis=-1), 1, len(LEVELS) - 1)
    share = (scores - SCORES[segment - 1]) / (SCORES[segment] - SCORES[segment - 1])
    readings = np.zeros((*scores.shape, len(LEVELS)))
    np.put_along_axis(readings, segment[..., None] - 1, (1.0 - share)[..., None], -1)
    np.put_along_axis(readings, segment[..., None], share[..., None], -1)
    return np.swapaxes(readings, -1, -2)


def empirical_offsets(residuals: SingleArray, alike: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Quantiles of each window of residuals (..., window), NaN where there is none.

    With n residuals the level q is read at rank q (n + 1), as split conformal prediction does, so that 19 residuals
    give the 0.95 quantile as their largest. Where ``alike`` neighbours say about the same there are that many fewer:
    the rank is q (n + alike) - (alike - 1) / 2. Of 576 residuals, 4.5 alike, the 0.95 quantile is the 549.7th instead
    of the 548.2nd. Levels with fewer than `FEWEST_BEYOND` independent residuals beyond them stay at the first rank: so
    far out the largest residual there happens to be would stand for them.

    Returns:
        Offsets of shape (..., levels), zero where a window is empty, and the number of residuals (...).
    """
    ordered = np.sort(residuals, axis=-1)
    count = np.sum(np.isfinite(residuals), axis=-1)
    last = np.maximum(count - 1, 0)[..., None]
    levels = np.array(LEVELS)
    like = np.where((1.0 - levels) * count[..., None] >= FEWEST_BEYOND * alike, alike, 1.0)
    rank = np.clip((count[..., None] + like) * levels - 0.5 * (like + 1.0), 0.0, last)
    below = np.floor(rank).astype(np.int64)
    above = np.minimum(below + 1, last)
    low, high = np.take_along_axis(ordered, below, -1), np.take_along_axis(ordered, above, -1)
    offsets = low + (rank - below) * (high - low)
    return np.where(count[..., None] > 0, offsets, 0.0).astype(np.float64), count.astype(np.float64)


def blended_offsets(
    empirical: FloatArray, count: FloatArray, prior: FloatArray, prior_count: float, inflation: float
) -> FloatArray:
    """Offsets (rows, experts, levels) between the workload's own and a wider prior, by how many residuals there are.

    With 30 own residuals against a prior worth 30 the offset lies half way.
    """
    own = (count / (count + prior_count))[..., None]
    wide = np.where(prior > 0, prior * inflation, prior)
    return np.asarray(own * empirical + (1.0 - own) * wide)
