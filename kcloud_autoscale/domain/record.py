"""What outlives every process: the money that was spent, and the counts there is a way back to.

It is kept where tenants cannot write. A status shows the same numbers to people, and is not believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.state import Gap, HeldCount, Ledger, Misses, ScopeSpend, WorkloadState
from kcloud_autoscale.domain.workload import WorkloadKey


@frozen
class WorkloadRecord:
    """One WorkloadOptimizer on record.

    Attributes:
        namespace: Where it is, so that a process that serves other namespaces keeps it.
        original_replicas: At adoption.
        ledger: None before the first tick that accounts.
        misses: What each price of a miss would have missed.
        paid_replicas: At the last update of the ledger; None while the target was unknown.
        usd_per_replica_hour: Then; None while the price was unknown.
        held: The count that was set where there is nothing to scale on: a limit that has cut it gives it back.
    """

    namespace: str
    original_replicas: int | None = None
    ledger: Ledger | None = None
    misses: Misses | None = None
    paid_replicas: int | None = None
    usd_per_replica_hour: float | None = None
    held: HeldCount | None = None

    @property
    def gap(self) -> Gap | None:
        """What is to be settled from the ledger's last update on."""
        return None if self.ledger is None else Gap(self.paid_replicas, self.usd_per_replica_hour)


@dataclass(frozen=True, slots=True)
class FleetRecord:
    """Everything on record.

    Attributes:
        since_seconds: When it was begun: what a workload that is not in it can have spent at most.
        workloads: By uid of the optimizer: a successor of the same name is another one.
        spends: By uid of the CostPolicy.
        is_new: No tick has been put on it yet. The statuses are believed until then, within bounds: a version before
            this one kept everything there.
    """

    since_seconds: float
    workloads: Mapping[str, WorkloadRecord] = field(default_factory=dict)
    spends: Mapping[str, ScopeSpend] = field(default_factory=dict)
    is_new: bool = False

    def moved(self, seconds: float) -> FleetRecord:
        """The same on a clock that was set by ``seconds``: what was dated then has become as much later, or earlier."""
        workloads = {
            uid: one if one.ledger is None else replace(one, ledger=_moved(one.ledger, seconds))
            for uid, one in self.workloads.items()
        }
        spends = {uid: replace(one, updated_seconds=one.updated_seconds + seconds) for uid, one in self.spends.items()}
        return replace(self, since_seconds=self.since_seconds + seconds, workloads=workloads, spends=spends)


def _moved(ledger: Ledger, seconds: float) -> Ledger:
    """Only the end moves: periods and the beginning are dates of the calendar, which a wrong clock does not change."""
    return replace(ledger, updated_seconds=ledger.updated_seconds + seconds)


def workload_record(
    key: WorkloadKey, state: WorkloadState, paid_replicas: int | None, usd_per_replica_hour: float | None
) -> WorkloadRecord:
    """What is kept of one workload after a tick."""
    misses = None if state.level is None else state.level.misses
    return WorkloadRecord(
        namespace=key.namespace,
        original_replicas=state.original_replicas,
        ledger=state.ledger,
        misses=misses,
        paid_replicas=paid_replicas,
        usd_per_replica_hour=usd_per_replica_hour,
        held=state.decided.held,
    )
