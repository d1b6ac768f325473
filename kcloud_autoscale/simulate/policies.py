"""What a user would run instead, stated from the published rules and not from our own decision code.

Kubernetes HPA v2 (any target), KEDA, predictive-horizontal-pod-autoscaler, a static peak, perfect foresight with the
same start-up lag, and the clairvoyant bound that scales for free.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.units import SECONDS_PER_DAY
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import IntArray, Policy, World, WorldRules

POLICIES = ("predictive", "hpa", "hpa-tuned", "keda", "phpa", "static", "oracle", "clairvoyant")
# After the name of a policy that lived in the same world without its hard limits.
WITHOUT_CAPS = "-without-caps"
HPA_TARGET = 0.7
TOLERANCE = 0.1
DOWN_WINDOW_SECONDS = 300.0
# Rounding must not decide: 7.7 / 7.0 is 1.1, a hair over the tolerance in binary; 8.4 / 0.7 a hair over 12.
_HAIR = 1e-9


@dataclass(slots=True)
class DownWindow:
    """HPA's scale-down stabilization: the largest recommendation of the last five minutes.

    What it finds at the beginning counts as recommended then.
    """

    steps: int
    recommended: deque[tuple[int, int]] = field(default_factory=deque)

    def stabilized(self, step: int, wanted: int, current: int) -> int:
        """What the window allows: up at once, down to the largest recommendation that is not too old."""
        if not self.recommended:
            self.recommended.append((step, current))
        while self.recommended and self.recommended[-1][1] <= wanted:
            self.recommended.pop()
        self.recommended.append((step, wanted))
        while self.recommended[0][0] < step - self.steps:
            self.recommended.popleft()
        return wanted if wanted >= current else min(current, self.recommended[0][1])


@dataclass(slots=True)
class Hpa:
    """Kubernetes HPA v2 on the load of ready replicas, at a target utilization.

    The published rule: ``desired = ceil(current × metric / target)``, nothing within the tolerance. Replicas that are
    not ready are left out, and when scaling up are counted with no load, which dampens it. The controller cuts a
    utilization to whole per cent (77.9 % is 77 %, within a tenth of 70 %), which the published rule does not say.
    Its floor is at least one replica, as `minReplicas` is without the alpha gate HPAScaleToZero: nothing would wake it.
    """

    rules: WorldRules
    step_seconds: float
    target: float = HPA_TARGET
    name: str = "hpa"
    window: DownWindow = field(init=False)

    def __post_init__(self) -> None:
        self.window = DownWindow(int(DOWN_WINDOW_SECONDS / self.step_seconds))

    def decide(self, step: int, known: FloatArray, world: World) -> tuple[int, str]:
        demand = float(known[-1]) if len(known) else math.nan
        if math.isnan(demand) or world.ready == 0:
            return world.replicas, "NoMetrics"
        wanted = self._recommended(demand, world)
        wanted = min(max(wanted, self.rules.min_replicas, 1), self.rules.max_replicas)
        allowed = self.window.stabilized(step, wanted, world.replicas)
        if allowed == world.replicas:
            return allowed, "Stabilized" if wanted < allowed else "WithinTolerance"
        return allowed, "AboveTarget" if allowed > world.replicas else "BelowTarget"

    def _recommended(self, demand: float, world: World) -> int:
        per_replica = self.target * self.rules.capacity_per_replica
        usage = demand / (world.ready * per_replica)
        if usage > 1.0 and world.ready < world.replicas:
            usage = demand / (world.replicas * per_replica)
            if usage <= 1.0 + TOLERANCE + _HAIR:
                return world.replicas
            return math.ceil(usage * world.replicas - _HAIR)
        if abs(usage - 1.0) <= TOLERANCE + _HAIR:
            return world.replicas
        return math.ceil(usage * world.ready - _HAIR)


@dataclass(slots=True)
class Keda:
    """KEDA: an HPA on an external metric shared by all replicas, and zero after the cooldown where the floor is 0.

    An external metric knows nothing of readiness: the ratio is taken over all replicas. Its polling of 30 s matters
    only for waking from zero, and is shorter than a step.
    """

    rules: WorldRules
    step_seconds: float
    target: float = HPA_TARGET
    cooldown_seconds: float = 300.0
    name: str = "keda"
    idle_since: int | None = None
    window: DownWindow = field(init=False)

    def __post_init__(self) -> None:
        self.window = DownWindow(int(DOWN_WINDOW_SECONDS / self.step_seconds))

    def decide(self, step: int, known: FloatArray, world: World) -> tuple[int, str]:
        demand = float(known[-1]) if len(known) else math.nan
        if math.isnan(demand):
            return world.replicas, "NoMetrics"
        self.idle_since = None if demand > 0.0 else step if self.idle_since is None else self.idle_since
        if world.replicas == 0:
            return (max(1, self.rules.min_replicas), "Activated") if demand > 0.0 else (0, "Idle")
        if self.rules.min_replicas == 0 and self.idle_since is not None:
            cool = (step - self.idle_since) * self.step_seconds >= self.cooldown_seconds
            return (0, "Idle") if cool else (world.replicas, "Cooldown")
        per_replica = self.target * self.rules.capacity_per_replica
        wanted = world.replicas
        if abs(demand / (world.replicas * per_replica) - 1.0) > TOLERANCE + _HAIR:
            wanted = math.ceil(demand / per_replica - _HAIR)
        wanted = min(max(wanted, self.rules.min_replicas, 1), self.rules.max_replicas)
        allowed = self.window.stabilized(step, wanted, world.replicas)
        return allowed, "Stabilized" if wanted < allowed else "AverageValue"


@dataclass(slots=True)
class Phpa:
    """predictive-horizontal-pod-autoscaler: additive Holt-Winters on HPA's counts, the larger of both.

    Smoothing 0.9 for level, trend and season as in its documentation, one season a day. The recursion is that of
    Holt-Winters with the first season as its start; it predicts the next step, so it does not know of start-up times.
    """

    hpa: Hpa
    season_steps: int
    smoothing: float = 0.9
    name: str = "phpa"
    first_season: list[float] = field(default_factory=list)
    season: list[float] = field(default_factory=list)
    level: float = 0.0
    trend: float = 0.0

    def decide(self, step: int, known: FloatArray, world: World) -> tuple[int, str]:
        wanted, reason = self.hpa.decide(step, known, world)
        predicted = self._next(step, float(wanted))
        if predicted > wanted:
            limit = self.hpa.rules.max_replicas
            return min(predicted, limit), "Predicted"
        return wanted, reason

    def _next(self, step: int, count: float) -> int:
        """Take in this step's count and predict the next."""
        if len(self.first_season) < self.season_steps:
            self.first_season.append(count)
            if len(self.first_season) == self.season_steps:
                self.level = sum(self.first_season) / self.season_steps
                self.season = [each - self.level for each in self.first_season]
            return 0
        slot, a = step % self.season_steps, self.smoothing
        level = a * (count - self.season[slot]) + (1.0 - a) * (self.level + self.trend)
        self.trend = a * (level - self.level) + (1.0 - a) * self.trend
        self.season[slot] = a * (count - level) + (1.0 - a) * self.season[slot]
        self.level = level
        ahead = self.season[(step + 1) % self.season_steps]
        return math.ceil(self.level + self.trend + ahead - _HAIR)


@dataclass(slots=True)
class Planned:
    """A plan made beforehand: what to run at each step of the trace."""

    name: str
    plan: IntArray
    reason: str

    def decide(self, step: int, known: FloatArray, world: World) -> tuple[int, str]:
        return int(self.plan[step]), self.reason


def static_peak(trace: Trace, rules: WorldRules) -> Planned:
    """As many as the largest demand of the trace needs, always. It knows the peak beforehand."""
    need = rules.needed(trace.demand)
    return Planned("static", np.full(len(need), need.max()), "Peak")


def oracle(trace: Trace, rules: WorldRules) -> Planned:
    """Perfect foresight with the same start-up lag, at the least replica-hours without a violation.

    What runs at ``t`` is the largest need of ``[t, t + L]``: a replica needed at ``s`` is ordered at ``s - L``. Between
    two needs ``g`` steps apart it is kept when ``g <= L`` and ordered anew otherwise: the cheaper of the two, each.
    """
    need, lag = rules.needed(trace.demand), rules.startup_steps(trace.step_seconds)
    padded = np.concatenate((need, np.full(lag, need[-1] if len(need) else 0)))
    plan = np.lib.stride_tricks.sliding_window_view(padded, lag + 1).max(axis=1)
    return Planned("oracle", plan, "Foresight")


def clairvoyant(trace: Trace, rules: WorldRules) -> Planned:
    """The bound, in a world where scaling is free and at once: exactly what each step needs."""
    return Planned("clairvoyant", rules.needed(trace.demand), "Exact")


def policy_named(name: str, trace: Trace, rules: WorldRules) -> Policy:
    """One that neither learns from others nor is ours; where it is the clairvoyant, for a world without start-up."""
    step = trace.step_seconds
    if name == "hpa":
        return Hpa(rules, step)
    if name == "keda":
        return Keda(rules, step)
    if name == "phpa":
        return Phpa(Hpa(rules, step), season_steps(step))
    planned = {"static": static_peak, "oracle": oracle, "clairvoyant": clairvoyant}
    return planned[name](trace, rules)


def hpa_beside(name: str) -> str:
    """The HPA that a policy is compared with: that of its own world."""
    return f"hpa{WITHOUT_CAPS}" if name.endswith(WITHOUT_CAPS) else "hpa"


def season_steps(step_seconds: float) -> int:
    """Steps of a day."""
    return max(2, round(SECONDS_PER_DAY / step_seconds))
