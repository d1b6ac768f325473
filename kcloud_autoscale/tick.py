"""The whole story of one instant: learn, forecast, price, account, decide. Pure, but for the state it is handed.

``tick`` is the same in the operator, the simulator and the tests. It asks no clock and touches no network. The
fleet's state is handed in, used up and handed back: the forecaster inside it keeps arrays for ten thousand workloads
that nobody wants copied once a minute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from kcloud_autoscale.account.baseline import matured
from kcloud_autoscale.account.ledger import Account
from kcloud_autoscale.account.room import Claim, rooms
from kcloud_autoscale.account.scope import settle_scope
from kcloud_autoscale.account.settle import Past, settle
from kcloud_autoscale.account.worth import Worth, replica_worth
from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.decide.record import state_after_write
from kcloud_autoscale.decide.zero import paused
from kcloud_autoscale.domain.capacity import Capacity, sizing_capacity
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import FleetDecision, ScaleResult
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import Observation, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, value_or_none
from kcloud_autoscale.domain.series import DemandHistory, Forecast, Levels
from kcloud_autoscale.domain.state import (
    BaselineState,
    CapacityState,
    DecisionState,
    LeadTimeState,
    LevelState,
    ScopeSpend,
    WorkloadState,
)
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from kcloud_autoscale.forecast import capacity, lead_time, level


@frozen
class ForecastRequest:
    """Ask for the peak demand of the window ``(now, now + horizon_seconds]`` at ``level`` and at the usual levels.

    ``model`` is to be heard beside the built-in experts; None for those alone.
    """

    key: WorkloadKey
    horizon_seconds: float
    level: float
    model: str | None = None


class DemandForecaster(Protocol):
    """What the tick needs of a forecaster: the live fleet's, or a replay of forecasts made in bulk."""

    def seen_until(self) -> Mapping[WorkloadKey, float]:
        """For each known workload the Unix time up to which it has been fed; the rest need their whole history."""

    def to_reread(self) -> Collection[WorkloadKey]:
        """Known workloads whose whole history is wanted once more; they are forecast meanwhile."""

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
    spends: dict[str, ScopeSpend] = field(default_factory=dict)

    def seen_until(self) -> Mapping[WorkloadKey, float]:
        """Up to when each workload's demand has been learned; observation reads on from there.

        One whose whole history is wanted again is left out, like one never seen.
        """
        again = self.forecaster.to_reread()
        return {key: until for key, until in self.forecaster.seen_until().items() if key not in again}


@frozen
class _Look:
    """One workload as it was looked at, before anybody has forecast it."""

    policy: WorkloadPolicy
    seen: WorkloadObservation
    state: WorkloadState
    start_ups: LeadTimeState
    lead_time_seconds: float
    lead_time_source: str


@frozen
class _Priced:
    """One workload, what one of its replicas serves, costs and draws."""

    look: _Look
    capacities: tuple[CapacityState, ...]
    serves: Capacity | None
    worth: Worth


@frozen
class _Known:
    """A case, what has been learned on the way to it, and what was spent."""

    case: Case
    worth: Worth
    start_ups: LeadTimeState
    capacities: tuple[CapacityState, ...]
    level: LevelState | None
    account: Account
    baseline: BaselineState


@frozen
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
    looks = [
        _look(workload, _seen(observation, key), state.workloads.get(key), policy, now_seconds)
        for key, workload in policy.workloads.items()
    ]
    forecasts = _forecast(looks, policy, state.forecaster, now_seconds)
    priced = [_price(look, observation, policy, now_seconds) for look in looks]
    room = rooms([_claim(each, now_seconds) for each in priced], policy, state.spends, now_seconds)
    known = [
        _know(
            each, forecasts.get(each.look.policy.key), room.get(each.look.policy.key), observation, policy, now_seconds
        )
        for each in priced
    ]
    accounts = {one.case.policy.key: one.account for one in known}
    state.spends = {
        scope.name: settle_scope(state.spends.get(scope.name), scope, accounts, now_seconds)
        for scope in policy.cost_scopes
    }
    outcome = decide_fleet([one.case for one in known], policy, now_seconds, state.spends, observation.nodes)
    for one, decided in zip(known, outcome.states, strict=True):
        state.workloads[one.case.policy.key] = _state(one, decided)
    return TickResult(outcome.fleet, accounts, state)


def note_writes(state: FleetState, results: Sequence[ScaleResult], now_seconds: float) -> None:
    """Tell the rules what became of the actions of a tick; a world where every write is made need not.

    Args:
        state: As the tick returned it; changed in place.
        results: One per action that was to be carried out.
        now_seconds: Of that tick.
    """
    written = sum(result.written for result in results)
    for result in results:
        before = state.workloads.get(result.action.key)
        if before is not None:
            others_written = written > result.written
            decided = state_after_write(before.decided, result, others_written, now_seconds)
            state.workloads[result.action.key] = replace(before, decided=decided)


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


def _look(
    workload: WorkloadPolicy,
    seen: WorkloadObservation,
    before: WorkloadState | None,
    policy: FleetPolicy,
    now_seconds: float,
) -> _Look:
    """What runs, and how long a replica takes to start as the new facts leave it."""
    state = before or WorkloadState(DecisionState(now_seconds))
    start_ups = state.lead_time
    if isinstance(seen.target, TargetObservation):
        start_ups = lead_time.learn(start_ups, seen.target.pods, now_seconds)
        if state.original_replicas is None:
            state = replace(state, original_replicas=seen.target.desired_replicas)
    seconds, source = lead_time.estimate(start_ups, workload.lead_time_seconds, policy.default_lead_time_seconds)
    return _Look(workload, seen, state, start_ups, seconds, source)


def _forecast(
    looks: Sequence[_Look], policy: FleetPolicy, forecaster: DemandForecaster, now_seconds: float
) -> Mapping[WorkloadKey, Forecast]:
    """One vectorised call for the fleet; an order placed now must serve until the next one can."""
    histories = {look.policy.key: look.seen.demand_history for look in looks if look.seen.demand_history is not None}
    forecaster.learn(histories)
    seen_until = forecaster.seen_until()
    requests = [
        ForecastRequest(
            look.policy.key,
            look.lead_time_seconds + policy.cycle_seconds + _lag(seen_until, look.policy.key, policy, now_seconds),
            look.policy.planned_quantile(),
            look.policy.forecast.model,
        )
        for look in looks
        if look.policy.forecast.enabled and look.policy.mode is not Mode.OFF
    ]
    return forecaster.forecast(requests, now_seconds)


def _lag(seen_until: Mapping[WorkloadKey, float], key: WorkloadKey, policy: FleetPolicy, now_seconds: float) -> float:
    """How far the last complete step lies behind now: the window counts from there, and must still reach as far.

    A step of 60 s that is complete 10 s after its end is 10 to 70 s old, depending on the moment. One and a half steps
    stand for all of it: a horizon that wobbles would have to be taught again and again. Without any lag, as in a
    simulation that sees each step at its end, there is nothing to add.
    """
    return 1.5 * policy.step_seconds if now_seconds > seen_until.get(key, now_seconds) else 0.0


def _price(look: _Look, observation: Observation, policy: FleetPolicy, now_seconds: float) -> _Priced:
    """What one replica serves, costs and draws."""
    workload, seen, state = look.policy, look.seen, look.state
    capacities = capacity.learn(state.capacity, seen.capacity_history, workload, now_seconds)
    serves = capacity.estimate(capacities, workload)
    worth = replica_worth(workload, seen, state.power, observation, policy, now_seconds)
    return _Priced(look, capacities, serves, worth)


def _claim(priced: _Priced, now_seconds: float) -> Claim:
    look = priced.look
    return Claim(
        look.policy, look.seen.target, matured(look.state.baseline, now_seconds), priced.worth, look.state.ledger
    )


def _know(
    priced: _Priced,
    forecast: Forecast | None,
    room: int | None,
    observation: Observation,
    policy: FleetPolicy,
    now_seconds: float,
) -> _Known:
    """Everything a decision rests on: the forecast, what one replica serves, costs and draws, what was spent."""
    look, serves, worth = priced.look, priced.serves, priced.worth
    kappa = sizing_capacity(serves)
    workload, seen, state = look.policy, look.seen, look.state
    past = Past(workload, seen, state, kappa, look.lead_time_seconds, room)
    account, baseline = settle(past, worth, observation.carbon_grams_per_kwh, policy, now_seconds)
    shadows, chosen = _choose_levels(look, forecast, kappa, policy, now_seconds)
    case = Case(
        workload,
        seen,
        state,
        forecast,
        look.lead_time_seconds,
        look.lead_time_source,
        serves,
        worth.usd_per_hour,
        worth.power.high,
        worth.most_usd_per_hour,
        worth.most_watts,
        chosen,
        account.ledger,
    )
    return _Known(case, worth, look.start_ups, priced.capacities, shadows, account, baseline)


def _choose_levels(
    look: _Look, forecast: Forecast | None, kappa: float | None, policy: FleetPolicy, now_seconds: float
) -> tuple[LevelState | None, Levels | None]:
    """What the prices of a miss would have missed, and the quantiles to provision by, unless the user has fixed one."""
    workload, seen, state = look.policy, look.seen, look.state
    fixed = workload.forecast.quantile is not None or not workload.forecast.enabled
    if fixed or kappa is None or not isinstance(seen.target, TargetObservation):
        return state.level, None
    moment = level.Moment(
        workload,
        forecast,
        value_or_none(seen.demand),
        kappa,
        seen.target.desired_replicas,
        seen.target.ready_replicas,
        state.baseline,
        look.lead_time_seconds,
        policy.cycle_seconds,
        now_seconds,
        _ours(look, seen.target),
    )
    return level.choose(state.level, moment)


def _ours(look: _Look, target: TargetObservation) -> bool:
    """Whether what runs is what was decided: acted on, by nobody else as well, and not set to 0 by hand."""
    by_hand = paused(look.policy, look.state.decided, target)
    return look.policy.mode is Mode.AUTO and look.seen.conflict is None and not by_hand


def _state(known: _Known, decided: DecisionState) -> WorkloadState:
    """What each rule has to remember, as one."""
    return WorkloadState(
        decided=decided,
        original_replicas=known.case.state.original_replicas,
        lead_time=known.start_ups,
        capacity=known.capacities,
        power=known.worth.power.state,
        level=known.level,
        baseline=known.baseline,
        ledger=known.account.ledger,
    )
