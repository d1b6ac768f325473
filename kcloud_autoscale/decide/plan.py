"""One workload's decision in the making: the rules for the whole fleet fill in what the rules for one left."""

from __future__ import annotations

from dataclasses import dataclass, field

from kcloud_autoscale.decide.counting import PodCounts
from kcloud_autoscale.decide.guard import Control, Guarded
from kcloud_autoscale.decide.size import Sized
from kcloud_autoscale.decide.slots import Slots
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import CapState, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import TargetObservation
from kcloud_autoscale.domain.policy import CapUnit
from kcloud_autoscale.domain.reading import Missing, Reading
from kcloud_autoscale.domain.state import Recommendation, ScaleEvent, WriteRefusal


@frozen
class Cap:
    """One limit of a workload by itself, as a rate.

    Attributes:
        name: As in the spec.
        unit: Of the rate.
        rate: Allowed now, in $/h or W.
        budget_usd: Of a budget: its limit; None for the rest.
        spent_usd: Of a budget: spent in its period.
    """

    name: str
    unit: CapUnit
    rate: float
    budget_usd: float | None = None
    spent_usd: float = 0.0


@dataclass(slots=True)
class Plan:
    """What has been found out and decided so far. Lives for one tick.

    Attributes:
        case: The workload.
        target: What it scales.
        pods: Of the target.
        guarded: What the guard allows.
        slots: How many of its replicas find a node.
        current: `spec.replicas` as it was seen.
        replicas: The count as the rules so far leave it.
        uncapped: The count before the hard caps.
        asked: The count to write now; between the present and the decided one.
        decision_id: Unique for workload and instant.
        sized: None while the count is held.
        recommendations: For the next tick.
        events: For the next tick.
        steps: One or more per rule.
        limits: The workload's own hard limits, and whether each cut the count.
        caps: Every hard limit, as it stands in the end.
        own_room: Replicas that fit the workload's own $/h and W limits; None where there is none.
        refusal: The API server refused this change and is not asked again yet: the count stays as it is.
        least_written: Replicas below which the API server refuses to go, though more are wanted; 0 where it has not.
        needs: Shrinks that must be written before this growth.
        waiting_since_seconds: Tick since which a change waits for its turn to be written; None while none does.
    """

    case: Case
    target: TargetObservation
    pods: PodCounts
    guarded: Guarded
    slots: Slots
    current: int
    replicas: int
    uncapped: int
    asked: int
    decision_id: str
    sized: Sized | None = None
    recommendations: tuple[Recommendation, ...] = ()
    events: tuple[ScaleEvent, ...] = ()
    steps: list[Step] = field(default_factory=list)
    limits: list[tuple[Cap, bool]] = field(default_factory=list)
    caps: list[CapState] = field(default_factory=list)
    own_room: int | None = None
    refusal: WriteRefusal | None = None
    least_written: int = 0
    needs: tuple[str, ...] = ()
    waiting_since_seconds: float | None = None

    @property
    def acting(self) -> bool:
        """Its count is ours to write, and the API server lets us."""
        return self.guarded.control is Control.ACT and self.refusal is None

    @property
    def will_run(self) -> int:
        """What the limits have to bear: the decided count where it is ours to write, else the present one."""
        return self.replicas if self.acting else self.current

    @property
    def floor(self) -> int:
        """What money and power may not take: minReplicas, or less where less is decided."""
        return min(self.replicas, self.case.policy.min_replicas)

    @property
    def least(self) -> int:
        """What shared limits may not go below: the floor, and what runs while the API server refuses less."""
        return max(self.floor, self.least_written)

    @property
    def held(self) -> int:
        """Replicas that may hold devices now: those the present count asks for, and those still leaving."""
        return self.target.desired_replicas + self.pods.leaving

    @property
    def given_back(self) -> int:
        """Of those that this tick's write takes, the ones that hold nothing: ReplicaSets take pods without node first.

        Of 24 with 4 placed, told to be 2, 20 held nothing, and their room is free as soon as that is written.
        """
        return min(self.slots.waiting, max(0, self.current - self.asked))

    def each(self, unit: CapUnit) -> Reading:
        """What one replica takes of a limit."""
        case = self.case
        return case.usd_per_replica_hour if unit is CapUnit.USD_PER_HOUR else case.watts_per_replica

    def most(self, unit: CapUnit) -> Reading:
        """The same, or where it is not known an estimate from above; missing where nothing tells."""
        case, each = self.case, self.each(unit)
        if not isinstance(each, Missing):
            return each
        return case.most_usd_per_replica_hour if unit is CapUnit.USD_PER_HOUR else case.most_watts_per_replica

    def limit(self, replicas: int, step: Step) -> None:
        """Lower the count."""
        self.replicas = replicas
        self.steps.append(step)
