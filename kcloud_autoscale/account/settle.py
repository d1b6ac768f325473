"""One workload's account for one instant: the shadow baseline moves on, the ledger takes in the interval."""

from __future__ import annotations

from dataclasses import replace

from kcloud_autoscale.account import baseline, ledger
from kcloud_autoscale.account.devices import device_count
from kcloud_autoscale.account.ledger import Account, Running
from kcloud_autoscale.account.power import ReplicaPower
from kcloud_autoscale.account.score import optimization_score
from kcloud_autoscale.domain.observation import TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Reading, map_reading
from kcloud_autoscale.domain.state import BaselineState, WorkloadState


def settle(
    state: WorkloadState,
    policy: WorkloadPolicy,
    seen: WorkloadObservation,
    price: Reading,
    on_demand: Reading,
    power: ReplicaPower,
    kappa: float | None,
    lead_time_seconds: float,
    carbon_grams_per_kwh: Reading,
    fleet_policy: FleetPolicy,
    now_seconds: float,
) -> tuple[Account, WorkloadState]:
    """Account for the interval since the last tick, then let the baseline decide for the next.

    Args:
        state: Of the last tick; its baseline is what ran in the interval.
        policy: Of the workload.
        seen: What runs now.
        price: USD per hour of one of our replicas.
        on_demand: The same on demand, what the baseline pays.
        power: Of one replica.
        kappa: Load per second one replica serves; None while unknown.
        lead_time_seconds: Of the baseline's replicas as of ours.
        carbon_grams_per_kwh: Of the grid.
        fleet_policy: What the workloads share.
        now_seconds: Unix time of this tick.

    Returns:
        The account, and the state with baseline, ledger and power in it.
    """
    actual = _actual(seen, price, power)
    shadow = _shadow(baseline.matured(state.baseline, now_seconds), actual, on_demand, power)
    totals = ledger.record(
        state.ledger,
        actual,
        shadow,
        seen.demand,
        kappa,
        device_count(policy, seen),
        carbon_grams_per_kwh,
        policy.caps,
        policy.created_seconds,
        now_seconds,
    )
    advanced = baseline.advance(
        state.baseline,
        policy,
        seen.demand,
        kappa,
        lead_time_seconds,
        fleet_policy,
        now_seconds,
        history=seen.demand_history,
        original_replicas=state.original_replicas,
    )
    score = budget = None
    if actual is not None:
        score = optimization_score(
            seen.demand, kappa, actual.ready_replicas, actual.replicas, policy.min_replicas, price, price
        )
        budget = ledger.budget(totals, policy.caps, actual.usd_per_hour, policy.created_seconds, now_seconds)
    after = replace(state, baseline=advanced, ledger=totals, power=power.state)
    return Account(actual, shadow, score, budget, totals), after


def _actual(seen: WorkloadObservation, price: Reading, power: ReplicaPower) -> Running | None:
    """What runs. A pod on its way out still holds its devices and is paid for."""
    if not isinstance(seen.target, TargetObservation):
        return None
    paid = sum(not pod.failed for pod in seen.target.pods)
    return Running(paid, seen.target.ready_replicas, price, map_reading(power.now, lambda each: each * paid))


def _shadow(state: BaselineState, actual: Running | None, on_demand: Reading, power: ReplicaPower) -> Running | None:
    if actual is None or state.replicas is None:
        return None
    watts = ledger.baseline_watts(actual, state.replicas, power.idle)
    return Running(state.replicas, state.ready, on_demand, watts)
