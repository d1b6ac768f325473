"""The whole story of one instant: learn, forecast, price, decide, account. Pure, but for the state it is handed.

``tick`` is the same in the operator, the simulator and the tests. It asks no clock and touches no network. The
fleet's state is handed in, used up and handed back: the forecaster inside it keeps arrays for ten thousand workloads
that nobody wants copied once a minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from kcloud_autoscale.account import cost, power
from kcloud_autoscale.account.ledger import Account
from kcloud_autoscale.account.settle import settle
from kcloud_autoscale.decide.case import Case
from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.domain.accelerator import accelerator_table
from kcloud_autoscale.domain.decision import FleetDecision
from kcloud_autoscale.domain.observation import NodeObservation, Observation, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading
from kcloud_autoscale.domain.series import DemandHistory, Forecast
from kcloud_autoscale.domain.state import WorkloadState
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from kcloud_autoscale.forecast import capacity, lead_time, level

_UNPRICED = Missing(MissingReason.NO_DATA, "not priced yet")


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """Ask for the peak demand of the window ``(now, now + horizon_seconds]`` at ``level`` and at the usual levels."""

    key: WorkloadKey
    horizon_seconds: float
    level: float


class DemandForecaster(Protocol):
    """What the tick needs of a forecaster: the live fleet's, or a replay of forecasts made in bulk."""

    def seen_until(self) -> Mapping[WorkloadKey, float]:
        """For each known workload the Unix time up to which it has been fed; the rest need their whole history."""

    def learn(self, histories: Mapping[WorkloadKey, DemandHistory]) -> None:
        """Feed the steps that are new; a workload not seen before brings its whole history."""

    def forecast(self, requests: Sequence[ForecastRequest], now_seconds: float) -> Mapping[WorkloadKey, Forecast]:
        """Forecasts for all requests at once; a workload never fed is absent."""

    def forget(self, keys: Sequence[WorkloadKey]) -> None:
        """Drop workloads that are gone."""


@dataclass(slots=True)
class FleetState:
    """Everything one tick hands to the next; `tick` uses it up and returns it."""

    forecaster: DemandForecaster
    workloads: dict[WorkloadKey, WorkloadState] = field(default_factory=dict)

    def seen_until(self) -> Mapping[WorkloadKey, float]:
        """Up to when each workload's demand has been learned; observation reads on from there."""
        return self.forecaster.seen_until()


@dataclass(frozen=True, slots=True)
class _Priced:
    """A case with what only its account needs."""

    case: Case
    power: power.ReplicaPower
    on_demand_usd_per_replica_hour: Reading


@dataclass(frozen=True, slots=True)
class TickResult:
    """What was decided, what it was worth, and the state for the next tick."""

    fleet: FleetDecision
    accounts: Mapping[WorkloadKey, Account]
    state: FleetState


def tick(observation: Observation, policy: FleetPolicy, state: FleetState, now_seconds: float) -> TickResult:
    """Decide for every workload of one budget scope.

    Args:
        observation: What was seen, values with their ages.
        policy: Every knob resolved.
        state: Of the previous tick; used up.
        now_seconds: Unix time of this decision.

    Returns:
        Decisions with their reasons, accounts, and the next state.
    """
    _forget_the_gone(policy, state)
    learned = [
        _learn(workload, _seen(observation, key), state.workloads.get(key), policy, now_seconds)
        for key, workload in policy.workloads.items()
    ]
    forecasts = _forecast(learned, policy, state.forecaster, now_seconds)
    priced = [_price(case, forecasts, observation, policy, now_seconds) for case in learned]
    outcome = decide_fleet([one.case for one in priced], policy, now_seconds)
    accounts: dict[WorkloadKey, Account] = {}
    for one, after in zip(priced, outcome.states, strict=True):
        key = one.case.policy.key
        accounts[key], state.workloads[key] = _account(one, after, observation, policy, now_seconds)
    return TickResult(outcome.fleet, accounts, state)


def _forget_the_gone(policy: FleetPolicy, state: FleetState) -> None:
    gone = [key for key in state.workloads if key not in policy.workloads]
    for key in gone:
        del state.workloads[key]
    if gone:
        state.forecaster.forget(gone)


def _seen(observation: Observation, key: WorkloadKey) -> WorkloadObservation:
    """What was seen of the workload; one that was created after the look is simply not known yet."""
    found = observation.workloads.get(key)
    return found or WorkloadObservation(key, Missing(MissingReason.NO_DATA, f"{key} has not been looked at yet"))


def _learn(
    workload: WorkloadPolicy,
    seen: WorkloadObservation,
    before: WorkloadState | None,
    policy: FleetPolicy,
    now_seconds: float,
) -> Case:
    """The case so far: lead time and capacity as the new facts leave them."""
    state = before or WorkloadState(since_seconds=now_seconds)
    start_ups, original = state.lead_time, state.original_replicas
    if isinstance(seen.target, TargetObservation):
        start_ups = lead_time.learn(start_ups, seen.target.pods, now_seconds)
        original = seen.target.desired_replicas if original is None else original
    capacities = capacity.learn(state.capacity, seen.capacity_history, workload, now_seconds)
    if (start_ups, capacities, original) != (state.lead_time, state.capacity, state.original_replicas):
        state = replace(state, lead_time=start_ups, capacity=capacities, original_replicas=original)
    lead_seconds, lead_source = lead_time.estimate(
        start_ups, workload.lead_time_seconds, policy.default_lead_time_seconds
    )
    kappa, kappa_source = capacity.estimate(capacities, workload)
    return Case(workload, seen, state, None, lead_seconds, lead_source, kappa, kappa_source, _UNPRICED, _UNPRICED)


def _forecast(
    cases: Sequence[Case], policy: FleetPolicy, forecaster: DemandForecaster, now_seconds: float
) -> Mapping[WorkloadKey, Forecast]:
    """One vectorised call for the fleet; an order placed now must serve until the next one can."""
    histories = {case.policy.key: case.seen.demand_history for case in cases if case.seen.demand_history is not None}
    forecaster.learn(histories)
    seen_until = forecaster.seen_until()
    requests = [
        ForecastRequest(
            case.policy.key,
            case.lead_time_seconds + policy.cycle_seconds + _lag(seen_until, case.policy.key, policy, now_seconds),
            case.policy.planned_quantile(),
        )
        for case in cases
        if case.policy.forecast.enabled and case.policy.mode is not Mode.OFF
    ]
    return forecaster.forecast(requests, now_seconds)


def _lag(seen_until: Mapping[WorkloadKey, float], key: WorkloadKey, policy: FleetPolicy, now_seconds: float) -> float:
    """How far the last complete step lies behind now: the window counts from there, and must still reach as far.

    A step of 60 s that is complete 10 s after its end is 10 to 70 s old, depending on the moment. One and a half steps
    stand for all of it: a horizon that wobbles would have to be taught again and again. Without any lag, as in a
    simulation that sees each step at its end, there is nothing to add.
    """
    return 1.5 * policy.step_seconds if now_seconds > seen_until.get(key, now_seconds) else 0.0


def _price(
    case: Case,
    forecasts: Mapping[WorkloadKey, Forecast],
    observation: Observation,
    policy: FleetPolicy,
    now_seconds: float,
) -> _Priced:
    """The case complete: with its forecast, and what one replica costs and draws."""
    workload, seen = case.policy, case.seen
    table = accelerator_table()
    override = policy.price_overrides.get(workload.key)
    price = cost.replica_price(workload, seen, observation.nodes, override, table, now_seconds)
    on_demand = cost.on_demand_price(price, workload, seen, observation.nodes, table, now_seconds)
    drawn = power.replica_power(workload, seen, case.state.power, table, now_seconds, _a_node(seen, observation))
    forecast = forecasts.get(workload.key)
    state, chosen = _choose_level(case, forecast, policy, now_seconds)
    complete = replace(
        case,
        state=state,
        forecast=forecast,
        usd_per_replica_hour=price,
        watts_per_replica=drawn.high,
        level=chosen,
    )
    return _Priced(complete, drawn, on_demand)


def _choose_level(
    case: Case, forecast: Forecast | None, policy: FleetPolicy, now_seconds: float
) -> tuple[WorkloadState, float | None]:
    """The quantile to provision for, unless the user has fixed it, and the state that learns it."""
    workload, seen = case.policy, case.seen
    fixed = workload.forecast.quantile is not None or not workload.forecast.enabled
    if fixed or case.capacity_per_replica is None or not isinstance(seen.target, TargetObservation):
        return case.state, None
    moment = level.Moment(
        workload,
        forecast,
        None if isinstance(seen.demand, Missing) else seen.demand.value,
        case.capacity_per_replica,
        seen.target.ready_replicas,
        case.state.baseline,
        case.lead_time_seconds,
        policy.cycle_seconds,
        now_seconds,
    )
    learned, chosen = level.choose(case.state.level, moment)
    return replace(case.state, level=learned), chosen


def _a_node(seen: WorkloadObservation, observation: Observation) -> NodeObservation | None:
    """A node that one of the pods runs on; it names the device where no metric does."""
    if isinstance(seen.target, Missing):
        return None
    names = (pod.node for pod in seen.target.pods if pod.node is not None)
    return next((observation.nodes[name] for name in names if name in observation.nodes), None)


def _account(
    priced: _Priced, after: WorkloadState, observation: Observation, policy: FleetPolicy, now_seconds: float
) -> tuple[Account, WorkloadState]:
    """The interval that ends now, on the books."""
    case = priced.case
    return settle(
        after,
        case.policy,
        case.seen,
        case.usd_per_replica_hour,
        priced.on_demand_usd_per_replica_hour,
        priced.power,
        case.capacity_per_replica,
        case.lead_time_seconds,
        observation.carbon_grams_per_kwh,
        policy,
        now_seconds,
    )
