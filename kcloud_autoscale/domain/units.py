"""Constants that turn one unit into another; every quantity elsewhere carries its unit in its name."""

from __future__ import annotations

SECONDS_PER_HOUR = 3_600.0
SECONDS_PER_DAY = 86_400.0
JOULES_PER_KWH = 3.6e6
BYTES_PER_GIB = float(2**30)


def usd(usd_per_hour: float, seconds: float) -> float:
    """Money spent by running at a rate for a while: 6.88 $/h for 90 s is 0.172 $."""
    return usd_per_hour * seconds / SECONDS_PER_HOUR


def joules(watts: float, seconds: float) -> float:
    """Energy used by drawing power for a while: 700 W for 60 s is 42,000 J."""
    return watts * seconds
