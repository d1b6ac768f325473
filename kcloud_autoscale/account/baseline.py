"""The named counterfactual that savings are measured against, run as a shadow beside the workload.

``hpa``: Kubernetes' own autoscaler at 70 % of capacity on the same demand, its replicas starting as slowly as ours. It
keeps one replica where the workload may have none: an HPA's `minReplicas` is at least 1 (unless the alpha gate
HPAScaleToZero is on), and at zero replicas it has no utilization that would wake it.
``static``: as many as the peak of the last 14 days needs. ``previous``: as many as ran at adoption.

This is what the baseline wants within its bounds; what it could have run of that, `account.room` says.
"""

from __future__ import annotations

import math

import numpy as np

from kcloud_autoscale.domain.policy import BaselineKind, FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, Reading
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.state import BaselineState, Recommendation, ScaleEvent
from kcloud_autoscale.domain.units import SECONDS_PER_DAY

TARGET_FRACTION = 0.7
# Forgives rounding: 7.7 / (10 x 0.7) is 1.1, a hair over a tenth too much in binary.
TOLERANCE_FRACTION = 0.1 + 1e-9
PEAK_DAYS = 14


def advance(
    state: BaselineState,
    policy: WorkloadPolicy,
    demand: Reading,
    kappa: float | None,
    lead_time_seconds: float,
    fleet_policy: FleetPolicy,
    now_seconds: float,
    *,
    history: DemandHistory | None = None,
    original_replicas: int | None = None,
) -> BaselineState:
    """What the baseline runs from now on.

    Args:
        state: Of the previous tick.
        policy: Names the baseline and its bounds; an HPA there would have had the same scale-down window.
        demand: Load per second; while it is unknown the baseline holds, as an HPA without metrics does.
        kappa: Load per second one replica serves; None holds too.
        lead_time_seconds: From an order to a ready replica.
        fleet_policy: Its step is how far apart the values of `history` are.
        now_seconds: Unix time of this tick.
        history: New steps of demand, for the peak that `static` needs.
        original_replicas: At adoption, for `previous`.

    Returns:
        The next state; `replicas` is billed from now, `ready` serves from now.
    """
    known = demand.value if not isinstance(demand, Missing) else None
    if policy.baseline is BaselineKind.PREVIOUS:
        return _fixed(state, original_replicas)
    if policy.baseline is BaselineKind.STATIC:
        state = _with_peak(state, known, history, now_seconds)
        if not state.daily_peaks or kappa is None:
            return state
        peak = max(peak for _, peak in state.daily_peaks)
        return _fixed(state, _bounded(math.ceil(peak / kappa), policy))
    state = matured(state, now_seconds)
    if known is None or kappa is None:
        return state
    return _hpa(state, policy, known / kappa, lead_time_seconds, now_seconds)


def wanted_replicas(load: float, current: int, ready: int, target: float = TARGET_FRACTION) -> int:
    """HPA v2's proportional rule on a load that the ready replicas share.

    Args:
        load: In replicas' worth: demand over the capacity of one.
        current: `spec.replicas`.
        ready: Of those, serving.
        target: Utilization aimed for.

    With 10 ready of 10 and a load of 7.6 the ratio is 1.086: within the tolerance, nothing changes. With 8.4 it is
    1.2, and 12 are wanted. When scaling up, replicas that are not ready count as idle: with 10 ready of 12, 8.4 asks
    for ratio 1.2 on the ready ones, but 1.0 on all 12, and 12 stay.
    """
    if ready <= 0:
        return current
    ratio = load / (ready * target)
    if ratio > 1.0 and ready < current:
        ratio = load / (current * target)
        if ratio <= 1.0 + TOLERANCE_FRACTION:
            return current
        return max(current, _ceil(ratio * current))
    if abs(ratio - 1.0) <= TOLERANCE_FRACTION:
        return current
    return _ceil(ratio * ready)


def _hpa(
    state: BaselineState, policy: WorkloadPolicy, load: float, lead_time_seconds: float, now_seconds: float
) -> BaselineState:
    if state.replicas is None:
        first = _hpa_bounded(_ceil(load / TARGET_FRACTION), policy)
        return BaselineState(first, first, (Recommendation(now_seconds, first),), (), state.daily_peaks, state.slots)
    wanted = _hpa_bounded(wanted_replicas(load, state.replicas, state.ready), policy)
    window = policy.scale_down.stabilization_window_seconds
    recent = _remembered(state.recommendations, Recommendation(now_seconds, wanted), window)
    replicas = wanted if wanted >= state.replicas else min(state.replicas, recent[0].replicas)
    change = replicas - state.replicas
    starting = state.starting
    if change > 0 and lead_time_seconds > 0.0:
        starting = (*starting, ScaleEvent(now_seconds + lead_time_seconds, change))
    elif change < 0:
        starting = _without_newest(starting, -change)
    ready = replicas - sum(event.change for event in starting) if starting else replicas
    return BaselineState(replicas, ready, recent, starting, state.daily_peaks, state.slots)


def matured(state: BaselineState, now_seconds: float) -> BaselineState:
    """The state with those start-ups done that are due: what serves at this instant."""
    if not state.starting or state.starting[0].at_seconds > now_seconds or state.replicas is None:
        return state
    starting = tuple(event for event in state.starting if event.at_seconds > now_seconds)
    ready = state.replicas - sum(event.change for event in starting)
    return BaselineState(state.replicas, ready, state.recommendations, starting, state.daily_peaks, state.slots)


def _remembered(
    recommendations: tuple[Recommendation, ...], newest: Recommendation, window_seconds: float
) -> tuple[Recommendation, ...]:
    """What the window's maximum can still come from, largest and oldest first.

    A recommendation that is followed by one at least as large can never be the maximum again.
    """
    oldest = newest.at_seconds - window_seconds
    return (*[r for r in recommendations if r.at_seconds >= oldest and r.replicas > newest.replicas], newest)


def _without_newest(starting: tuple[ScaleEvent, ...], count: int) -> tuple[ScaleEvent, ...]:
    """Scale-down takes the replicas that have been starting for the shortest time first."""
    kept = list(starting)
    while kept and count > 0:
        event = kept.pop()
        if event.change > count:
            kept.append(ScaleEvent(event.at_seconds, event.change - count))
        count -= event.change
    return tuple(kept)


def _fixed(state: BaselineState, replicas: int | None) -> BaselineState:
    if replicas == state.replicas:
        return state
    return BaselineState(replicas, replicas or 0, (), (), state.daily_peaks, state.slots)


def _with_peak(
    state: BaselineState, demand: float | None, history: DemandHistory | None, now_seconds: float
) -> BaselineState:
    """The state with the largest demand of each of the last 14 days; the same object when no peak is new."""
    peaks = dict(state.daily_peaks)
    for day, peak in [*_history_peaks(history), *([(int(now_seconds // SECONDS_PER_DAY), demand)] if demand else [])]:
        peaks[day] = max(peaks.get(day, 0.0), peak)
    oldest = int(now_seconds // SECONDS_PER_DAY) - PEAK_DAYS
    kept = tuple(sorted((day, peak) for day, peak in peaks.items() if day > oldest))
    if kept == state.daily_peaks:
        return state
    return BaselineState(state.replicas, state.ready, state.recommendations, state.starting, kept, state.slots)


def _history_peaks(history: DemandHistory | None) -> list[tuple[int, float]]:
    if history is None:
        return []
    known = np.flatnonzero(np.isfinite(history.values))
    day = ((history.start_seconds + known * history.step_seconds) // SECONDS_PER_DAY).astype(int)
    return [(int(d), float(history.values[known[day == d]].max())) for d in np.unique(day)]


def _ceil(value: float) -> int:
    """Ceiling that forgives rounding: 8.4 / 0.7 is 12.000000000000002, which is 12."""
    return math.ceil(value - 1e-9)


def _bounded(replicas: int, policy: WorkloadPolicy) -> int:
    return min(max(replicas, policy.min_replicas), policy.max_replicas)


def _hpa_bounded(replicas: int, policy: WorkloadPolicy) -> int:
    return _bounded(max(replicas, 1), policy)
