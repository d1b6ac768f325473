"""One workload's decision in the making: the rules for the whole fleet fill in what the rules for one left."""

from __future__ import annotations

from dataclasses import dataclass, field

from kcloud_autoscale.decide.case import Case
from kcloud_autoscale.decide.counting import PodCounts
from kcloud_autoscale.decide.guard import Control, Guarded
from kcloud_autoscale.decide.size import Sized
from kcloud_autoscale.domain.decision import CapState, Step
from kcloud_autoscale.domain.observation import TargetObservation
from kcloud_autoscale.domain.policy import CapUnit
from kcloud_autoscale.domain.reading import Reading
from kcloud_autoscale.domain.state import Recommendation, ScaleEvent


@dataclass(slots=True)
class Plan:
    """What has been found out and decided so far. Lives for one tick.

    Attributes:
        case: The workload.
        target: What it scales.
        pods: Of the target.
        guarded: What the guard allows.
        replicas: The count as the rules so far leave it.
        uncapped: The count before the hard caps.
        asked: The count to write now; between the present and the decided one.
        decision_id: Unique for workload and instant.
        sized: None while the count is held.
        recommendations: For the next tick.
        events: For the next tick.
        steps: One or more per rule.
        caps: Every hard limit.
        own_room: Replicas that fit the workload's own $/h and W limits; None where there is none.
    """

    case: Case
    target: TargetObservation
    pods: PodCounts
    guarded: Guarded
    replicas: int
    uncapped: int
    asked: int
    decision_id: str
    sized: Sized | None = None
    recommendations: tuple[Recommendation, ...] = ()
    events: tuple[ScaleEvent, ...] = ()
    steps: list[Step] = field(default_factory=list)
    caps: list[CapState] = field(default_factory=list)
    own_room: int | None = None

    @property
    def current(self) -> int:
        """`spec.replicas` as it was seen."""
        return self.target.desired_replicas

    @property
    def acting(self) -> bool:
        """Its count is ours to write."""
        return self.guarded.control is Control.ACT

    @property
    def floor(self) -> int:
        """What money and power may not take: minReplicas, or less where less is decided."""
        return min(self.replicas, self.case.policy.min_replicas)

    @property
    def held(self) -> int:
        """Replicas that may hold devices now: those the present count asks for, and those still leaving."""
        return self.target.desired_replicas + self.pods.leaving

    def each(self, unit: CapUnit) -> Reading:
        """What one replica takes of a limit."""
        case = self.case
        return case.usd_per_replica_hour if unit is CapUnit.USD_PER_HOUR else case.watts_per_replica

    def limit(self, replicas: int, step: Step) -> None:
        """Lower the count."""
        self.replicas = replicas
        self.steps.append(step)
