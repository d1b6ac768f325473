"""Ridge regression from sufficient statistics with exponential forgetting, batched over the fleet."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast.ring import FloatArray


def fold(
    gram: FloatArray,
    moment: FloatArray,
    features: FloatArray,
    targets: FloatArray,
    weights: FloatArray,
    decay: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Statistics after some more rows.

    Args:
        gram: Shape (series, p, p).
        moment: Shape (series, p).
        features: Shape (series, rows, p).
        targets: Shape (series, rows).
        weights: Shape (series, rows), zero for rows to leave out.
        decay: Shape (series,), what the old statistics still count.
    """
    weighted = features * weights[:, :, None]
    transposed = np.swapaxes(weighted, 1, 2)
    new_gram = gram * decay[:, None, None] + transposed @ features
    new_moment = moment * decay[:, None] + (transposed @ targets[:, :, None])[:, :, 0]
    return new_gram, new_moment


def solve(gram: FloatArray, moment: FloatArray, penalty: FloatArray, prior: FloatArray) -> FloatArray:
    """Coefficients (series, p) of ``(G + P) b = m + P b0``: data pulled to ``prior`` by ``penalty``."""
    right = moment + penalty @ prior
    return np.asarray(np.linalg.solve(gram + penalty, right[:, :, None])[:, :, 0])
