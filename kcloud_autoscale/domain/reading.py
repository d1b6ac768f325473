"""A value that was read at a time, a bound of it, or the reason why there is none.

Missing is a type, never a number; and so is a lower bound. What four of six pods tell is not the load of six: it may
raise a count, it never lowers one, and nothing is learned from it as if it were the value. A function that takes a
`Reading` cannot be handed a bound by mistake: `exactly` turns one into the value that is missing.
"""

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
    TOO_LARGE = "TooLarge"  # one series was asked for and more came than is read
    REFUSED = "Refused"  # the installation does not allow the query
    NOT_CONFIGURED = "NotConfigured"  # nobody said where to look
    PARTIAL_SAMPLES = "PartialSamples"  # a part of the Ready pods has no samples: what the others tell is a lower bound


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


@frozen
class AtLeast:
    """A lower bound of a value and when it was true (Unix seconds).

    Attributes:
        value: The true value is this or more.
        at_seconds: Of the newest sample behind it.
        source: What told it.
        reason: Why it is no more than a bound, for machines.
        message: The same for people, with the numbers: ``4 of 6 Ready pods have samples``.
    """

    value: float
    at_seconds: float
    source: str
    reason: MissingReason
    message: str


Reading = Sample | Missing
BoundedReading = Sample | AtLeast | Missing
"""What a load or a metric of a workload may be."""


def exactly(reading: BoundedReading) -> Reading:
    """The value where it is known; of a bound the value is missing, for the reason that made it a bound."""
    return Missing(reading.reason, reading.message) if isinstance(reading, AtLeast) else reading


def as_lower_bound(reading: BoundedReading, reason: MissingReason, message: str) -> BoundedReading:
    """A value of which only a part was seen; what is missing stays missing, and the first reason stands."""
    if not isinstance(reading, Sample):
        return reading
    return AtLeast(reading.value, reading.at_seconds, reading.source, reason, message)


def times(reading: Reading, factor: float) -> Reading:
    """So many times a known value; a missing one stays missing for the same reason."""
    if isinstance(reading, Missing):
        return reading
    return Sample(factor * reading.value, reading.at_seconds, reading.source)


def value_or_none(reading: BoundedReading) -> float | None:
    """The bare value for places that print ``-`` when there is none (status, reports); none of a bound."""
    return reading.value if isinstance(reading, Sample) else None
