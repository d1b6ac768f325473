"""Service beside the baseline's: savings count only for load that is served alike.

Whoever runs less and lets requests wait has saved nothing. While fewer replicas serve than the baseline needs for the
same load, what was not spent is *unproven*, and what serving alike would have cost is taken off what was: running less
never pays, even where ours is the dearer side.
"""

from __future__ import annotations

import math


def needed_replicas(demand: float | None, capacity_per_replica: float | None) -> int | None:
    """Ready replicas that serve a load; None while that is unknown. 45/s at 10/s each need 5."""
    if demand is None or capacity_per_replica is None:
        return None
    return math.ceil(demand / capacity_per_replica - 1e-9)


def lacking_replicas(needed: int | None, ready: int, baseline_ready: int) -> int:
    """Ready replicas that ours lack to serve as much as the baseline: with 5 needed, 4 beside 6 lack one.

    Where nobody knows what is needed, all that the baseline has may be.
    """
    return max(0, (baseline_ready if needed is None else min(needed, baseline_ready)) - ready)


def unproven(saved: float, lacking: float) -> float:
    """The part of a saving that does not count.

    Args:
        saved: Baseline minus ours, signed.
        lacking: What the replicas that ours lack would have used; not to be asked where ours serve alike.

    Of 3 $ saved while a replica of 1 $ was lacking nothing counts. Of a loss of 3 $, the loss and the lacking replica:
    4 $. So with one serving replica less, at whatever it costs, what counts never grows.
    """
    return saved - min(0.0, saved - lacking)
