"""Promises that hold for every fleet, tried on random ones."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.domain.decision import FleetDecision, Stage
from kcloud_autoscale.domain.policy import Caps, CapUnit, SharedCap
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.state import DecisionState
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from tests.builders.deciding import NOW, UNKNOWN, a_case, a_fleet, pods, settled

CYCLE = 60.0
UNKNOWABLE = st.just(None)


@dataclass
class Member:
    """A workload of the random world; pods that are told to go stay for one or two cycles."""

    name: str
    priority: int
    least: int
    watts: float
    usd: float
    own_watts: float | None
    mode: Mode
    replicas: int = 1
    leaving: list[int] = field(default_factory=list)
    state: DecisionState = field(default_factory=lambda: DecisionState(NOW))

    @property
    def key(self) -> WorkloadKey:
        return WorkloadKey("shop", self.name)

    @property
    def floor(self) -> int:
        """What no limit may take: minReplicas, or all of a count that is not ours."""
        return self.least if self.mode is Mode.AUTO else self.replicas

    @property
    def held(self) -> int:
        return self.replicas + sum(self.leaving)

    def case(self, demand: float | None, peak: float, now: float):
        return a_case(
            UNKNOWN if demand is None else Sample(demand, now), self.replicas, peak, key=self.key,
            priority=self.priority, min_replicas=self.least, max_replicas=50, watts=self.watts, usd=self.usd,
            running=pods(self.replicas, leaving=sum(self.leaving)), state=self.state,
            caps=Caps(max_watts=self.own_watts), mode=self.mode,
        )  # fmt: skip


members = st.builds(
    Member,
    name=st.just(""),
    priority=st.sampled_from([10, 50, 50, 90]),
    least=st.integers(1, 4),
    watts=st.sampled_from([300.0, 700.0, 1000.0 / 3.0]),
    usd=st.sampled_from([1.1, 2.0, 13.76]),
    own_watts=st.one_of(st.none(), st.sampled_from([900.0, 5_000.0])),
    mode=st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.AUTO, Mode.RECOMMEND, Mode.OFF]),
    replicas=st.integers(1, 6),
)
loads = st.lists(st.tuples(st.one_of(UNKNOWABLE, st.floats(0, 300)), st.floats(0, 300)), min_size=4, max_size=4)


def names_given(drawn: list[Member]) -> list[Member]:
    return [
        replace(member, name=f"w{i}", replicas=member.least if member.mode is Mode.AUTO else member.replicas)
        for i, member in enumerate(drawn)
    ]


def used(world: list[Member], cap: SharedCap) -> float:
    each = (lambda m: m.watts) if cap.unit is CapUnit.WATTS else (lambda m: m.usd)
    return sum(m.held * each(m) for m in world if m.key in cap.members)


def floors(world: list[Member], cap: SharedCap) -> float:
    each = (lambda m: m.watts) if cap.unit is CapUnit.WATTS else (lambda m: m.usd)
    return sum(m.floor * each(m) for m in world if m.key in cap.members)


def apply(outcome, world: list[Member], refused: set[int], check) -> None:
    """Carry out the writes one by one, some of them refused, and look after each."""
    for number, action in enumerate(outcome.fleet.actions):
        if number in refused:
            continue
        member = next(m for m in world if m.key == action.key)
        if action.to_replicas < member.replicas:
            member.leaving.append(member.replicas - action.to_replicas)
        member.replicas = action.to_replicas
        check(world)


@given(
    drawn=st.lists(members, min_size=2, max_size=4),
    story=st.lists(st.tuples(loads, st.sets(st.integers(0, 3), max_size=2), st.booleans()), min_size=3, max_size=12),
    watts=st.sampled_from([2_000.0, 6_000.0, 20_000.0]),
    dollars=st.sampled_from([10.0, 60.0]),
)
@settings(max_examples=40, deadline=None)
def test_no_instant_breaks_a_cap_beyond_its_floors(drawn, story, watts, dollars):
    world = names_given(drawn)
    caps = (
        SharedCap("p/maxPowerUsage", CapUnit.WATTS, watts, frozenset(m.key for m in world)),
        SharedCap("c/costPerHourLimit", CapUnit.USD_PER_HOUR, dollars, frozenset(m.key for m in world[:2])),
    )

    def check(world: list[Member]) -> None:
        for cap in caps:
            assert used(world, cap) <= max(cap.limit, floors(world, cap)) * (1.0 + 1e-6)
        for m in world:
            if m.own_watts is not None:
                assert m.held * m.watts <= max(m.own_watts, m.floor * m.watts) * (1.0 + 1e-6)

    for tick, (load, refused, pods_go) in enumerate(story):
        now = NOW + CYCLE * tick
        cases = [m.case(*load[i], now) for i, m in enumerate(world)]
        outcome = decide_fleet(cases, a_fleet(*cases, caps=caps), now)
        nothing_rises_after_caps(outcome.fleet)
        for m, state in zip(world, outcome.states, strict=True):
            m.state = state
        apply(outcome, world, refused, check)
        if pods_go:
            for m in world:
                del m.leaving[:-1]


def nothing_rises_after_caps(fleet: FleetDecision) -> None:
    for decision in fleet.decisions:
        late = [step for step in decision.steps if step.stage in (Stage.CAPS, Stage.STAGE)]
        assert all(step.after <= step.before for step in late)
        assert decision.desired_replicas <= decision.uncapped_replicas
        if decision.action is not None:
            assert decision.action.to_replicas <= max(decision.desired_replicas, decision.current_replicas)
        stages = [list(Stage).index(step.stage) for step in decision.steps]
        assert stages == sorted(stages)


@given(
    demand=st.one_of(UNKNOWABLE, st.floats(0, 500)),
    peak=st.one_of(UNKNOWABLE, st.floats(0, 500)),
    replicas=st.integers(1, 40),
    mode=st.sampled_from(Mode),
    kappa=st.sampled_from([None, 10.0]),
)
@settings(max_examples=60, deadline=None)
def test_the_same_inputs_give_the_same_outcome_and_the_steps_tell_it(demand, peak, replicas, mode, kappa):
    case = a_case(UNKNOWN if demand is None else demand, replicas, peak, mode=mode, kappa=kappa)
    one, other = (decide_fleet((case,), a_fleet(case), NOW) for _ in range(2))
    decision = one.fleet.decisions[0]

    assert one == other
    assert decision.steps[0].before == replicas
    for before, after in zip(decision.steps[1:], decision.steps[2:], strict=False):
        assert before.after == after.before
    assert all(step.message is not None for step in decision.steps)
    if demand is None or kappa is None:
        assert decision.desired_replicas == replicas
    if mode is not Mode.AUTO:
        assert decision.action is None


@given(st.floats(0, 500), st.integers(1, 40), st.floats(0, 500))
@settings(max_examples=60, deadline=None)
def test_deciding_again_on_what_was_decided_changes_nothing(demand, replicas, peak):
    first = decide_fleet(((case := a_case(demand, replicas, peak, state=settled())),), a_fleet(case), NOW)
    running = first.fleet.decisions[0].desired_replicas
    again = a_case(demand, running, peak, state=first.states[0])
    second = decide_fleet((again,), a_fleet(again), NOW + 1.0)

    assert second.fleet.decisions[0].desired_replicas == running
    assert second.fleet.actions == ()


waiting_members = st.lists(
    st.tuples(
        st.sampled_from([10, 50, 90]),  # priority
        st.integers(1, 6),  # on nodes
        st.integers(0, 6),  # waiting for one
        st.integers(1, 14),  # wanted
        st.sampled_from([300.0, 700.0, 1_600.0]),
    ),
    min_size=2,
    max_size=4,
)


@given(drawn=waiting_members, limit=st.floats(500.0, 12_000.0))
@settings(max_examples=150, deadline=None)
def test_nobody_who_serves_gives_way_to_somebody_pending(drawn, limit):
    """Where each that wants more has somebody waiting, whatever serves stays as far as it fits at all."""
    cases = [
        a_case(
            10.0 * wanted, placed + waiting, 10.0 * wanted, key=WorkloadKey("shop", f"w{i}"), priority=priority,
            watts=watts, running=pods(placed, waiting=waiting, waited=30.0),
        )
        for i, (priority, placed, waiting, wanted, watts) in enumerate(drawn)
        if waiting or wanted <= placed
    ]  # fmt: skip
    keys = frozenset(case.policy.key for case in cases)
    caps = (SharedCap("p/maxPowerUsage", CapUnit.WATTS, limit, keys),)
    decisions = decide_fleet(cases, a_fleet(*cases, caps=caps), NOW).fleet.decisions
    alone = [decide_fleet((case,), a_fleet(case), NOW).fleet.decisions[0].desired_replicas or 0 for case in cases]
    serving = [min(want, case.seen.target.pods.placed) for case, want in zip(cases, alone, strict=True)]
    draws = [case.watts_per_replica.value for case in cases]
    granted = [decision.desired_replicas or 0 for decision in decisions]

    assert sum(map(operator.mul, granted, draws)) <= max(limit, sum(draws)) * (1.0 + 1e-6)
    if sum(map(operator.mul, serving, draws)) <= limit:
        assert all(given >= stays for given, stays in zip(granted, serving, strict=True))
