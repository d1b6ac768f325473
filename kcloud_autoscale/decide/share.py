"""Hard limits that several workloads share: floors first, then by priority, like water into steps of a pool.

In three rounds. First the floors and all who serve or start, by priority, and growth for which slots are seen: a
higher priority takes such room from a lower one that serves. Then what waits for a node and what merely might find
one, again by priority, from what is left: nobody who serves gives way to somebody pending. A member whose price or
draw is not known bounds only itself: what it runs is counted at an estimate from above, or not at all where nothing
tells, and it grows last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from kcloud_autoscale.decide.budget import SharedBudget
from kcloud_autoscale.decide.caps import UNIT_TEXT, gives_way
from kcloud_autoscale.decide.counting import EPSILON, excess
from kcloud_autoscale.decide.guard import Control
from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.decide.room import Room
from kcloud_autoscale.decide.vouch import vouched
from kcloud_autoscale.domain.decision import CapState, Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.policy import SharedCap
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.units import usd
from kcloud_autoscale.domain.workload import WorkloadKey

Counts = dict[WorkloadKey, int]
_NOTHING_KEPT: Mapping[str, float] = {}
_TEXT = (
    "{} is shared by priority: {:g} {} for {} workloads; {} of {} replicas; {} gives way; {:+.2f} {} would serve all"
)
_UNKNOWN_TEXT = "what a replica takes of {} is not known: it may not grow beyond {}"


@frozen
class _Scope:
    """One shared limit with whom it concerns.

    Attributes:
        cap: The limit.
        members: Plan, and what one of its replicas takes at most; 0 where nothing tells.
        strangers: Members of which it is not known exactly.
        uncounted: Of these, those of which nothing is known: their share of the limit is not in the sum.
        wanted: What all that is wanted would take, as far as known.
        budget: Where the limit is the rate that a budget allows.
    """

    cap: SharedCap
    members: tuple[tuple[Plan, float], ...]
    strangers: frozenset[WorkloadKey]
    uncounted: frozenset[WorkloadKey]
    wanted: float
    budget: SharedBudget | None = None

    @property
    def short(self) -> bool:
        """Not everything wanted fits, or somebody may not grow."""
        return bool(self.strangers) or excess(self.wanted, self.cap.limit) > 0.0


def share(
    plans: Sequence[Plan],
    caps: Sequence[SharedCap],
    budgets: Sequence[SharedBudget],
    room: Room,
    cycle_seconds: float,
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
        granted = _granted(concerned, scopes, room)
        for plan in concerned:
            key = plan.case.policy.key
            _lower(plan, granted.get(key, plan.replicas), of_key[key])
    for scope in scopes:
        _note(scope, wanted, cycle_seconds)


def _scope(cap: SharedCap, plans: Sequence[Plan], budget: SharedBudget | None = None) -> _Scope:
    members, strangers, uncounted, wanted = [], set(), set(), 0.0
    for plan in plans:
        key = plan.case.policy.key
        if key not in cap.members:
            continue
        most = plan.most(cap.unit)
        if isinstance(plan.each(cap.unit), Missing):
            strangers.add(key)
        if isinstance(most, Missing):
            uncounted.add(key)
        each = 0.0 if isinstance(most, Missing) else most.value
        members.append((plan, each))
        # A smaller count that is only recommended frees nothing.
        wanted += each * max(plan.replicas, plan.will_run)
    return _Scope(cap, tuple(members), frozenset(strangers), frozenset(uncounted), wanted, budget)


def _granted(concerned: Sequence[Plan], scopes: Sequence[_Scope], room: Room) -> Counts:
    """What each that asks gets; first among those that act, then once more as if those advised acted too."""
    acting = [plan for plan in concerned if plan.acting]
    advised = [plan for plan in concerned if not plan.acting and plan.guarded.control is not Control.HANDS_OFF]
    granted = _fill(acting, scopes, room)
    if advised:
        as_if = _fill([*acting, *advised], scopes, room)
        granted |= {plan.case.policy.key: as_if[plan.case.policy.key] for plan in advised}
    return granted


def _fill(asking: Sequence[Plan], scopes: Sequence[_Scope], room: Room) -> Counts:
    """Replicas for each that asks.

    Three of priority 80, 50 and 50 want 6, 4 and 4 at 700 W each under 7,000 W, each with a floor of 1. The floors
    take 2,100 W, the first its 5 more; of the 1,400 W left the last two get one replica each: 6, 2 and 2. Where the
    first has 2 on nodes and 4 that wait for one, it gets its 2, the others the 4 and 4 they run, and nobody more.
    """
    pool = _Pool(asking, scopes)
    order = sorted(asking, key=_rank)
    pool.hand_out(order, vouched(asking, scopes, room))
    pool.hand_out(order, {plan.case.policy.key: min(plan.floor, pool.want(plan)) for plan in asking})
    pool.hand_out(order, {plan.case.policy.key: pool.want(plan) for plan in asking})
    return pool.counts


def _rank(plan: Plan) -> tuple[int, WorkloadKey]:
    return -plan.case.policy.priority, plan.case.policy.key


class _Pool:
    """What is left of each limit while replicas are handed out; floors are handed out at the start."""

    def __init__(self, asking: Sequence[Plan], scopes: Sequence[_Scope]) -> None:
        self._strangers = frozenset().union(*(scope.strangers for scope in scopes))
        self._scopes = scopes
        self._left = {scope.cap.name: scope.cap.limit * (1.0 + EPSILON) for scope in scopes}
        self.counts: Counts = {plan.case.policy.key: self._first(plan) for plan in asking}
        self._needs: dict[WorkloadKey, list[tuple[str, float]]] = {key: [] for key in self.counts}
        self._placed = {plan.case.policy.key: plan.slots.placed for plan in asking}
        self._reserved = dict.fromkeys(self._left, 0.0)
        for scope in scopes:
            for plan, each in scope.members:
                self._enter(scope.cap.name, plan, each)

    def _enter(self, name: str, plan: Plan, each: float) -> None:
        """What is taken already; what a stranger runs, or waits and is not ours, is kept from growth alone."""
        key = plan.case.policy.key
        if key in self._needs and each > 0.0:
            self._needs[key].append((name, each))
        if key in self._strangers:
            self._reserved[name] += each * self.counts.get(key, plan.current)
        elif key in self.counts:
            self._left[name] -= each * self.counts[key]
        else:
            self._left[name] -= each * plan.slots.placed
            self._reserved[name] += each * plan.slots.waiting

    def _first(self, plan: Plan) -> int:
        """The floor, as far as its replicas are not known to find no node; of a stranger what it runs."""
        placed = plan.slots.placed
        if plan.case.policy.key in self._strangers:
            return min(plan.replicas, max(placed, 0))
        floor = plan.floor if plan.slots.limit is None else min(plan.floor, placed + (plan.slots.free or 0))
        return max(floor, plan.least_written)

    def want(self, plan: Plan) -> int:
        """What it asks for; where what it takes of a limit is not known at all, not more than it has."""
        key = plan.case.policy.key
        if any(key in scope.uncounted for scope in self._scopes):
            return min(plan.replicas, max(plan.current, plan.floor))
        return plan.replicas

    def hand_out(self, order: Sequence[Plan], wants: Mapping[WorkloadKey, int]) -> None:
        """By priority up to what each wants, in turn among equals."""
        for _, group in groupby(order, key=lambda plan: plan.case.policy.priority):
            waiting = list(group)
            if self.take_all(waiting, wants):
                continue
            while waiting:
                waiting = [plan for plan in waiting if self.take_one(plan, wants)]

    def take_all(self, plans: Sequence[Plan], wants: Mapping[WorkloadKey, int]) -> bool:
        """Give every plan what it wants if all of that fits."""
        total: dict[str, float] = {}
        for plan in plans:
            key = plan.case.policy.key
            more = max(0, wants[key] - self.counts[key])
            for name, each in self._needs[key]:
                total[name] = total.get(name, 0.0) + more * each
        if any(amount > self._left[name] - self._reserved[name] for name, amount in total.items() if amount > 0.0):
            return False
        for name, amount in total.items():
            self._left[name] -= amount
        for plan in plans:
            key = plan.case.policy.key
            self.counts[key] = max(self.counts[key], wants[key])
        return True

    def take_one(self, plan: Plan, wants: Mapping[WorkloadKey, int]) -> bool:
        """Give one replica more if it is wanted and fits."""
        key = plan.case.policy.key
        if self.counts[key] >= wants[key]:
            return False
        kept = self._reserved if self.counts[key] >= self._placed[key] else _NOTHING_KEPT
        if any(each > self._left[name] - kept.get(name, 0.0) for name, each in self._needs[key]):
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
    key = plan.case.policy.key
    unknown = next((scope for scope in scopes if key in scope.uncounted), None)
    if unknown is not None and granted >= plan.current:
        values: tuple[object, ...] = (unknown.cap.name, granted)
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
    over = excess(floors, limit)
    for plan, _ in scope.members:
        key = plan.case.policy.key
        cut = scope.short and plan.replicas < wanted[key]
        known_use = None if key in scope.uncounted else used
        plan.caps.append(CapState(name, limit, known_use, cut, over, len(scope.uncounted)))
