"""One workload's account for one instant: the ledger takes in the interval, the shadow baseline moves on.

What was spent is settled before the next count is decided: a budget that is judged by the spend of the tick before is
crossed by the interval in between.
"""

from __future__ import annotations

from dataclasses import replace

from kcloud_autoscale.account import baseline, ledger, room
from kcloud_autoscale.account.devices import device_count
from kcloud_autoscale.account.gap import settle_gap
from kcloud_autoscale.account.ledger import Account, Running
from kcloud_autoscale.account.score import optimization_score
from kcloud_autoscale.account.worth import Worth
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Reading, exactly, times
from kcloud_autoscale.domain.state import BaselineState, Ledger, WorkloadState


@frozen
class Past:
    """One workload in the time since the last tick.

    Attributes:
        policy: Its caps and its baseline.
        seen: What ran, and the load of that time.
        state: The ledger so far, and the baseline as it ran in the interval.
        capacity_per_replica: κ; None while unknown.
        lead_time_seconds: Of the baseline's replicas as of ours.
        room: The most replicas that the baseline could run; None where nothing limits it.
    """

    policy: WorkloadPolicy
    seen: WorkloadObservation
    state: WorkloadState
    capacity_per_replica: float | None
    lead_time_seconds: float
    room: int | None = None


def settle(
    past: Past, worth: Worth, carbon_grams_per_kwh: Reading, fleet: FleetPolicy, now_seconds: float
) -> tuple[Account, BaselineState]:
    """Account for the interval since the last tick, then let the baseline decide for the next.

    Args:
        past: The workload.
        worth: What one of its replicas costs and draws.
        carbon_grams_per_kwh: Of the grid.
        fleet: What the workloads share.
        now_seconds: Unix time of this tick.

    Returns:
        The account, and the baseline as it runs from now on.
    """
    policy, seen, state, kappa = past.policy, past.seen, past.state, past.capacity_per_replica
    demand = exactly(seen.demand)  # of a lower bound nobody knows what was served of it, or missed
    actual = _actual(seen, worth)
    advanced = baseline.advance(
        state.baseline,
        policy,
        demand,
        kappa,
        past.lead_time_seconds,
        fleet,
        now_seconds,
        history=seen.demand_history,
        original_replicas=state.original_replicas,
    )
    # A process that goes on from a ledger has lost its shadow: it is taken to have run what the present load asks for.
    ran = baseline.matured(state.baseline, now_seconds)
    if ran.replicas is None and state.ledger is not None:
        ran = advanced
    shadow = _shadow(ran, actual, worth, past.room)
    devices, idle = device_count(policy, seen), worth.power.idle
    interval = ledger.Interval(actual, shadow, demand, kappa, devices, carbon_grams_per_kwh, idle)
    before, settled = _before(past, interval, worth, now_seconds)
    totals, added = ledger.record(before, interval, policy.caps, policy.created_seconds, now_seconds)
    advanced = replace(advanced, slots=room.seen_slots(state.baseline.slots, seen.target, now_seconds))
    score = budget = None
    if actual is not None:
        price = worth.usd_per_hour
        score = optimization_score(
            demand, kappa, actual.ready_replicas, actual.replicas, policy.min_replicas, price, price
        )
        if policy.caps.budget_usd is not None:
            budget = ledger.budget(totals, policy.caps, actual.usd_per_hour, policy.created_seconds, now_seconds)
    return Account(actual, shadow, score, budget, totals, added or settled, interval.lacking), advanced


def _before(
    past: Past, interval: ledger.Interval, worth: Worth, now_seconds: float
) -> tuple[Ledger | None, ledger.Entry | None]:
    """The ledger before this interval. One with a gap in front is settled up to now: this interval is part of it."""
    state = past.state
    if state.ledger is None or state.gap is None:
        return state.ledger, None
    return settle_gap(state.ledger, state.gap, past.policy, interval, worth.usd_per_hour, now_seconds)


def _actual(seen: WorkloadObservation, worth: Worth) -> Running | None:
    """What runs and is paid for."""
    if not isinstance(seen.target, TargetObservation):
        return None
    paid = seen.target.pods.held
    return Running(paid, seen.target.ready_replicas, worth.usd_per_hour, times(worth.power.now, paid))


def _shadow(state: BaselineState, actual: Running | None, worth: Worth, most: int | None) -> Running | None:
    """What the baseline runs of what it wants, as far as there is room for it."""
    if actual is None or state.replicas is None:
        return None
    replicas = state.replicas if most is None else min(state.replicas, most)
    watts = ledger.baseline_watts(actual, replicas, worth.power.idle)
    return Running(replicas, min(state.ready, replicas), worth.on_demand_usd_per_hour, watts)
