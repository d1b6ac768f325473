import asyncio
from collections.abc import Callable

import pytest

from kcloud_autoscale.act import events
from kcloud_autoscale.act.events import QUEUE_LENGTH, Event, EventBudget, EventWriter, ObjectRef
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import RequestError
from tests.fakes.rest import FakeRest

LLM = ObjectRef("kcloud.io/v1alpha1", "WorkloadOptimizer", "ai", "llm", "uid-1")


async def write(rest: FakeRest, posted: list[Event], clock: Callable[[], float] = lambda: 1000.0) -> EventWriter:
    writer = EventWriter(rest, TokenBucket(), "kcloud-autoscale", "pod-0", clock)
    task = asyncio.create_task(writer.run())
    for event in posted:
        writer.post(event)
    await writer.flush()
    task.cancel()
    return writer


async def test_an_event_names_its_object_reason_and_reporter():
    rest = FakeRest()
    await write(rest, [Event(LLM, "ScaledUp", "2 -> 5 (decision d1)", "Scale")])
    (body,) = rest.written("POST")
    assert body["regarding"]["uid"] == "uid-1"
    assert (body["reason"], body["type"], body["action"]) == ("ScaledUp", "Normal", "Scale")
    assert (body["reportingController"], body["reportingInstance"]) == ("kcloud-autoscale", "pod-0")
    assert body["eventTime"] == "1970-01-01T00:16:40.000000Z"


async def test_each_scaling_is_its_own_event():
    rest = FakeRest()
    await write(rest, [Event(LLM, "ScaledUp", "2 -> 5"), Event(LLM, "ScaledUp", "5 -> 6")])
    assert [body["note"] for body in rest.written("POST")] == ["2 -> 5", "5 -> 6"]


async def test_a_lasting_state_is_one_series_written_every_ten_minutes():
    rest = FakeRest()
    now = iter(range(0, 100_000, 60))  # one cycle a minute
    await write(rest, [Event(LLM, "Conflict", "HPA llm", lasting=True)] * 12, lambda: float(next(now)))
    assert len(rest.written("POST")) == 1
    # Written at 0 s; the first repeat at least 600 s later is the eleventh sighting.
    assert [body["series"]["count"] for body in rest.written("PATCH")] == [11]


async def test_an_expired_series_starts_anew():
    rest = FakeRest()
    times = iter([0.0, 700.0, 700.0])

    def expired(verb: str, path: str) -> RequestError | None:
        return RequestError(404, "NotFound", "gone") if verb == "PATCH" else None

    rest.refuse = expired
    await write(rest, [Event(LLM, "Conflict", "HPA llm", lasting=True)] * 2, lambda: next(times))
    assert len(rest.written("POST")) == 2


async def test_a_refused_event_does_not_stop_the_next():
    rest = FakeRest()
    refusals = iter([RequestError(403, "Forbidden", "no"), None])
    rest.refuse = lambda verb, path: next(refusals)
    await write(rest, [Event(LLM, "ScaledUp", "first"), Event(LLM, "ScaledUp", "second")])
    assert [body["note"] for _, _, body in rest.requests] == ["first", "second"]


async def test_a_flood_is_dropped_and_counted():
    writer = EventWriter(FakeRest(), TokenBucket(), "c", "i")
    for _ in range(QUEUE_LENGTH + 7):
        writer.post(Event(LLM, "ScaledUp", ""))
    assert writer.dropped == 7


async def test_a_long_note_is_cut_between_characters():
    rest = FakeRest()
    await write(rest, [Event(LLM, "CapReached", "é" * 2000)])
    note = rest.written("POST")[0]["note"]
    assert len(note.encode()) <= 1024
    assert note.endswith("é…")


def test_one_event_for_two_scalings_and_ten_a_minute_in_any_case():
    now = [0.0]
    budget = EventBudget(lambda: now[0])
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]
    budget.scaled(100)
    assert [budget.take() for _ in range(41)] == [True] * 40 + [False]
    now[0] = 60.0  # all of that is a minute ago
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]


async def test_what_is_wrong_comes_first_then_scalings_and_the_rest_is_dropped():
    rest = FakeRest()
    writer = EventWriter(rest, TokenBucket(), "c", "i", lambda: 1000.0)
    for number in range(6):
        writer.post(Event(LLM, "WorkloadOptimized", f"{number}"))
        writer.post(Event(LLM, "ScaledUp", f"{number}", "Scale"))
        writer.post(Event(LLM, "ScaleFailed", f"{number}", "Scale", warning=True))
    task = asyncio.create_task(writer.run())
    await writer.flush()
    task.cancel()
    reasons = [body["reason"] for body in rest.written("POST")]
    assert reasons == ["ScaleFailed"] * 6 + ["ScaledUp"] * 4
    assert writer.dropped == 8


async def test_what_is_wrong_waits_for_room(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(events, "WAIT_SECONDS", 0.0)
    rest, budget = FakeRest(), EventBudget(lambda: now[0])
    writer = EventWriter(rest, TokenBucket(), "c", "i", lambda: 1000.0, budget)
    while budget.take():
        pass
    task = asyncio.create_task(writer.run())
    writer.post(Event(LLM, "ScaleFailed", "no", warning=True))
    await asyncio.sleep(0.01)
    assert rest.written("POST") == []
    now[0] = 60.0
    await writer.flush()
    task.cancel()
    assert [body["reason"] for body in rest.written("POST")] == ["ScaleFailed"]
