"""The world's hard limits, for policies that know of none: the rules by which the operator holds its own.

A platform that caps what may be spent caps it for every autoscaler. So what a rival wants is lowered as a decision of
the operator is: by the workload's own limits, then by those it shares, floors first and by priority, and by budgets
reckoned with what the rival itself has spent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kcloud_autoscale.decide.caps import NO_CAPS
from kcloud_autoscale.decide.limits import Limited, limited_counts
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.observation import TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.periods import carried_usd, period_bounds
from kcloud_autoscale.domain.policy import BudgetPeriod, FleetPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.state import DecisionState, Ledger, ScopeSpend, WorkloadState
from kcloud_autoscale.domain.units import usd
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.simulate.predictive import SimulatedPods, grid_seconds
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.world import Hold, Run, World, WorldRules, free

# Of `decide.caps` and `decide.share`; the operator's own decisions carry them as well.
_LIMIT_REASONS = frozenset({"MaxCostPerHour", "MaxPowerUsage", "BudgetLimit", "SharedCap"})
_NOT_GIVEN = Missing(MissingReason.NOT_CONFIGURED, "not given")


@dataclass(slots=True)
class Limits:
    """Limits of all workloads of one world, and what has been spent under them.

    Attributes:
        fleet: The workloads with their own limits, and those that they share.
        rules: What a replica of each costs and draws.
        ledgers: What each has spent in the running period of its own budget.
        spends: What each cost scope has spent.
    """

    fleet: FleetPolicy
    rules: Mapping[WorkloadKey, WorldRules]
    ledgers: dict[WorkloadKey, Ledger] = field(default_factory=dict)
    spends: dict[str, ScopeSpend] = field(default_factory=dict)
    _pods: dict[WorkloadKey, SimulatedPods] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        own = any(workload.caps != NO_CAPS for workload in self.fleet.workloads.values())
        return own or bool(self.fleet.shared_caps) or any(scope.limited for scope in self.fleet.cost_scopes)

    def held(
        self, worlds: Mapping[WorkloadKey, World], wanted: Mapping[WorkloadKey, int], now_seconds: float
    ) -> dict[WorkloadKey, Limited]:
        """What the limits leave of the counts that are wanted from now on; what ran until now is paid first.

        Args:
            worlds: As they are before the decision.
            wanted: By workload, within its bounds or not.
            now_seconds: Unix time; it never goes back.
        """
        self._pay(worlds, now_seconds)
        cases = [self._case(key, world, now_seconds) for key, world in worlds.items()]
        bounded = {key: _bounded(count, self.rules[key]) for key, count in wanted.items()}
        return limited_counts(cases, bounded, self.fleet, self.spends, now_seconds)

    def _pay(self, worlds: Mapping[WorkloadKey, World], now_seconds: float) -> None:
        rates = {key: world.replicas * (self.rules[key].usd_per_replica_hour or 0.0) for key, world in worlds.items()}
        for key, rate in rates.items():
            workload = self.fleet.workloads[key]
            start, _ = period_bounds(workload.caps.budget_period, workload.created_seconds, now_seconds)
            self.ledgers[key] = _paid(self.ledgers.get(key), rate, start, now_seconds)
        month, _ = period_bounds(BudgetPeriod.MONTHLY, 0.0, now_seconds)
        for scope in self.fleet.cost_scopes:
            rate = sum(rates[key] for key in scope.members if key in rates)
            self.spends[scope.name] = _spent(self.spends.get(scope.name), rate, month, now_seconds)

    def _case(self, key: WorkloadKey, world: World, now_seconds: float) -> Case:
        rules, step_seconds = self.rules[key], self.fleet.step_seconds
        pods = self._pods.setdefault(key, SimulatedPods(rules.startup_steps(step_seconds) * step_seconds))
        workload = self.fleet.workloads[key]
        ref = workload.target or TargetRef("apps/v1", "Deployment", key.name)
        target = TargetObservation(ref, "", "", world.replicas, pods.of(world, now_seconds - step_seconds))
        return Case(
            policy=workload,
            seen=WorkloadObservation(key, target),
            state=WorkloadState(DecisionState(now_seconds)),
            forecast=None,
            lead_time_seconds=rules.startup_seconds,
            lead_time_source="spec",
            capacity=None,
            usd_per_replica_hour=_reading(rules.usd_per_replica_hour, now_seconds),
            watts_per_replica=_reading(rules.watts_per_replica, now_seconds),
            ledger=self.ledgers[key],
        )


def lowered_by_limits(run: Run) -> str:
    """In how many steps the hard limits left less than was wanted; empty where they never did."""
    lowered = sum(reason in _LIMIT_REASONS for reason in run.reasons)
    return f"hard limits left less than was wanted in {lowered:,} of {len(run.reasons):,} steps" if lowered else ""


def hold_of(fleet: FleetPolicy, trace: Trace, rules: WorldRules) -> Callable[[], Hold]:
    """Makes the limits of a world of one workload, once for each policy that lives in it."""
    (key,) = fleet.workloads

    def new_hold() -> Hold:
        limits = Limits(fleet, {key: rules})

        def hold(step: int, wanted: int, reason: str, world: World) -> tuple[int, str]:
            limited = limits.held({key: world}, {key: wanted}, grid_seconds(trace, step))[key]
            return limited.replicas, reason if limited.step is None else limited.step.reason

        return hold if limits.any else free

    return new_hold


def _bounded(count: int, rules: WorldRules) -> int:
    return min(max(count, rules.min_replicas), rules.max_replicas)


def _reading(value: float | None, now_seconds: float) -> Reading:
    return _NOT_GIVEN if value is None else Sample(value, now_seconds)


def _paid(before: Ledger | None, usd_per_hour: float, start_seconds: float, now_seconds: float) -> Ledger:
    if before is None:
        return Ledger(now_seconds, now_seconds, period_start_seconds=start_seconds)
    seconds = now_seconds - before.updated_seconds
    cost = usd(usd_per_hour, seconds)
    spent = _of_period(before.period_spent_usd, before.period_start_seconds, start_seconds, cost, seconds, now_seconds)
    return replace(before, updated_seconds=now_seconds, period_start_seconds=start_seconds, period_spent_usd=spent)


def _spent(before: ScopeSpend | None, usd_per_hour: float, month_seconds: float, now_seconds: float) -> ScopeSpend:
    if before is None:
        return ScopeSpend(now_seconds, month_start_seconds=month_seconds)
    seconds = now_seconds - before.updated_seconds
    cost = usd(usd_per_hour, seconds)
    month = _of_period(before.month_usd, before.month_start_seconds, month_seconds, cost, seconds, now_seconds)
    return ScopeSpend(now_seconds, before.total_usd + cost, month_seconds, month)


def _of_period(
    before_usd: float, began_seconds: float, start_seconds: float, cost_usd: float, seconds: float, now_seconds: float
) -> float:
    """What the running period has cost; an interval that spans the turn of the period gives each side its part."""
    return carried_usd(before_usd, began_seconds, start_seconds) + cost_usd * min(
        1.0, (now_seconds - start_seconds) / seconds
    )
