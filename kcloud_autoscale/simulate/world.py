"""The simulated world: replicas that take time to start, on a demand that nobody knows beforehand.

Step ``t`` covers ``[t, t + 1)`` times the step's seconds and has a mean demand ``d[t]``. The decision at its start
knows ``d[0 .. t - 1]``. Replicas ordered at ``t`` are paid for from ``t`` and serve from ``t + ceil(startup / step)``;
a scale-down is immediate and takes the replicas that have been starting for the shortest time first. A step violates
when its demand exceeds what the ready replicas can serve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.simulate.trace_rows import Trace

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Hold = Callable[[int, int, str, "World"], tuple[int, str]]
"""Step, wanted count, its reason and the world -> what the hard limits leave of the count, and the reason for that."""
# The ceiling of a world that was given none: pods are simulated one by one.
MOST_REPLICAS = 100_000
# Replicas' worth that a float still holds a hundredfold, as an HPA with a target of 1 % needs it.
_MOST_WORTH = 1e300


@dataclass(frozen=True, slots=True)
class WorldRules:
    """What one replica can do and costs.

    Attributes:
        capacity_per_replica: Load per second a ready replica serves.
        startup_seconds: From order to ready.
        min_replicas: Floor of every policy.
        max_replicas: Ceiling of every policy.
        usd_per_replica_hour: None when not given; then nothing is said of money.
        watts_per_replica: None when not given.
        grams_per_kwh: Of the grid; None when not given.
        history_steps: Steps at the beginning of a trace that are known but neither decided nor scored.
        settle_seconds: Our own forecast learns of a step so long after its end, as an operator's whose Prometheus must
            have stored the last scrape first. What is served now is known at once, to it as to every policy.
    """

    capacity_per_replica: float
    startup_seconds: float
    min_replicas: int = 1
    max_replicas: int = MOST_REPLICAS
    usd_per_replica_hour: float | None = None
    watts_per_replica: float | None = None
    grams_per_kwh: float | None = None
    history_steps: int = 0
    settle_seconds: float = 0.0

    def check(self, trace: Trace) -> None:
        """Raise ConfigError for what cannot be simulated, by name and value."""
        if not self.capacity_per_replica > 0.0 or not math.isfinite(self.capacity_per_replica):
            raise ConfigError(f"capacity per replica is {self.capacity_per_replica:g}, must be greater than 0")
        if not self.startup_seconds >= 0.0 or not math.isfinite(self.startup_seconds):
            raise ConfigError(f"startup seconds is {self.startup_seconds:g}, must be 0 or more")
        if not self.settle_seconds >= 0.0 or not math.isfinite(self.settle_seconds):
            raise ConfigError(f"settle seconds is {self.settle_seconds:g}, must be 0 or more")
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ConfigError(f"min replicas {self.min_replicas} and max replicas {self.max_replicas} are out of order")
        if not 0 <= self.history_steps < len(trace.demand):
            raise ConfigError(
                f"{trace.name}: {self.history_steps} steps of history were asked for, the trace has {len(trace.demand)}"
            )
        if not np.isfinite(trace.demand[self.history_steps :]).any():
            raise ConfigError(f"{trace.name}: no known demand in {len(trace.demand) - self.history_steps} steps")
        largest = float(np.nanmax(trace.demand))
        if largest / _MOST_WORTH > self.capacity_per_replica:
            capacity = f"{self.capacity_per_replica:g} each"
            raise ConfigError(
                f"{trace.name}: a demand of {largest:g} needs more replicas of {capacity} than can be counted"
            )

    def startup_steps(self, step_seconds: float) -> int:
        """Whole steps until a replica serves: 90 s at 60 s steps are 2."""
        return math.ceil(self.startup_seconds / step_seconds - 1e-9)

    def settle_steps(self, step_seconds: float) -> int:
        """By how many steps our forecast's data lag at the beginning of a step: 10 s at 60 s steps are 1."""
        return math.ceil(self.settle_seconds / step_seconds - 1e-9)

    def taught_steps(self, step_seconds: float) -> int:
        """Steps that the forecast has learned before the first decision."""
        return max(0, self.history_steps - self.settle_steps(step_seconds))

    def needed(self, demand: FloatArray) -> IntArray:
        """Replicas that serve the demand exactly, within the bounds; where it is unknown, what was needed before."""
        last_known = np.maximum.accumulate(np.where(np.isfinite(demand), np.arange(len(demand)), 0))
        need = np.ceil(np.nan_to_num(demand[last_known]) / self.capacity_per_replica - 1e-9)
        # Clipped while it is a float: 1e20 is more than an integer holds.
        return np.asarray(np.clip(need, self.min_replicas, self.max_replicas).astype(np.int64))


@dataclass(slots=True)
class World:
    """Replicas at one instant; `starting` holds (step from which they serve, how many), oldest first."""

    replicas: int
    ready: int
    startup_steps: int
    starting: list[tuple[int, int]]

    @classmethod
    def at_rest(cls, replicas: int, startup_steps: int) -> World:
        """A world in which all replicas have been ready for long."""
        return cls(replicas, replicas, startup_steps, [])

    def mature(self, step: int) -> None:
        """Let those serve whose start-up is over at the beginning of `step`."""
        while self.starting and self.starting[0][0] <= step:
            self.ready += self.starting.pop(0)[1]

    def order(self, step: int, replicas: int) -> None:
        """Carry out a decision made at the beginning of `step`."""
        change = replicas - self.replicas
        self.replicas = replicas
        if change > 0:
            self.starting.append((step + self.startup_steps, change))
            self.mature(step)
        while change < 0 and self.starting:
            serves_from, count = self.starting.pop()
            if count > -change:
                self.starting.append((serves_from, count + change))
            change = min(0, change + count)
        self.ready += min(0, change)


def default_ceiling(min_replicas: int) -> int:
    """Most replicas where no limit was given: `MOST_REPLICAS`, and never below the floor."""
    return max(MOST_REPLICAS, min_replicas)


class Policy(Protocol):
    """One way to set replicas; every policy sees the same and no more."""

    @property
    def name(self) -> str:
        """For tables."""

    def decide(self, step: int, known: FloatArray, world: World) -> tuple[int, str]:
        """Replicas wanted from the beginning of `step`, and the reason.

        Args:
            step: Index of the step that begins.
            known: Demand of all steps before it, shape ``(step,)``.
            world: Replicas before the decision; to be read only.
        """


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredMisses:
    """Steps that were measured to miss an objective, shape ``(steps,)`` each.

    Attributes:
        missed: The objective was missed.
        known: Something was measured, or nothing was asked for; what is not known is not missed.
    """

    missed: BoolArray
    known: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a policy did, one entry per scored step.

    Attributes:
        policy: Its name.
        first_step: Index of the first scored step in the trace.
        step_seconds: Spacing.
        demand: Shape ``(steps,)``.
        replicas: Shape ``(steps,)``, paid for.
        ready: Shape ``(steps,)``, serving.
        reasons: One token per step.
        measured: What was measured of its misses, where the run is one that took place.
    """

    policy: str
    first_step: int
    step_seconds: float
    demand: FloatArray
    replicas: IntArray
    ready: IntArray
    reasons: Sequence[str]
    measured: MeasuredMisses | None = None


def free(step: int, wanted: int, reason: str, world: World) -> tuple[int, str]:
    """No limit at all."""
    return wanted, reason


def replay(
    trace: Trace,
    rules: WorldRules,
    policy: Policy,
    watch: Callable[[Iterable[int]], Iterable[int]] = lambda steps: steps,
    hold: Hold = free,
) -> Run:
    """Let a policy live through the trace, step by step.

    Args:
        trace: Demand per step.
        rules: Of the world.
        policy: Sets the replicas.
        watch: Goes through the steps, as a progress bar does.
        hold: Lowers what the policy wants to what the world's hard limits allow.
    """
    first, steps = rules.history_steps, len(trace.demand)
    world = World.at_rest(initial_replicas(trace, rules), rules.startup_steps(trace.step_seconds))
    replicas, ready = np.empty(steps - first, np.int64), np.empty(steps - first, np.int64)
    reasons: list[str] = []
    demand = trace.demand
    for step in watch(range(first, steps)):
        world.mature(step)
        wanted, reason = hold(step, *policy.decide(step, demand[:step], world), world)
        if wanted != world.replicas:
            world.order(step, min(max(wanted, rules.min_replicas), rules.max_replicas))
        replicas[step - first], ready[step - first] = world.replicas, world.ready
        reasons.append(reason)
    return Run(policy.name, first, trace.step_seconds, demand[first:], replicas, ready, reasons)


def initial_replicas(trace: Trace, rules: WorldRules) -> int:
    """What runs before the first decision: 70 % full on the last known demand before it, the floor without one."""
    known = trace.demand[: rules.history_steps]
    known = known[np.isfinite(known)]
    last = float(known[-1]) if len(known) else 0.0
    wanted = math.ceil(last / (0.7 * rules.capacity_per_replica) - 1e-9)
    return min(max(wanted, rules.min_replicas, 1), rules.max_replicas)
