"""What an HPA is shown, sync by sync, and what it made of it.

The real controller asks its metrics API once per sync, so that the n-th ask is the n-th sync: a script in asks is free
of the clock. A phase may wait for the world (all pods Ready, two of them still starting) before it begins, so that
what the controller sees is known whatever the machine's load.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from kcloud_autoscale.domain.policy import MetricKind, ScalingRules


class Fault(StrEnum):
    """Ways of a metrics API to give no value."""

    ERROR = "error"  # HTTP 500
    EMPTY = "empty"  # an empty list


Value = float | Fault


class Pose(StrEnum):
    """What a running pod is made to look like; the stand-in for its kubelet leaves it so."""

    STARTING = "starting"  # just started, and not Ready
    NEVER_READY = "never ready"  # started ten minutes ago, and unready since ten seconds later
    LOST = "lost"  # started ten minutes ago, and unready for a minute
    LONG_READY = "long ready"  # started ten minutes ago, and Ready since ten seconds later


@dataclass(frozen=True)
class SeenPod:
    """A pod as its watch last told it; when it started and became Ready or unready are monotonic times."""

    name: str
    phase: str
    ready: bool
    deleting: bool
    started_seconds: float | None = None
    changed_seconds: float | None = None


@dataclass(frozen=True)
class World:
    """A Deployment: `spec.replicas`, `status.replicas` and its pods."""

    replicas: int
    status_replicas: int
    pods: tuple[SeenPod, ...]

    @property
    def active(self) -> tuple[SeenPod, ...]:
        return tuple(pod for pod in self.pods if not pod.deleting)

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.active)

    @property
    def serving(self) -> int:
        """Ready, be it on the way out."""
        return sum(pod.ready for pod in self.pods)


Condition = Callable[[World], bool]


def at_once(_: World) -> bool:
    return True


def settled(world: World) -> bool:
    """Every pod asked for exists and runs, and none is on its way out."""
    running = sum(pod.phase == "Running" for pod in world.pods)
    return world.replicas == world.status_replicas == len(world.pods) == running


def starting(count: int) -> Condition:
    """Every pod asked for exists, and `count` of them do not run yet."""

    def holds(world: World) -> bool:
        pending = sum(pod.phase == "Pending" for pod in world.pods)
        return world.replicas == world.status_replicas == len(world.pods) and pending == count

    return holds


def leaving(count: int) -> Condition:
    """Every pod asked for runs, and `count` more are on their way out."""

    def holds(world: World) -> bool:
        gone = sum(pod.deleting for pod in world.pods)
        return world.replicas == world.status_replicas == world.ready and gone == count

    return holds


@dataclass(frozen=True)
class Phase:
    """What the metrics API answers for a while.

    Attributes:
        values: One per metric of the HPA; of a utilization, per cent that each running pod uses.
        asks: Syncs that see it, at least; more while the next phase waits for its condition.
        when: Must hold at two syncs in a row for the phase to begin.
        missing: Running pods whose utilization is left out.
    """

    values: tuple[Value, ...]
    asks: int = 1
    when: Condition = at_once
    missing: int = 0


@dataclass(frozen=True)
class Scenario:
    """One Deployment, its HPA and what the HPA is shown.

    Attributes:
        name: Of Deployment and HPA.
        kind: Of all metrics.
        targets: One per metric: total per replica, value, or utilization 0-1.
        start: Replicas at the beginning, all Ready.
        phases: The script.
        up: Behavior; None leaves `behavior` out of the HPA, and with it `down`.
        down: Behavior.
        least: `minReplicas`.
        most: `maxReplicas`.
        startup_seconds: From scheduled to Ready.
        shutdown_seconds: From deleted to gone.
        posed: Pods that look otherwise than just started and Ready, from the beginning.
        pose: How.
        resource: What a utilization is of: `cpu` and `memory` are shares of the requests, `gpu` a number per pod.
        window_seconds: What a sample of a utilization is a mean over.
    """

    name: str
    kind: MetricKind
    targets: tuple[float, ...]
    start: int
    phases: tuple[Phase, ...]
    up: ScalingRules | None
    down: ScalingRules | None
    least: int = 1
    most: int = 10
    startup_seconds: float = 0.2
    shutdown_seconds: float = 0.2
    posed: int = 0
    pose: Pose = Pose.STARTING
    resource: str = "cpu"
    window_seconds: int = 0


@dataclass(frozen=True)
class Sync:
    """One look of the controller.

    Attributes:
        at_seconds: Monotonic time of its first ask.
        world: At that instant.
        phase: What it was answered.
        metered: Utilization: the pods that a value was given for.
    """

    at_seconds: float
    world: World
    phase: Phase
    metered: frozenset[str] = frozenset()


@dataclass
class Played:
    """A scenario as it unfolds; the metrics API asks it what to answer.

    Attributes:
        scenario: Its script.
        world: How the Deployment stands now.
        syncs: So far.
        finished: The script is through.
        counts: When it is: the values that `spec.replicas` took, each with its time.
    """

    scenario: Scenario
    world: Callable[[], World]
    syncs: list[Sync] = field(default_factory=list)
    finished: threading.Event = field(default_factory=threading.Event)
    counts: list[tuple[float, int]] = field(default_factory=list)
    _index: int = 0
    _asked: int = 0

    def begin_sync(self) -> Sync:
        """The first metric of a sync is asked for."""
        world, phases = self.world(), self.scenario.phases
        if self._asked >= phases[self._index].asks:
            following = phases[self._index + 1] if self._index + 1 < len(phases) else None
            if following is not None and following.when(world) and following.when(self.syncs[-1].world):
                self._index, self._asked = self._index + 1, 0
        self._asked += 1
        phase = phases[self._index]
        sync = Sync(time.monotonic(), world, phase, self._metered(world, phase))
        if not self.finished.is_set():
            self.syncs.append(sync)
        # One ask beyond the script, to see what the last one led to.
        if self._index == len(phases) - 1 and self._asked > phase.asks:
            self.finished.set()
        return sync

    def _metered(self, world: World, phase: Phase) -> frozenset[str]:
        if self.scenario.kind is not MetricKind.UTILIZATION or isinstance(phase.values[0], Fault):
            return frozenset()
        running = sorted(pod.name for pod in world.active if pod.phase == "Running")
        return frozenset(running[phase.missing :])

    @property
    def after(self) -> list[int]:
        """`spec.replicas` after each sync but the last."""
        return [sync.world.replicas for sync in self.syncs[1:]]

    def changes_before(self, sync: Sync) -> list[tuple[float, int]]:
        """By how much the count was changed, and when, before a sync."""
        pairs = itertools.pairwise(self.counts)
        return [(at, count - before) for (_, before), (at, count) in pairs if at < sync.at_seconds]
