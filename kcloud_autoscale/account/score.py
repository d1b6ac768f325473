"""The optimization score: how well the objective was met, times how little was paid for it."""

from __future__ import annotations

import math

from kcloud_autoscale.domain.reading import Missing, Reading


def optimization_score(
    demand: Reading,
    kappa: float | None,
    ready_replicas: int,
    replicas: int,
    min_replicas: int,
    usd_per_replica_hour: Reading,
    least_usd_per_replica_hour: Reading,
) -> float | None:
    """Served-within-SLO share times least feasible $/h over actual $/h, within 0 and 1; None when it is unknown.

    Demand 45/s at 10/s per replica needs 5. With 6 running, all ready, at the same price each: 1 × 5/6 = 0.83. With 4
    running: 40/45 served × (5/4, clipped to 1) = 0.89. With 6 running on demand at 6.88 $/h where spot at 2.752 would
    do: 1 × (5 × 2.752) / (6 × 6.88) = 0.33.

    Args:
        demand: Load per second.
        kappa: Load per second one replica serves within the objective.
        ready_replicas: Serving now.
        replicas: Paid for now.
        min_replicas: No feasible plan runs fewer.
        usd_per_replica_hour: What a replica costs; unknown, it is taken to cost the least feasible price.
        least_usd_per_replica_hour: The cheapest feasible price of a replica.
    """
    if isinstance(demand, Missing) or kappa is None:
        return None
    served = min(1.0, ready_replicas * kappa / demand.value) if demand.value > 0.0 else 1.0
    least = max(math.ceil(demand.value / kappa - 1e-9), min_replicas)
    if replicas <= 0:
        return served
    return served * min(1.0, least * _price_ratio(usd_per_replica_hour, least_usd_per_replica_hour) / replicas)


def _price_ratio(actual: Reading, least: Reading) -> float:
    if isinstance(actual, Missing) or isinstance(least, Missing) or actual.value <= 0.0:
        return 1.0
    return min(1.0, least.value / actual.value)
