"""Whose model is not fitted for a while, because the process died of it again and again."""

from __future__ import annotations

from dataclasses import dataclass, field

from kcloud_autoscale.forecast.fitting import Wanted

# The first death may be bad luck: a node under pressure, a kill.
DEATHS = 2
FIRST_SECONDS = 3_600.0
LONGEST_SECONDS = 86_400.0


@dataclass(slots=True)
class _Record:
    deaths: int = 0
    sentence_seconds: float = FIRST_SECONDS
    until_seconds: float = 0.0
    reason: str = ""


@dataclass(slots=True)
class Banishment:
    """By workload and model, on one monotonic clock: an hour after two deaths, then after each one twice as long.

    A model that takes a minute to time out so costs a minute a day in the end. Written by the thread that fits, read by
    the cycle: each of these calls is one look at one record.
    """

    _of: dict[tuple[str, str], _Record] = field(default_factory=dict)

    def died(self, wanted: Wanted, reason: str, now_seconds: float) -> bool:
        """Count a death; whether the fit is given up for now."""
        record = self._of.setdefault((wanted.name, wanted.model), _Record())
        record.deaths += 1
        if record.deaths < DEATHS:
            return False
        record.reason, record.until_seconds = reason, now_seconds + record.sentence_seconds
        record.sentence_seconds = min(2.0 * record.sentence_seconds, LONGEST_SECONDS)
        return True

    def forgive(self, wanted: Wanted) -> None:
        """It has been fitted."""
        self._of.pop((wanted.name, wanted.model), None)

    def reason(self, wanted: Wanted, now_seconds: float) -> str:
        """Why it is not even tried now; empty where it is."""
        record = self._of.get((wanted.name, wanted.model))
        return record.reason if record is not None and now_seconds < record.until_seconds else ""
