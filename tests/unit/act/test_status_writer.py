import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from kcloud_autoscale.act.events import ObjectRef
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.act.status import Outcome, workload_status
from kcloud_autoscale.act.status_writer import StatusWriter, Urgency, merge_patch, urgency
from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.domain.policy import Caps
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.state import DecisionState, WorkloadState
from tests.builders.deciding import LONG_AGO, NOW, a_case, a_fleet
from tests.fakes.rest import FakeRest

REF = ObjectRef("kcloud.io/v1alpha1", "WorkloadOptimizer", "ai", "llm", "u1")
PATH = "/apis/kcloud.io/v1alpha1/namespaces/ai/workloadoptimizers/llm/status"


def test_the_patch_is_the_smallest_one():
    old = {"replicas": 2, "gone": 1, "forecast": {"peak": 40.0, "model": "x"}, "list": [1, 2]}
    new = {"replicas": 2, "forecast": {"peak": 41.0, "model": "x"}, "list": [1, 3]}
    assert merge_patch(old, new) == {"gone": None, "forecast": {"peak": 41.0}, "list": [1, 3]}
    assert merge_patch(new, new) == {}


@pytest.mark.parametrize(
    ("change", "how_soon"),
    [
        ({}, Urgency.NONE),
        ({"lastDecision": {"id": "d2"}}, Urgency.IDLE),
        ({"misses": {"steps": 4.0}}, Urgency.IDLE),
        ({"currentCost": 21.0}, Urgency.NUMBERS),
        ({"desiredReplicas": 4}, Urgency.NOW),
        ({"conditions": [{"type": "Ready", "status": "True", "reason": "A", "message": "in 4 s"}]}, Urgency.IDLE),
        ({"conditions": [{"type": "Ready", "status": "False", "reason": "A", "message": "in 3 s"}]}, Urgency.NOW),
        ({"forecast": {"peak": 41.0, "asked": {"model": "ETS", "fitted": True, "weight": 0.3}}}, Urgency.IDLE),
        ({"forecast": {"peak": 40.0, "asked": {"model": "ETS", "fitted": False, "message": "no"}}}, Urgency.NOW),
        ({"forecast": {"peak": 40.0}}, Urgency.NOW),
    ],
)
def test_how_soon_a_change_is_written(change: dict[str, Any], how_soon: Urgency):
    old = {
        "desiredReplicas": 3,
        "currentCost": 20.0,
        "lastDecision": {"id": "d1"},
        "forecast": {"peak": 40.0, "asked": {"model": "ETS", "fitted": True, "weight": 0.2}},
        "conditions": [{"type": "Ready", "status": "True", "reason": "A", "message": "in 3 s"}],
    }
    assert urgency(old, {**old, **change}) is how_soon


Minute = tuple[float, Caps]
ROOM, TIGHT = Caps(max_usd_per_hour=100.0), Caps(max_usd_per_hour=4.0)  # at 2 $/h each: 50 fit, or 2


def statuses_of(story: Iterable[Minute], start: int, **policy: Any) -> list[dict[str, Any]]:
    """What would be written after each minute of (demand, caps); every write to the target is carried out."""
    state, running, told = DecisionState(LONG_AGO), start, []
    for minute, (demand, caps) in enumerate(story):
        now = NOW + 60.0 * minute
        case = a_case(Sample(demand, now), running, demand, state=state, caps=caps, **policy)
        decided = decide_fleet((case,), a_fleet(case), now)
        state = decided.states[0]
        for action in decided.fleet.actions:
            running = action.to_replicas
        cycle = Outcome(case.policy, case.seen, decided.fleet.decisions[0], None)
        told.append(workload_status(cycle, {}, WorkloadState(state)))
    return told


def urgencies(story: Iterable[Minute], start: int, **policy: Any) -> list[Urgency]:
    """How soon each minute's status is written, the one before being on record."""
    return [urgency(old, new) for old, new in pairwise(statuses_of(story, start, **policy))]


def test_a_cap_that_begins_to_bind_is_told_at_once_though_the_count_stays():
    # 20 per second at 10 each need 2; from the fourth minute on 45 need 5, and 4 $/h pay for 2.
    story = [(20.0, TIGHT)] * 3 + [(45.0, TIGHT)] * 3
    assert urgencies(story, 2)[2:] == [Urgency.NOW, Urgency.IDLE, Urgency.IDLE]
    told = statuses_of(story, 2)[3]
    assert (told["desiredReplicas"], told["lastDecision"]["uncappedReplicas"]) == (2, 5)
    assert told["lastDecision"]["reason"] == "MaxCostPerHour"


def test_a_need_that_grows_above_a_cap_is_told_at_once():
    assert urgencies([(45.0, TIGHT)] * 3 + [(75.0, TIGHT)] * 2, 2)[2:] == [Urgency.NOW, Urgency.IDLE]


def test_a_limit_that_no_longer_binds_is_told_at_once():
    assert urgencies([(45.0, TIGHT)] * 2 + [(20.0, TIGHT)] * 2, 2)[1:] == [Urgency.NOW, Urgency.IDLE]


def test_max_replicas_that_begins_to_bind_is_told_at_once():
    story = [(20.0, ROOM)] * 2 + [(45.0, ROOM)] * 2
    assert urgencies(story, 2, max_replicas=2)[1:] == [Urgency.NOW, Urgency.IDLE]


def test_a_quiet_workload_is_not_written_though_its_reason_changes_every_minute():
    # 4 replicas; needs of 4 and 3 in turn: sized to 4, then below and held by the window of five minutes.
    story = [(39.0 if minute % 2 else 29.0, ROOM) for minute in range(40)]
    told = statuses_of(story, 4)
    assert {one["lastDecision"]["reason"] for one in told} >= {"NoChange", "ScaleDownStabilized"}
    assert set(urgencies(story, 4)) == {Urgency.IDLE}


class World:
    """A writer beside the object it writes to."""

    def __init__(self) -> None:
        self.now_seconds = 1_000.0
        self.leads = True
        self.rest = FakeRest({PATH: {"metadata": {"uid": "u1", "resourceVersion": "7"}, "status": {}}})
        self.writer = StatusWriter(
            self.rest,
            TokenBucket(),
            lambda ref: self.rest.objects.get(PATH),
            lambda ref, body: None,
            lambda: self.leads,
            self.clock,
        )

    def clock(self) -> float:
        return self.now_seconds

    async def want(self, *statuses: dict[str, Any]) -> list[Any]:
        """Ask for each in turn; the patches that were sent."""
        task = asyncio.create_task(self.writer.run())
        before = len(self.rest.written("PATCH"))
        for status in statuses:
            self.writer.want(REF, status)
        await self.writer.flush()
        task.cancel()
        return [body["status"] for body in self.rest.written("PATCH")[before:]]


async def test_what_was_decided_goes_out_at_once_with_the_version():
    world = World()
    assert await world.want({"desiredReplicas": 3}) == [{"desiredReplicas": 3}]
    assert world.rest.written("PATCH")[0]["metadata"] == {"resourceVersion": "7"}


async def test_a_status_that_is_overtaken_is_never_written():
    world = World()
    assert await world.want({"desiredReplicas": 3}, {"desiredReplicas": 4}) == [{"desiredReplicas": 4}]


async def test_numbers_wait_a_minute_and_the_clock_five():
    world = World()
    base = {"desiredReplicas": 3}
    await world.want(base)
    world.now_seconds += 59.0
    assert await world.want({**base, "currentCost": 20.0}) == []
    world.now_seconds += 1.0
    assert await world.want({**base, "currentCost": 20.0}) == [{"currentCost": 20.0}]
    world.now_seconds += 299.0
    assert await world.want({**base, "currentCost": 20.0, "lastDecision": {"id": "d9"}}) == []
    world.now_seconds += 1.0
    assert len(await world.want({**base, "currentCost": 20.0, "lastDecision": {"id": "d9"}})) == 1


async def test_a_wish_that_has_come_true_by_itself_is_dropped():
    world = World()
    world.writer.want(REF, {"desiredReplicas": 3})
    world.rest.objects[PATH]["status"] = {"desiredReplicas": 3}
    assert await world.want({"desiredReplicas": 3}) == []


async def test_an_object_that_is_gone_is_left_alone():
    world = World()
    del world.rest.objects[PATH]
    assert await world.want({"desiredReplicas": 3}) == []


async def test_a_conflict_is_tried_again_with_what_the_watch_brings():
    world = World()
    refusals = iter([RequestError(409, "Conflict", "changed"), None])
    world.rest.refuse = lambda verb, path: next(refusals)
    assert await world.want({"desiredReplicas": 3}) == [{"desiredReplicas": 3}] * 2


async def test_what_a_former_leader_had_in_mind_is_void():
    world = World()
    world.leads = False
    assert await world.want({"desiredReplicas": 3}) == []
    world.leads = True
    assert await world.want({"desiredReplicas": 4}) == [{"desiredReplicas": 4}]


async def test_one_refusal_does_not_stop_the_writer():
    world = World()
    refusals = iter([RequestError(500, "Broken", "no"), None])
    world.rest.refuse = lambda verb, path: next(refusals)
    await world.want({"desiredReplicas": 3})
    assert await world.want({"desiredReplicas": 4}) == [{"desiredReplicas": 4}]


async def test_numbers_that_are_not_due_are_written_when_there_is_no_later():
    world = World()
    await world.want({"desiredReplicas": 3, "savings": {"usd": 1.0}})
    assert await world.want({"desiredReplicas": 3, "savings": {"usd": 2.0}}) == []
    world.writer.hurry()
    assert await world.want() == [{"savings": {"usd": 2.0}}]


async def test_a_write_that_is_refused_says_so():
    world = World()
    world.rest.refuse = lambda verb, path: RequestError(403, "Forbidden", "no")
    with pytest.raises(RequestError):
        await world.writer.write(REF, {"originalReplicas": 2})


async def test_a_refused_part_is_left_out_and_told():
    world = World()
    told: list[str] = []
    world.writer = StatusWriter(
        world.rest, TokenBucket(), lambda ref: world.rest.objects.get(PATH), lambda ref, body: None,
        refused=lambda ref, why: told.append(f"{ref.name}: {why}"),
    )  # fmt: skip
    refusals = iter([RequestError(422, "Invalid", "savings.usd: must be a number", fields=("status.savings.usd",))])
    world.rest.refuse = lambda verb, path: next(refusals, None)
    first, second = await world.want({"desiredReplicas": 3, "savings": {"usd": 1.0}, "conditions": []})
    assert "savings" in first
    assert "savings" not in second
    assert (second["desiredReplicas"], second["conditions"][0]["type"]) == (3, "StatusWritten")
    assert told == ["llm: savings.usd: must be a number"]


async def test_a_count_is_shown_whatever_else_of_the_status_is_refused():
    world = World()
    refusals = iter([RequestError(422, "Invalid", "no", fields=("status.forecast.peak",))])
    world.rest.refuse = lambda verb, path: next(refusals, None)
    await world.writer.write(REF, {"originalReplicas": 2, "forecast": {"peak": 1.0}})
    assert world.rest.written("PATCH")[-1]["status"]["originalReplicas"] == 2
