"""What was decided, and why: one Step per rule, so that every limiter is seen beside what it limited."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from kcloud_autoscale.domain.capacity import Capacity
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.reading import Reading
from kcloud_autoscale.domain.series import Forecast
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey


class Stage(StrEnum):
    """The rules in the order they run. The order is a contract."""

    GUARD = "guard"
    SIZE = "size"
    STABILIZE = "stabilize"
    PLACE = "place"
    CONSOLIDATE = "consolidate"
    CAPS = "caps"
    STAGE = "stage"


@frozen
class Step:
    """What one rule did to the count.

    ``reason`` is a CamelCase token for machines. ``message`` is a sentence for people with the numbers in it; it is
    put together only when read, because a replay of a month makes hundreds of thousands of steps and prints few.
    """

    stage: Stage
    before: int
    after: int
    reason: str
    text: str = ""
    values: tuple[object, ...] = ()

    @property
    def message(self) -> str:
        return self.text.format(*self.values)


@frozen
class Input:
    """A number the decision rests on, with its unit in the name; ``value`` None when it is missing.

    Of a lower bound ``at_least`` is True, and the note says why it is no more than that.
    """

    name: str
    value: float | None
    age_seconds: float | None
    note: str = ""
    at_least: bool = False


@frozen
class Proposal:
    """How many replicas one signal asks for: ``observed-demand``, ``forecast``, or a metric by name."""

    name: str
    replicas: int
    text: str = ""
    values: tuple[object, ...] = ()

    @property
    def message(self) -> str:
        return self.text.format(*self.values)


@frozen
class CapState:
    """One hard limit and how the decision stands to it.

    Attributes:
        name: ``maxCostPerHour``, ``maxPowerUsage``, ``budgetLimit``, or ``<policy>/<limit>``.
        limit: In the unit of the name.
        used: By the final count; None when the price or power of a replica is unknown.
        binding: It cut this decision.
        floor_excess: By how much ``minReplicas`` alone breaks it; 0 when it does not.
        uncounted: Members of whose use nothing is known; they may not grow, and are not in ``used``.
    """

    name: str
    limit: float
    used: float | None
    binding: bool = False
    floor_excess: float = 0.0
    uncounted: int = 0


@frozen
class ScaleAction:
    """One write to ``/scale``, valid only for the object it was decided on.

    Attributes:
        decision_id: Also the id of the action: a decision has one at most.
        needs: Ids of the shrinks that must have been written before this growth; empty where it fits without them.
        waiting_since_seconds: Tick since which the workload waits for its turn to be written.
    """

    key: WorkloadKey
    decision_id: str
    target: TargetRef
    target_uid: str
    resource_version: str
    from_replicas: int
    to_replicas: int
    min_replicas: int
    max_replicas: int
    reason: str
    needs: tuple[str, ...] = ()
    waiting_since_seconds: float = 0.0


class ScaleOutcome(StrEnum):
    """What became of one action."""

    WRITTEN = "Written"
    DRY_RUN = "DryRun"  # the API server checked the write and kept nothing
    STALE = "Stale"  # the world moved on; the next cycle looks again
    GONE = "Gone"  # no such target any more
    REFUSED = "Refused"  # forbidden, invalid, not scalable: trying again will not help by itself
    FAILED = "Failed"  # no answer, or the server's fault
    DEFERRED = "Deferred"  # not tried: out of time, or a shrink it relies on did not happen
    NOT_LEADER = "NotLeader"  # not tried: another process may act now

    @property
    def tried(self) -> bool:
        """The workload has had its turn."""
        return self not in (ScaleOutcome.DEFERRED, ScaleOutcome.NOT_LEADER)


@frozen
class ScaleResult:
    """One action and its outcome.

    Attributes:
        action: What was to be written.
        outcome: What became of it.
        message: Why it was not written; empty when it was.
        replicas: What was asked of the API server; None when nothing was.
        overloaded: The API server asked to be left alone for a while: the refusal is no fault of this target.
    """

    action: ScaleAction
    outcome: ScaleOutcome
    message: str = ""
    replicas: int | None = None
    overloaded: bool = False

    @property
    def written(self) -> bool:
        return self.outcome is ScaleOutcome.WRITTEN


@frozen
class Decision:
    """The outcome of one tick for one workload.

    Attributes:
        id: Unique per workload and instant; the same in the Event, the log line and the status.
        current_replicas: ``spec.replicas`` when looked at; None when the target is unknown.
        desired_replicas: What should run; None only when the target is unknown.
        uncapped_replicas: What would run without the hard caps.
        lead_time_seconds: Behind the forecast need.
        capacity: What a replica was taken to serve; None while unknown.
        level: Quantile the forecast need used.
        pending_replicas: Ordered, and without a node: their pods wait for one, or could not be made.
        schedulable_replicas: Most that find a node, as far as it was seen; None while none was refused.
        hold_reason: Why nothing may change, empty when it may.
        conditions: Facts for the status conditions: (type, true?, reason, message); None means unknown.
        action: The write to do now; None when nothing is to be written (hold, equal, Recommend, Off, waiting).
    """

    id: str
    key: WorkloadKey
    at_seconds: float
    current_replicas: int | None
    desired_replicas: int | None
    uncapped_replicas: int | None = None
    ready_replicas: int | None = None
    steps: tuple[Step, ...] = ()
    inputs: tuple[Input, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    forecast: Forecast | None = None
    level: float | None = None
    lead_time_seconds: float | None = None
    lead_time_source: str = "unknown"
    capacity: Capacity | None = None
    usd_per_replica_hour: Reading | None = None
    watts_per_replica: Reading | None = None
    caps: tuple[CapState, ...] = ()
    pending_replicas: int = 0
    schedulable_replicas: int | None = None
    hold_reason: str = ""
    conditions: tuple[ConditionFact, ...] = ()
    action: ScaleAction | None = None

    @property
    def final_reason(self) -> str:
        """The reason of the last step that changed the count; when none did, why it was held, else the last step's."""
        changed = [step for step in self.steps if step.before != step.after]
        if changed:
            return changed[-1].reason
        return self.hold_reason or (self.steps[-1].reason if self.steps else "")


@frozen
class ConditionFact:
    """One condition as this tick knows it; ``status`` None is Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str


@frozen
class FleetDecision:
    """All decisions of a tick, and the writes in the order they must be made."""

    decisions: tuple[Decision, ...]
    actions: tuple[ScaleAction, ...] = ()
    problems: tuple[str, ...] = field(default=())
