"""What one replica serves within its objective, as far as it is known.

A bound from below is a type of its own: it says which loads are fine and nothing of any other, so that no count may be
computed from it and no load above it counted as missed.
"""

from __future__ import annotations

from kcloud_autoscale.domain.frozen import frozen

SPEC, LEARNED, AT_LEAST, UNKNOWN = "spec", "learned", "at least", "unknown"


@frozen
class KnownCapacity:
    """Load per second at which the objective is reached: κ; ``source`` is ``spec`` or ``learned``."""

    per_replica: float
    source: str = SPEC


@frozen
class CapacityAtLeast:
    """Largest load per second seen to meet the objective, where no load has been seen to miss it."""

    per_replica: float
    source: str = AT_LEAST


Capacity = KnownCapacity | CapacityAtLeast


def sizing_capacity(capacity: Capacity | None) -> float | None:
    """κ, where a count may follow from it; None where it is unknown or only bounded from below."""
    return capacity.per_replica if isinstance(capacity, KnownCapacity) else None
