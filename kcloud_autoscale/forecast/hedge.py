"""Who is heard: exponential weights on recent pinball loss, per workload and quantile."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast.ring import BoolArray, FloatArray


def hedge_weights(
    losses: FloatArray,
    seen: FloatArray,
    prior: FloatArray,
    rate: float,
    prior_steps: float,
    speaking: BoolArray | None = None,
) -> FloatArray:
    """Weights of the experts, proportional to ``exp(-rate * loss / last value's loss)``.

    Args:
        losses: Shape (rows, experts, levels), decayed sums of pinball loss; last value is the first expert.
        seen: Shape (rows,), decayed number of origins behind them.
        prior: Shape (experts,), losses relative to last value's before anything is known.
        rate: How sharply a smaller loss is preferred.
        prior_steps: Origins the prior is worth.
        speaking: Shape (rows, experts), who is not silent; last value never is. All of them if None.

    Returns:
        Shape (rows, experts, levels); each column sums to one. Where last value never errs, the prior decides.
    """
    reference = losses[:, :1, :]
    with np.errstate(over="ignore"):  # an infinite ratio is cut to 50 below
        relative = np.where(reference > 0, losses / np.where(reference > 0, reference, 1.0), prior[None, :, None])
    trust = (seen / (seen + prior_steps))[:, None, None]
    blended = np.minimum(trust * relative + (1.0 - trust) * prior[None, :, None], 50.0)
    loud = np.exp(-rate * (blended - blended.min(axis=1, keepdims=True)))
    if speaking is not None:
        loud *= speaking[:, :, None]
    return np.asarray(loud / loud.sum(axis=1, keepdims=True))
