"""What one tick hands to the next. Lost state means hold, never a blind move.

Everything here is small and per workload; the forecaster's arrays live beside it (`tick.FleetState`) and are
rebuilt from Prometheus after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kcloud_autoscale.domain.series import FloatArray


@dataclass(frozen=True, slots=True)
class ScaleEvent:
    """A change of ``spec.replicas`` we made: positive up, negative down."""

    at_seconds: float
    change: int


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A wanted count before stabilization."""

    at_seconds: float
    replicas: int


@dataclass(frozen=True, slots=True)
class LeadTimeState:
    """Start-up durations seen: creation to Ready, seconds, newest last; ``seen`` are the pods already counted."""

    durations_seconds: tuple[float, ...] = ()
    seen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class CapacityState:
    """Observed (load per replica, metric) pairs of one target metric, newest last, shape ``(pairs,)`` each."""

    metric_name: str
    load_per_replica: FloatArray = field(default_factory=lambda: np.empty(0))
    metric: FloatArray = field(default_factory=lambda: np.empty(0))
    capacity_per_replica: float | None = None
    fitted_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class BaselineState:
    """The shadow autoscaler: what it would run now, and what it remembers."""

    replicas: int | None = None
    recommendations: tuple[Recommendation, ...] = ()
    scale_events: tuple[ScaleEvent, ...] = ()
    starting: tuple[ScaleEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used since the ledger began; every field only grows."""

    replica_seconds: float = 0.0
    accelerator_seconds: float = 0.0
    usd: float = 0.0
    joules: float = 0.0
    grams_co2e: float = 0.0
    demand_served: float = 0.0
    demand_missed: float = 0.0

    def plus(self, other: Usage) -> Usage:
        """Both added up, field by field."""
        return Usage(
            self.replica_seconds + other.replica_seconds,
            self.accelerator_seconds + other.accelerator_seconds,
            self.usd + other.usd,
            self.joules + other.joules,
            self.grams_co2e + other.grams_co2e,
            self.demand_served + other.demand_served,
            self.demand_missed + other.demand_missed,
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """Actual beside the baseline, over exactly the intervals in which both were known.

    ``spent_usd`` counts every interval with a known price, baseline or not: budgets rest on it.
    ``period_start_seconds`` is when the running budget period began, ``period_spent_usd`` what it has cost so far.
    """

    since_seconds: float
    updated_seconds: float
    actual: Usage = field(default_factory=Usage)
    baseline: Usage = field(default_factory=Usage)
    spent_usd: float = 0.0
    period_start_seconds: float = 0.0
    period_spent_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """One workload's memory.

    Attributes:
        since_seconds: First tick of this process that saw the workload; scale-down waits a full window from here.
        original_replicas: At adoption; what ``Restore`` returns to and the ``previous`` baseline.
        good_since_seconds: Start of the unbroken run of usable data; None while data are unusable.
        unknown_since_seconds: Since when they are unusable; None while they are usable.
        recommendations: Within the longest stabilization window.
        scale_events: Within the longest rate-limit period.
        watts_per_replica_samples: Recent measured draws of one replica, newest last.
        last_desired: What the previous tick wanted.
    """

    since_seconds: float
    original_replicas: int | None = None
    good_since_seconds: float | None = None
    unknown_since_seconds: float | None = None
    recommendations: tuple[Recommendation, ...] = ()
    scale_events: tuple[ScaleEvent, ...] = ()
    lead_time: LeadTimeState = field(default_factory=LeadTimeState)
    capacity: tuple[CapacityState, ...] = ()
    watts_per_replica_samples: tuple[float, ...] = ()
    baseline: BaselineState = field(default_factory=BaselineState)
    ledger: Ledger | None = None
    last_desired: int | None = None
    last_decision_id: str = ""
