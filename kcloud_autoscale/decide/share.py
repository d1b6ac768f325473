"""Hard limits that several workloads share: floors first, then by priority, like water into steps of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from kcloud_autoscale.decide.budget import SharedBudget
from kcloud_autoscale.decide.caps import UNIT_TEXT, gives_way
from kcloud_autoscale.decide.counting import EPSILON, excess
from kcloud_autoscale.decide.guard import Control
from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.domain.decision import CapState, Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.policy import SharedCap
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.units import usd
from kcloud_autoscale.domain.workload import WorkloadKey

Counts = dict[WorkloadKey, int]
_TEXT = (
    "{} is shared by priority: {:g} {} for {} workloads; {} of {} replicas; {} gives way; {:+.2f} {} would serve all"
)
_UNKNOWN_TEXT = "what a replica of {} takes of {} is not known: no growth beyond {}"


@frozen
class _Scope:
    """One shared limit with whom it concerns.

    Attributes:
        cap: The limit.
        members: Plan and what one of its replicas takes; 0 where that is not known.
        stranger: A member of which it is not known; None when all are.
        wanted: What all that is wanted would take, as far as known.
        budget: Where the limit is the rate that a budget allows.
    """

    cap: SharedCap
    members: tuple[tuple[Plan, float], ...]
    stranger: WorkloadKey | None
    wanted: float
    budget: SharedBudget | None = None

    @property
    def short(self) -> bool:
        """Not everything wanted fits, or nobody can tell."""
        return self.stranger is not None or excess(self.wanted, self.cap.limit) > 0.0


def share(
    plans: Sequence[Plan], caps: Sequence[SharedCap], budgets: Sequence[SharedBudget], cycle_seconds: float
) -> None:
    """Lower counts until every shared limit holds, `minReplicas` apart.

    Counts that are not ours to change take what they have. A workload in mode Recommend takes what it has as well;
    what is recommended to it is what it would get if it took part.
    """
    if not caps and not budgets:
        return
    scopes = [_scope(cap, plans) for cap in caps]
    scopes += [_scope(budget.cap, plans, budget) for budget in budgets]
    of_key: dict[WorkloadKey, list[_Scope]] = {}
    for scope in scopes:
        for plan, _ in scope.members:
            of_key.setdefault(plan.case.policy.key, []).append(scope)
    concerned = [plan for plan in plans if plan.case.policy.key in of_key]
    wanted = {plan.case.policy.key: plan.replicas for plan in concerned}
    if any(scope.short for scope in scopes):
        granted = _granted(concerned, scopes)
        for plan in concerned:
            key = plan.case.policy.key
            _lower(plan, granted.get(key, plan.replicas), of_key[key])
    for scope in scopes:
        _note(scope, wanted, cycle_seconds)


def _scope(cap: SharedCap, plans: Sequence[Plan], budget: SharedBudget | None = None) -> _Scope:
    members, stranger, wanted = [], None, 0.0
    for plan in plans:
        if plan.case.policy.key not in cap.members:
            continue
        reading = plan.each(cap.unit)
        if isinstance(reading, Missing):
            stranger, each = stranger or plan.case.policy.key, 0.0
        else:
            each = reading.value
        members.append((plan, each))
        # A smaller count that is only recommended frees nothing.
        wanted += each * max(plan.replicas, plan.will_run)
    return _Scope(cap, tuple(members), stranger, wanted, budget)


def _granted(concerned: Sequence[Plan], scopes: Sequence[_Scope]) -> Counts:
    """What each that asks gets; first among those that act, then once more as if those advised acted too."""
    acting = [plan for plan in concerned if plan.acting]
    advised = [plan for plan in concerned if not plan.acting and plan.guarded.control is not Control.HANDS_OFF]
    granted = _fill(acting, scopes)
    if advised:
        as_if = _fill([*acting, *advised], scopes)
        granted |= {plan.case.policy.key: as_if[plan.case.policy.key] for plan in advised}
    return granted


def _fill(asking: Sequence[Plan], scopes: Sequence[_Scope]) -> Counts:
    """Replicas for each that asks.

    Three of priority 80, 50 and 50 want 6, 4 and 4 at 700 W each under 7,000 W, each with a floor of 1. The floors
    take 2,100 W, the first its 5 more; of the 1,400 W left the last two get one replica each: 6, 2 and 2.
    """
    pool = _Pool(asking, scopes)
    wants = {plan.case.policy.key: pool.want(plan) for plan in asking}
    for _, group in groupby(sorted(asking, key=_rank), key=lambda plan: plan.case.policy.priority):
        waiting = list(group)
        if pool.take_all(waiting, wants):
            continue
        while waiting:
            waiting = [plan for plan in waiting if pool.take_one(plan, wants)]
    return pool.counts


def _rank(plan: Plan) -> tuple[int, WorkloadKey]:
    return -plan.case.policy.priority, plan.case.policy.key


class _Pool:
    """What is left of each limit while replicas are handed out; floors are handed out at the start."""

    def __init__(self, asking: Sequence[Plan], scopes: Sequence[_Scope]) -> None:
        self.counts: Counts = {plan.case.policy.key: plan.least for plan in asking}
        self._left = {scope.cap.name: scope.cap.limit * (1.0 + EPSILON) for scope in scopes}
        self._needs: dict[WorkloadKey, list[tuple[str, float]]] = {key: [] for key in self.counts}
        self._frozen: set[WorkloadKey] = set()
        for scope in scopes:
            self._enter(scope)

    def _enter(self, scope: _Scope) -> None:
        name = scope.cap.name
        for plan, each in scope.members:
            key = plan.case.policy.key
            self._left[name] -= self.counts.get(key, plan.current) * each
            if key in self._needs and each > 0.0:
                self._needs[key].append((name, each))
            if scope.stranger is not None:
                self._frozen.add(key)

    def want(self, plan: Plan) -> int:
        """What it asks for; where the use of a limit cannot be known, not more than it has."""
        if plan.case.policy.key in self._frozen:
            return min(plan.replicas, max(plan.current, plan.floor))
        return plan.replicas

    def take_all(self, plans: Sequence[Plan], wants: Counts) -> bool:
        """Give every plan what it wants if all of that fits."""
        total: dict[str, float] = {}
        for plan in plans:
            key = plan.case.policy.key
            for name, each in self._needs[key]:
                total[name] = total.get(name, 0.0) + (wants[key] - self.counts[key]) * each
        if any(amount > self._left[name] for name, amount in total.items() if amount > 0.0):
            return False
        for name, amount in total.items():
            self._left[name] -= amount
        self.counts.update({plan.case.policy.key: wants[plan.case.policy.key] for plan in plans})
        return True

    def take_one(self, plan: Plan, wants: Counts) -> bool:
        """Give one replica more if it is wanted and fits."""
        key = plan.case.policy.key
        if self.counts[key] >= wants[key] or any(each > self._left[name] for name, each in self._needs[key]):
            return False
        for name, each in self._needs[key]:
            self._left[name] -= each
        self.counts[key] += 1
        return True


def _lower(plan: Plan, granted: int, scopes: Sequence[_Scope]) -> None:
    """The step of one workload, naming the limit that is shortest of what is wanted."""
    before = plan.replicas
    if granted >= before:
        return
    unknown = next((scope for scope in scopes if scope.stranger is not None), None)
    if unknown is not None and granted >= plan.current:
        values: tuple[object, ...] = (unknown.stranger, unknown.cap.name, granted)
        plan.limit(granted, Step(Stage.CAPS, before, granted, "SharedCapUnknown", _UNKNOWN_TEXT, values))
        return
    scope = max(scopes, key=lambda each: each.wanted / max(each.cap.limit, EPSILON))
    cap, unit, way = scope.cap, UNIT_TEXT[scope.cap.unit], gives_way(plan, granted)
    values = (cap.name, cap.limit, unit, len(scope.members), granted, before, way, scope.wanted - cap.limit, unit)
    plan.limit(granted, Step(Stage.CAPS, before, granted, "SharedCap", _TEXT, values))


def _note(scope: _Scope, wanted: Counts, cycle_seconds: float) -> None:
    """How every member stands to a limit; what counts is what will run, recommended or not.

    A budget is looked at as it will stand at the next tick.
    """
    name, limit, used, floors = scope.cap.name, scope.cap.limit, 0.0, 0.0
    for plan, each in scope.members:
        used += each * plan.will_run
        floors += each * (plan.floor if plan.acting else plan.current)
    if scope.budget is not None:
        limit, spent = scope.budget.budget_usd, scope.budget.spent_usd
        used, floors = spent + usd(used, cycle_seconds), spent + usd(floors, cycle_seconds)
    known_use, over = used if scope.stranger is None else None, excess(floors, limit)
    free, bound = (CapState(name, limit, known_use, cut, over) for cut in (False, True))
    for plan, _ in scope.members:
        cut = scope.short and plan.replicas < wanted[plan.case.policy.key]
        plan.caps.append(bound if cut else free)
