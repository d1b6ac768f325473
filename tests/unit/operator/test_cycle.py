import asyncio
from collections.abc import Callable
from email.utils import formatdate as http_date

import pytest

from kcloud_autoscale.domain.observation import Observation
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.operator import quarantine
from kcloud_autoscale.operator.clock import FleetClock
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.quarantine import SET_ASIDE_SECONDS, Quarantine
from kcloud_autoscale.operator.reconcile import Cycle
from kcloud_autoscale.tick import FleetState


class FakeReconciler:
    """Counts what it is asked for; fails while told to."""

    def __init__(self) -> None:
        self.cycles = 0
        self.taken_over = 0
        self.set_by: list[float] = []
        self.stood_down = 0
        self.fails = False
        self.cycled = asyncio.Semaphore(0)

    async def reconcile(self, now_seconds: float) -> None:
        self.cycles += 1
        self.cycled.release()
        if self.fails:
            raise ValueError("no")

    async def take_over(self, now_seconds: float) -> None:
        self.taken_over += 1

    def start_over(self, set_by_seconds: float) -> None:
        self.set_by.append(set_by_seconds)

    def stand_down(self) -> None:
        self.stood_down += 1


def cycle_of(reconciler: FakeReconciler, leads: Callable[[], bool], every_seconds: float = 60.0) -> Cycle:
    return Cycle(reconciler, leads, every_seconds, lambda: None, Metrics(), FleetClock())  # type: ignore[arg-type]


async def test_only_the_leader_cycles_and_begins_with_a_clean_slate():
    reconciler, leads = FakeReconciler(), [False]
    cycle = cycle_of(reconciler, lambda: leads[0])
    await cycle.once()
    assert reconciler.cycles == 0
    leads[0] = True
    await cycle.once()
    await cycle.once()
    assert (reconciler.cycles, reconciler.taken_over) == (2, 1)
    leads[0] = False
    await cycle.once()
    await cycle.once()
    assert reconciler.stood_down == 1
    leads[0] = True
    await cycle.once()
    assert (reconciler.cycles, reconciler.taken_over) == (3, 2)


@pytest.mark.parametrize(("leap_seconds", "set_by"), [(3600.0, [3600.0]), (-3600.0, [-3600.0]), (2.0, []), (-2.0, [])])
async def test_what_another_clock_has_dated_is_forgotten(leap_seconds: float, set_by: list[float]):
    """Both servers and this machine are set at once: there is no other time than theirs."""
    reconciler, wall, passed = FakeReconciler(), [1_800_000_000.0], [50.0]
    clock = FleetClock(lambda: wall[0], lambda: passed[0])
    cycle = Cycle(reconciler, lambda: True, 60.0, lambda: None, Metrics(), clock)  # type: ignore[arg-type]
    for leap in (0.0, 0.0, leap_seconds, 0.0):
        passed[0] += 60.0
        wall[0] += 60.0 + leap
        for server in ("kubernetes", "prometheus"):
            clock.hear(server, http_date(wall[0]))
        await cycle.once()
    assert (reconciler.cycles, reconciler.taken_over) == (4, 1)
    assert reconciler.set_by == pytest.approx(set_by)


async def test_a_cycle_that_fails_is_counted_and_the_next_one_starts_over():
    reconciler = FakeReconciler()
    reconciler.fails = True
    cycle = cycle_of(reconciler, lambda: True)
    await cycle.once()
    reconciler.fails = False
    await cycle.once()
    await cycle.once()
    assert (reconciler.cycles, reconciler.taken_over) == (3, 2)  # on taking the lead, and after the failure


async def test_a_change_wakes_it_and_a_burst_of_changes_is_one_cycle(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Cycle, "GATHER_CHANGES_SECONDS", 0.02)
    reconciler = FakeReconciler()
    cycle = cycle_of(reconciler, lambda: True)
    task = asyncio.create_task(cycle.run())
    await reconciler.cycled.acquire()
    for _ in range(50):
        cycle.wake()
    await reconciler.cycled.acquire()
    await asyncio.sleep(0.05)
    task.cancel()
    assert reconciler.cycles == 2


GOOD, BAD = WorkloadKey("ai", "good"), WorkloadKey("ai", "bad")


def fleet(generation: int = 1) -> FleetPolicy:
    return FleetPolicy({key: WorkloadPolicy(key, generation=generation) for key in (GOOD, BAD)})


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Quarantine:
    """A quarantine after `bad` broke the tick at 0 s."""

    def tick(observation: Observation, policy: FleetPolicy, state: FleetState, now_seconds: float) -> None:
        if BAD in policy.workloads:
            raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(quarantine, "tick", tick)
    made = Quarantine()
    made.find(Observation(0.0, {}), fleet(), {}, LiveForecaster)
    return made


def test_who_breaks_the_tick_is_left_out_and_named(poisoned: Quarantine):
    assert set(poisoned.without(fleet(), 1.0).workloads) == {GOOD}
    assert poisoned.reasons() == {BAD: "ZeroDivisionError: float division by zero"}


def test_it_is_tried_again_later_or_with_a_new_spec(poisoned: Quarantine):
    assert set(poisoned.without(fleet(), SET_ASIDE_SECONDS - 1.0).workloads) == {GOOD}
    assert set(poisoned.without(fleet(generation=2), 1.0).workloads) == {GOOD, BAD}
    assert poisoned.reasons() == {}


def test_one_that_is_deleted_is_forgotten(poisoned: Quarantine):
    poisoned.without(FleetPolicy({GOOD: WorkloadPolicy(GOOD, generation=1)}), 1.0)
    assert poisoned.reasons() == {}
