from typing import Any

import pytest

from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.operator.leader import LeaderElection
from tests.fakes.rest import FakeRest

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kcloud-system/leases/kcloud-autoscale"


class Clock:
    def __init__(self) -> None:
        self.now_seconds = 0.0

    def __call__(self) -> float:
        return self.now_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def candidate(rest: FakeRest, clock: Clock, name: str) -> LeaderElection:
    return LeaderElection(rest, "kcloud-system", "kcloud-autoscale", name, clock=clock, wall_clock=clock)


def spec_of(rest: FakeRest) -> dict[str, Any]:
    spec: dict[str, Any] = rest.objects[LEASE]["spec"]
    return spec


async def test_the_first_takes_the_lease_and_the_second_waits(clock: Clock):
    rest = FakeRest()
    first, second = candidate(rest, clock, "a"), candidate(rest, clock, "b")
    await first.attempt()
    await second.attempt()
    assert (first.is_leader(), second.is_leader()) == (True, False)
    assert spec_of(rest)["holderIdentity"] == "a"


async def test_a_lease_that_is_not_renewed_for_fifteen_seconds_is_taken_over(clock: Clock):
    rest = FakeRest()
    first, second = candidate(rest, clock, "a"), candidate(rest, clock, "b")
    await first.attempt()
    await second.attempt()  # sees it at 0 s
    clock.now_seconds = 15.0
    await second.attempt()
    assert not second.is_leader()
    clock.now_seconds = 15.1
    await second.attempt()
    assert second.is_leader()
    assert spec_of(rest)["leaseTransitions"] == 1


async def test_the_holder_stops_by_itself_five_seconds_before_anyone_may_take_over(clock: Clock):
    rest = FakeRest()
    first = candidate(rest, clock, "a")
    await first.attempt()
    rest.refuse = lambda verb, path: RequestError(None, "NoAnswer", "away")
    clock.now_seconds = 9.9
    with pytest.raises(RequestError):
        await first.attempt()
    assert first.is_leader()
    clock.now_seconds = 10.0
    assert not first.is_leader()


async def test_a_holder_that_is_overtaken_knows_at_once(clock: Clock):
    rest = FakeRest()
    first = candidate(rest, clock, "a")
    await first.attempt()
    spec_of(rest)["holderIdentity"] = "b"
    await first.attempt()
    assert not first.is_leader()


async def test_of_two_takers_the_slower_gets_a_conflict_and_does_not_lead(clock: Clock):
    rest = FakeRest()
    first = candidate(rest, clock, "a")
    rest.refuse = lambda verb, path: RequestError(409, "Conflict", "changed") if verb != "GET" else None
    await first.attempt()
    assert not first.is_leader()


async def test_a_released_lease_is_free_at_once(clock: Clock):
    rest = FakeRest()
    first, second = candidate(rest, clock, "a"), candidate(rest, clock, "b")
    await first.attempt()
    await first.release()
    assert not first.is_leader()
    await second.attempt()
    assert second.is_leader()


async def test_a_restart_under_the_same_name_goes_on_at_once(clock: Clock):
    rest = FakeRest()
    await candidate(rest, clock, "a").attempt()
    again = candidate(rest, clock, "a")
    await again.attempt()
    assert again.is_leader()
    assert spec_of(rest)["leaseTransitions"] == 0


async def test_silence_is_infinite_before_the_first_answer(clock: Clock):
    first = candidate(FakeRest(), clock, "a")
    assert first.silence_seconds() == float("inf")
    await first.attempt()
    clock.now_seconds = 3.0
    assert first.silence_seconds() == 3.0
