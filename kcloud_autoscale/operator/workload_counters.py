"""Counters of single workloads, as Prometheus wants them: they begin at 0 with the process and only grow.

A total restored from a record is lower than what an earlier process exported, or higher than what was scraped of it: to
Prometheus the one is a reset, after which the whole life's total counts as new, and the other a jump. So each process
counts for itself what its own cycles add to the ledger, and `increase()` puts the parts together.

``increase()`` does not see the first value of a series. So every series is 0 until it was scraped once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from kcloud_autoscale.account.ledger import Account, Entry
from kcloud_autoscale.domain.state import Usage
from kcloud_autoscale.domain.workload import WorkloadKey

SIDES = ("actual", "compared", "baseline", "unproven")
DIRECTIONS = ("up", "down")
Name = tuple[str, str]
"""Side and field of a sum of the ledger, or what is counted and its label."""


@dataclass(slots=True)
class _Counts:
    """Of one workload: sums by name, until when the ledger's intervals are in them, and whether it was scraped."""

    values: dict[Name, float]
    until_seconds: float = float("-inf")
    scraped: bool = False


@dataclass(slots=True)
class WorkloadCounters:
    """What this process has counted of each workload it serves."""

    _counts: dict[WorkloadKey, _Counts] = field(default_factory=dict)

    def take(self, accounts: Mapping[WorkloadKey, Account | None]) -> None:
        """Take in one cycle; workloads that are not in it are gone."""
        for key in self._counts.keys() - accounts.keys():
            del self._counts[key]
        for key, account in accounts.items():
            counts = self._of(key)
            if account is not None and account.entry is not None:
                _add(counts, account.entry, account.ledger.updated_seconds)

    def scaled(self, key: WorkloadKey, direction: str) -> None:
        """One change of the count was written."""
        self._of(key).values["scaled", direction] += 1.0

    def forget(self, keys: Iterable[WorkloadKey]) -> None:
        """Workloads that are gone, though one of the same name may follow."""
        for key in keys:
            self._counts.pop(key, None)

    def clear(self) -> None:
        """Another process leads, and counts."""
        self._counts.clear()

    def shown(self) -> Mapping[WorkloadKey, Mapping[Name, float]]:
        """What a scrape gets, in a thread of its own: a cycle may begin or forget workloads meanwhile."""
        present = list(self._counts.items())
        shown = {key: counts.values if counts.scraped else _nothing() for key, counts in present}
        for _, counts in present:
            counts.scraped = True
        return shown

    def _of(self, key: WorkloadKey) -> _Counts:
        return self._counts.setdefault(key, _Counts(_nothing()))


def _nothing() -> dict[Name, float]:
    names = [(side, each.name) for side in SIDES for each in fields(Usage)]
    return dict.fromkeys([*names, *(("scaled", direction) for direction in DIRECTIONS)], 0.0)


def _add(counts: _Counts, entry: Entry, until_seconds: float) -> None:
    """Add an interval; of one that was counted in part already, as after a failed cycle, the rest of it."""
    if until_seconds <= counts.until_seconds or entry.seconds <= 0.0:
        return
    share = min(1.0, (until_seconds - counts.until_seconds) / entry.seconds)
    counts.until_seconds = until_seconds
    for side in SIDES:
        usage = getattr(entry, side)
        for each in _FIELDS:
            counts.values[side, each] += share * getattr(usage, each)


_FIELDS = tuple(each.name for each in fields(Usage))
