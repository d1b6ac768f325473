"""List and watch against a scripted server: pages, expired versions, garbage, silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from kcloud_autoscale.observe import informer as module
from kcloud_autoscale.observe.informer import Informer
from kcloud_autoscale.observe.reader import Json, Reader, ReadError


def thing(name: str, version: int, **more: Any) -> Json:
    return {"metadata": {"namespace": "ai", "name": name, "resourceVersion": str(version)}, **more}


def page(version: int, *items: Json, more: str = "") -> Json:
    return {"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(items)}


def event(kind: str, each: Json) -> Json:
    return {"type": kind, "object": each}


class ScriptedReader(Reader):
    """Gives lists and watches in order; after the last the watch stays open."""

    def __init__(self, lists: Sequence[Json | ReadError], watches: Sequence[Sequence[Json | ReadError]]) -> None:
        self.lists = list(lists)
        self.watches = list(watches)
        self.asked: list[tuple[str, str]] = []
        self.all_said = asyncio.Event()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        self.asked.append(("list", (query or {}).get("continue", "")))
        found = self.lists.pop(0)
        if isinstance(found, ReadError):
            raise found
        return found

    async def watch(self, path: str, resource_version: str) -> AsyncIterator[Json]:
        self.asked.append(("watch", resource_version))
        if not self.watches:
            self.all_said.set()
            await asyncio.Event().wait()
        for each in self.watches.pop(0):
            if isinstance(each, ReadError):
                raise each
            yield each


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.002)


async def followed(reader: ScriptedReader, optional: bool = False) -> Informer[str]:
    """Run until everything scripted has been said."""
    informer: Informer[str] = Informer(reader, "/api/v1/things", lambda item: item["spec"], optional)
    task = asyncio.create_task(informer.run())
    await asyncio.wait_for(reader.all_said.wait(), 5.0)
    task.cancel()
    return informer


async def test_pages_are_put_together_and_events_followed_from_their_version() -> None:
    reader = ScriptedReader(
        [page(5, thing("a", 1, spec="1"), more="next"), page(5, thing("b", 2, spec="1"))],
        [
            [
                {"type": "OPENED"},
                event("ADDED", thing("c", 6, spec="1")),
                event("MODIFIED", thing("a", 7, spec="2")),
                event("DELETED", thing("b", 8, spec="1")),
                event("BOOKMARK", {"metadata": {"resourceVersion": "90"}}),
            ],
            [],
        ],
    )
    informer = await followed(reader)

    assert informer.objects == {("ai", "a"): "2", ("ai", "c"): "1"}
    assert reader.asked[:4] == [("list", ""), ("list", "next"), ("watch", "5"), ("watch", "90")]


@pytest.mark.parametrize(
    "expired",
    [
        [ReadError(410, "Gone")],
        [event("ERROR", {"code": 410, "message": "too old resource version", "reason": "Expired"})],
    ],
)
async def test_an_expired_version_leads_to_a_new_list_that_forgets_what_is_gone(expired: list[Any]) -> None:
    reader = ScriptedReader(
        [page(5, thing("a", 1, spec="1"), thing("ghost", 2, spec="1")), page(50, thing("a", 40, spec="2"))], [expired]
    )
    informer = await followed(reader)

    assert informer.objects == {("ai", "a"): "2"}
    assert [kind for kind, _ in reader.asked] == ["list", "watch", "list", "watch"]
    assert informer.problem == ""


async def test_a_broken_stream_is_resumed_where_it_ended() -> None:
    reader = ScriptedReader(
        [page(5, thing("a", 1, spec="1"))],
        [[event("MODIFIED", thing("a", 9, spec="2")), ReadError(None, "connection reset")], [{"type": "OPENED"}]],
    )
    informer = await followed(reader)

    assert reader.asked[:3] == [("list", ""), ("watch", "5"), ("watch", "9")]
    assert informer.problem == ""
    assert informer.objects == {("ai", "a"): "2"}


async def test_while_the_server_is_away_the_last_state_stays() -> None:
    away = ReadError(None, "refused")
    reader = ScriptedReader([page(5, thing("a", 1, spec="1"))], [[away]] * 3)
    informer = await followed(reader)

    assert informer.objects == {("ai", "a"): "1"}
    assert informer.problem == "refused"


async def test_garbage_from_something_in_between_ends_in_a_new_list() -> None:
    garbage: list[Any] = [{"type": "MODIFIED", "object": "not an object"}]
    reader = ScriptedReader([page(5), {"kind": "Welcome"}, page(6, thing("a", 6, spec="1"))], [garbage])
    informer = await followed(reader)

    assert informer.objects == {("ai", "a"): "1"}


async def test_an_object_that_cannot_be_read_is_left_out_alone() -> None:
    reader = ScriptedReader([page(5, thing("odd", 1), thing("a", 2, spec="1"))], [])
    assert (await followed(reader)).objects == {("ai", "a"): "1"}


async def test_a_kind_that_is_not_installed_is_no_problem_if_it_need_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ABSENT_PAUSE_SECONDS", 0.001)
    reader = ScriptedReader([ReadError(404, "not found"), page(5, thing("a", 1, spec="1"))], [])
    informer = await followed(reader, optional=True)

    assert informer.objects == {("ai", "a"): "1"}
    assert informer.problem == ""
    assert informer.listed.is_set()


async def test_a_list_right_after_the_kind_was_made_may_lack_items() -> None:
    reader = ScriptedReader([{"metadata": {"resourceVersion": "5"}}], [])
    assert (await followed(reader)).objects == {}
