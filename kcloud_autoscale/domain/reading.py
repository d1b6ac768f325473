"""A value that was read at a time, or the reason why there is none. Missing is a type, never a number."""

from __future__ import annotations

from enum import StrEnum

from kcloud_autoscale.domain.frozen import frozen


class MissingReason(StrEnum):
    """Why a value is not known. The names appear in conditions and metrics."""

    NO_DATA = "NoData"  # the source answered and had nothing
    STALE = "Stale"  # the newest value is too old to act on
    NOT_A_NUMBER = "NotANumber"  # NaN or an infinity, as histogram_quantile gives without traffic
    OUT_OF_RANGE = "OutOfRange"  # physically impossible: negative demand, a DCGM sentinel
    AMBIGUOUS = "Ambiguous"  # one series was asked for and several came
    SOURCE_ERROR = "SourceError"  # the source did not answer, or answered garbage
    NOT_CONFIGURED = "NotConfigured"  # nobody said where to look


@frozen
class Sample:
    """A finite value and when it was true (Unix seconds)."""

    value: float
    at_seconds: float
    source: str = ""

    def age_seconds(self, now_seconds: float) -> float:
        """How old the value is at ``now_seconds``; never negative."""
        return max(0.0, now_seconds - self.at_seconds)


@frozen
class Missing:
    """No value, and why: ``message`` names the query, field or object a person should look at."""

    reason: MissingReason
    message: str = ""


Reading = Sample | Missing


def times(reading: Reading, factor: float) -> Reading:
    """So many times a known value; a missing one stays missing for the same reason."""
    if isinstance(reading, Missing):
        return reading
    return Sample(factor * reading.value, reading.at_seconds, reading.source)


def value_or_none(reading: Reading) -> float | None:
    """The bare value for places that print ``-`` when there is none (status, reports)."""
    return reading.value if isinstance(reading, Sample) else None
