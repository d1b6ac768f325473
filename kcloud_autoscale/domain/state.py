"""What one tick hands to the next. Lost state means hold, never a blind move.

Everything here is small and per workload; the forecaster's arrays live beside it (`tick.FleetState`) and are
rebuilt from Prometheus after a restart.
"""

from __future__ import annotations

import math
from dataclasses import field

import numpy as np

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import PodObservation
from kcloud_autoscale.domain.series import FloatArray

PodIdentity = tuple[str, float]  # name, and Unix time of creation


@frozen
class ScaleEvent:
    """A change of ``spec.replicas`` we made: positive up, negative down."""

    at_seconds: float
    change: int


@frozen
class Recommendation:
    """A wanted count before stabilization."""

    at_seconds: float
    replicas: int


@frozen
class LeadTimeState:
    """Start-ups seen of one workload.

    Attributes:
        durations_seconds: Creation to first Ready, newest last.
        p95_seconds: Of those; None while there are too few.
        seen: Pods that are settled: counted, or never to be counted.
        awaited: Pods seen young and not ready; their first readiness can be vouched for.
        looked_at: The pods of the last look; the same tuple again holds nothing new.
    """

    durations_seconds: tuple[float, ...] = ()
    p95_seconds: float | None = None
    seen: frozenset[PodIdentity] = frozenset()
    awaited: frozenset[PodIdentity] = frozenset()
    looked_at: tuple[PodObservation, ...] = ()


@frozen(eq=False)
class CapacityState:
    """What is known of one target metric against load per ready replica.

    Attributes:
        metric_name: The target.
        at_seconds: Shape ``(pairs,)``, Unix time of each pair, ascending; the other arrays run along it.
        load_per_replica: Shape ``(pairs,)``, load per second per ready replica.
        metric: Shape ``(pairs,)``, in the unit of the threshold.
        crossed_per_replica: Load per replica at which the metric crosses the threshold; None while it never did.
        proven_per_replica: Largest load per replica seen to meet the threshold; a lower bound of the capacity.
        threshold: The one the fit is for.
        fitted_seconds: When; 0 before the first fit.
    """

    metric_name: str
    at_seconds: FloatArray = field(default_factory=lambda: np.empty(0))
    load_per_replica: FloatArray = field(default_factory=lambda: np.empty(0))
    metric: FloatArray = field(default_factory=lambda: np.empty(0))
    crossed_per_replica: float | None = None
    proven_per_replica: float | None = None
    threshold: float | None = None
    fitted_seconds: float = 0.0


@frozen
class PowerState:
    """Peaks of the measured draw of one replica, per quarter of an hour.

    Attributes:
        peaks_watts: Newest last, the running block included; at most a day of them.
        block_start_seconds: Of the running block.
        high_watts: Upper quantile of the peaks; None before the first measurement.
    """

    peaks_watts: tuple[float, ...] = ()
    block_start_seconds: float = 0.0
    high_watts: float | None = None


@frozen(eq=False)
class Misses:
    """Steps in which demand exceeded what served, counted with forgetting.

    Attributes:
        steps: With known demand, all of them.
        own: Missed by the workload itself; by the price in use while its count is not ours.
        baseline: By an HPA at 70 %.
        by_price: Shape ``(rungs,)``, by a shadow at each rung of the ladder of prices of a miss.
    """

    steps: float
    own: float
    baseline: float
    by_price: FloatArray


@frozen(eq=False)
class LevelState:
    """Shadows of the workload, one per rung of a ladder of prices of a miss, and what each has missed.

    Attributes:
        misses: Of the shadows, the workload and the HPA; it outlives the process.
        most_wanted: Shape ``(window, rungs)``, row ``i`` the most that each wanted in the newest ``i + 1`` steps of the
            scale-down window, so that the last row is what it orders; no rows before the first step.
        least_run: Shape ``(lead + 1, rungs)``, row ``i`` the least that each ordered in the newest ``i + 1`` steps of
            a start-up, so that the last row is what serves.
        ready_replicas: Serving at the last step.
        at_seconds: Of the last step.
    """

    misses: Misses
    most_wanted: FloatArray
    least_run: FloatArray
    ready_replicas: int = 0
    at_seconds: float = -math.inf

    @classmethod
    def beginning(cls, misses: Misses) -> LevelState:
        """Before the first step of a process, with what an earlier one has counted."""
        nothing = np.zeros((0, len(misses.by_price)))
        return cls(misses, nothing, nothing)


@frozen
class Slots:
    """Replicas that the cluster had room for when pods of the workload waited for a node.

    Attributes:
        replicas: That were bound to nodes.
        seen_seconds: When.
    """

    replicas: int
    seen_seconds: float


@frozen
class BaselineState:
    """The shadow autoscaler: what it would run now, and what it remembers.

    Attributes:
        replicas: Asked for, and billed; None until demand and capacity have been known.
        ready: Of those, past their start-up.
        recommendations: Within the scale-down window.
        starting: Scale-ups whose replicas do not serve yet, oldest first; ``at_seconds`` is when they will.
        daily_peaks: Largest demand of each of the last days: (day since 1970, load per second), ascending.
        slots: What the cluster was last seen to have room for; None while it always had.
    """

    replicas: int | None = None
    ready: int = 0
    recommendations: tuple[Recommendation, ...] = ()
    starting: tuple[ScaleEvent, ...] = ()
    daily_peaks: tuple[tuple[int, float], ...] = ()
    slots: Slots | None = None


@frozen
class Usage:
    """What was used since the ledger began; every field only grows."""

    replica_seconds: float = 0.0
    accelerator_seconds: float = 0.0
    usd: float = 0.0
    joules: float = 0.0
    grams_co2e: float = 0.0
    demand_served: float = 0.0
    demand_missed: float = 0.0


@frozen
class Mark:
    """What had been spent in all when a budget period began.

    Attributes:
        start_seconds: Of the period.
        usd: By us.
        baseline_usd: By the baseline.
    """

    start_seconds: float
    usd: float
    baseline_usd: float = 0.0


@frozen
class Ledger:
    """What ran, and what ran beside what the baseline would have run.

    Attributes:
        since_seconds: When counting began.
        updated_seconds: Until when it is counted.
        actual: Everything that ran, each field over the intervals in which it was known, baseline or not.
        compared: Ours, each field over exactly the intervals in which both sides of it were known.
        baseline: The baseline's, over the same intervals.
        unproven: Of baseline - compared, what does not count, because less was served than the baseline would have.
        period_start_seconds: When the running budget period began.
        period_spent_usd: What it has cost so far.
        period_baseline_usd: What it would have cost the baseline, which has the same budget.
        baseline_spent_usd: What the baseline would have spent in all; where it is unknown, what ours did.
        estimated_usd: Of what was spent, the part billed for gaps of which no reading is left.
        period_marks: Of the last budget periods, the one in use last.
    """

    since_seconds: float
    updated_seconds: float
    actual: Usage = field(default_factory=Usage)
    compared: Usage = field(default_factory=Usage)
    baseline: Usage = field(default_factory=Usage)
    unproven: Usage = field(default_factory=Usage)
    period_start_seconds: float = 0.0
    period_spent_usd: float = 0.0
    period_baseline_usd: float = 0.0
    baseline_spent_usd: float = 0.0
    estimated_usd: float = 0.0
    period_marks: tuple[Mark, ...] = ()

    @property
    def spent_usd(self) -> float:
        """Over every interval with a known price: budgets rest on it."""
        return self.actual.usd


@frozen
class ScopeSpend:
    """What the workloads of a CostPolicy have spent while it covered them.

    Attributes:
        updated_seconds: Up to when.
        total_usd: Since counting began.
        month_start_seconds: Of the calendar month of ``updated_seconds``, UTC.
        month_usd: Of it, in that month.
        baseline_total_usd: What their baselines would have spent meanwhile.
        baseline_month_usd: Of it, in that month.
        month_marks: Of the last months, the one in use last.
    """

    updated_seconds: float
    total_usd: float = 0.0
    month_start_seconds: float = 0.0
    month_usd: float = 0.0
    baseline_total_usd: float = 0.0
    baseline_month_usd: float = 0.0
    month_marks: tuple[Mark, ...] = ()


@frozen
class Gap:
    """Time in which a workload ran and no process accounted for it: from the ledger's last update to the next tick.

    Attributes:
        replicas: That were paid for at its beginning; None for a workload that was created in it.
        usd_per_replica_hour: At its beginning; None while the price was unknown.
        observed_replicas: Mean over the part of it that Prometheus has readings of; None where it has none.
        observed_fraction: How large that part is, 0-1.
    """

    replicas: int | None = None
    usd_per_replica_hour: float | None = None
    observed_replicas: float | None = None
    observed_fraction: float = 0.0


@frozen
class WriteRefusal:
    """A write that the API server refused: forbidden, or turned down by an admission webhook.

    Attributes:
        at_seconds: Of the last try.
        times: Tries that were refused in a row.
        from_replicas: The count that was to be changed.
        to_replicas: The count that was refused; of several the one nearest to ``from_replicas``.
        outcome: ``Refused`` or ``Failed``.
        message: The API server's own words.
    """

    at_seconds: float
    times: int
    from_replicas: int
    to_replicas: int
    outcome: str
    message: str


@frozen
class HeldCount:
    """The count of a workload that has nothing to scale on, as somebody set it.

    Attributes:
        replicas: What runs, but for the hard limits.
        found: What the tick found running.
        asked: What it asked for. Where neither runs at the next tick, somebody has set another count.
    """

    replicas: int
    found: int
    asked: int


@frozen
class SlotState:
    """What is remembered of how many replicas find a node.

    Attributes:
        fits: Most replicas that could be scheduled when last seen to be refused; None while none was refused.
        schedulable: Most that are ordered, after the rest was given back; None while nothing is.
        refused: Why, in the scheduler's or the API server's words.
        pause_seconds: Length of the running pause.
        retry_seconds: When it ends, and one more replica may be tried.
        waiting_since_seconds: Since when none of those that wait has found a node; None while none waits.
        placed: Replicas with a node at the last look.
        free_slots: Free for one replica of this kind at the last look; None where nobody knows.
    """

    fits: int | None = None
    schedulable: int | None = None
    refused: str = ""
    pause_seconds: float = 0.0
    retry_seconds: float = 0.0
    waiting_since_seconds: float | None = None
    placed: int = 0
    free_slots: int | None = None


@frozen
class DecisionState:
    """What the rules remember of one workload.

    Attributes:
        since_seconds: First tick of this process that saw the workload; scale-down waits a full window from here.
        good_since_seconds: Start of the unbroken run of usable data; None while data are unusable.
        unknown_since_seconds: Since when they are unusable; None while they are usable.
        recommendations: Within the longest stabilization window.
        scale_events: Within the longest rate-limit period.
        last_desired: What the previous tick asked for; what runs, where that was not written.
        asleep: The target is at 0 replicas, or is to be, because we decided so; None where nothing is remembered.
        idle_since_seconds: Since when every signal that could wake it has been 0; None while one is not.
        kept_awake_generation: Of the spec whose signal was gone at 0 replicas: it is not put to sleep again.
        waiting_since_seconds: Tick since which a change waits for its turn to be written; None while none does.
        tried_seconds: When a write was last tried; None before the first.
        refusal: The last write, when it was refused; None after one that was not.
        held: While there is nothing to scale on; None while there is.
        slots: How many replicas find a node.
    """

    since_seconds: float
    good_since_seconds: float | None = None
    unknown_since_seconds: float | None = None
    recommendations: tuple[Recommendation, ...] = ()
    scale_events: tuple[ScaleEvent, ...] = ()
    last_desired: int | None = None
    asleep: bool | None = None
    idle_since_seconds: float | None = None
    kept_awake_generation: int | None = None
    waiting_since_seconds: float | None = None
    tried_seconds: float | None = None
    refusal: WriteRefusal | None = None
    held: HeldCount | None = None
    slots: SlotState = field(default_factory=SlotState)


@frozen
class WorkloadState:
    """One workload's memory: a part for each rule that remembers something.

    Attributes:
        decided: Of the rules of `decide`.
        original_replicas: At adoption; what ``Restore`` returns to and the ``previous`` baseline.
        lead_time: Start-ups seen.
        capacity: One per target metric seen.
        power: What one replica was measured to draw.
        level: What each price of a miss would have missed; None before capacity is known.
        baseline: The shadow autoscaler.
        ledger: None before the first interval.
        gap: What is to be settled for the time before this process; None when nothing is.
    """

    decided: DecisionState
    original_replicas: int | None = None
    lead_time: LeadTimeState = field(default_factory=LeadTimeState)
    capacity: tuple[CapacityState, ...] = ()
    power: PowerState = field(default_factory=PowerState)
    level: LevelState | None = None
    baseline: BaselineState = field(default_factory=BaselineState)
    ledger: Ledger | None = None
    gap: Gap | None = None
