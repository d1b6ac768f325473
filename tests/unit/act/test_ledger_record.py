from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import pytest

from kcloud_autoscale.act.ledger_chunks import (
    MOST_CHUNKS,
    WORKLOADS_PER_CHUNK,
    BrokenRecordError,
    chunk_count,
    decoded,
    encoded,
    joined,
    split,
)
from kcloud_autoscale.act.ledger_record import DeposedError, LedgerRecord
from kcloud_autoscale.act.rest import Json, RequestError
from kcloud_autoscale.domain.errors import ActionError
from kcloud_autoscale.domain.record import FleetRecord, WorkloadRecord
from kcloud_autoscale.domain.state import Ledger, ScopeSpend, Usage
from tests.fakes.rest import FakeRest

ROOT = "/api/v1/namespaces/kcloud-system/configmaps"
NOW = 1_800_000_000.0


def one(spent: float, updated: float = NOW) -> WorkloadRecord:
    return WorkloadRecord("ai", 2, Ledger(NOW - 60.0, updated, actual=Usage(usd=spent)))


def record_of(workloads: int) -> FleetRecord:
    spends = {"p1": ScopeSpend(NOW, 7.0)}
    return FleetRecord(NOW - 60.0, {f"u{number}": one(float(number)) for number in range(workloads)}, spends)


def ledger_of(rest: FakeRest, holder: str = "a") -> LedgerRecord:
    return LedgerRecord(rest, "kcloud-system", "op", holder)


async def test_what_one_process_has_written_the_next_goes_on_from():
    rest = FakeRest()
    first = ledger_of(rest)
    assert (await first.take_over(NOW)) == FleetRecord(NOW, is_new=True)
    await first.write(record_of(3))
    assert await ledger_of(rest, "b").take_over(NOW + 60.0) == record_of(3)


async def test_a_process_that_dies_before_its_first_tick_leaves_since_when_it_ran():
    rest = FakeRest()
    await ledger_of(rest).take_over(NOW)
    assert await ledger_of(rest, "b").take_over(NOW + 600.0) == FleetRecord(NOW, is_new=True)


async def test_a_deposed_leader_cannot_write_and_learns_it():
    rest = FakeRest()
    deposed, leader = ledger_of(rest), ledger_of(rest, "b")
    await deposed.take_over(NOW)
    await deposed.write(record_of(3))
    await leader.take_over(NOW)
    with pytest.raises(DeposedError, match="b has taken the record over"):
        await deposed.write(record_of(1))
    await leader.write(record_of(2))
    assert await ledger_of(rest, "c").take_over(NOW) == record_of(2)


async def test_a_write_whose_answer_was_lost_is_ours_all_the_same():
    rest = FakeRest()
    ledger = ledger_of(rest)
    await ledger.take_over(NOW)
    ledger._versions = dict.fromkeys(ledger._versions, "1")
    await ledger.write(record_of(2))
    assert await ledger_of(rest).take_over(NOW) == record_of(2)


class Overtaken(FakeRest):
    """The former leader writes once more right after the record was read."""

    def __init__(self) -> None:
        super().__init__()
        self.once: list[FleetRecord] = []

    async def put(self, path: str, body: Mapping[str, Any]) -> Json:
        if self.once:
            late = encoded(split(self.once.pop(), 1, 1, "a")[0])
            await super().put(path, {**self.objects[path], "binaryData": {"record": late}})
        return await super().put(path, body)


async def test_the_last_word_of_the_former_leader_counts():
    rest = Overtaken()
    await ledger_of(rest).take_over(NOW)
    rest.once.append(record_of(5))
    assert await ledger_of(rest, "b").take_over(NOW) == record_of(5)


async def test_a_record_that_cannot_be_read_stops_everything_and_names_it():
    rest = FakeRest()
    await ledger_of(rest).take_over(NOW)
    rest.objects[f"{ROOT}/op-ledger-0"]["binaryData"]["record"] = "bm9uc2Vuc2U="
    with pytest.raises(ActionError, match="op-ledger-0 cannot be read, and nothing is scaled without it"):
        await ledger_of(rest).take_over(NOW)


async def test_a_refused_write_says_so_and_the_last_record_stands():
    rest = FakeRest()
    ledger = ledger_of(rest)
    await ledger.take_over(NOW)
    await ledger.write(record_of(2))
    rest.refuse = lambda verb, path: RequestError(403, "Forbidden", "no") if verb == "PUT" else None
    with pytest.raises(RequestError):
        await ledger.write(record_of(3))
    assert ledger.written == record_of(2)


async def test_a_workload_that_moves_to_a_new_chunk_is_never_in_none():
    rest = FakeRest()
    ledger = ledger_of(rest)
    await ledger.take_over(NOW)
    await ledger.write(record_of(WORKLOADS_PER_CHUNK))
    assert len([path for path in rest.objects if "ledger" in path]) == 1
    # Killed after the new chunk, before the old one: both halves are there, the moved ones twice.
    rest.refuse = lambda verb, path: RequestError(None, "NoAnswer", "killed") if verb == "PUT" else None
    grown = record_of(WORKLOADS_PER_CHUNK + 1)
    with pytest.raises(RequestError):
        await ledger.write(grown)
    rest.refuse = lambda verb, path: None
    found = await ledger_of(rest, "b").take_over(NOW)
    assert set(found.workloads) >= set(record_of(WORKLOADS_PER_CHUNK).workloads)


async def test_a_chunk_that_was_deleted_by_hand_is_written_anew():
    rest = FakeRest()
    ledger = ledger_of(rest)
    await ledger.take_over(NOW)
    await ledger.write(record_of(2 * WORKLOADS_PER_CHUNK))
    del rest.objects[f"{ROOT}/op-ledger-0"]
    successor = ledger_of(rest, "b")
    await successor.take_over(NOW)
    await successor.write(record_of(10))
    assert await ledger_of(rest, "c").take_over(NOW) == record_of(10)


def test_the_later_of_two_entries_counts():
    chunks = [split(FleetRecord(NOW, {"u": one(usd, at)}), 1, 1, "a")[0] for usd, at in ((5.0, NOW), (9.0, NOW - 60))]
    assert joined(chunks).workloads["u"].ledger == one(5.0).ledger


def test_chunks_are_few_and_never_fewer_than_there_are():
    assert [chunk_count(count, 1) for count in (0, 1_000, 1_001, 10_000)] == [1, 1, 2, 10]
    assert chunk_count(10, 7) == 7
    assert chunk_count(1_000_000, 1) == MOST_CHUNKS


def altered(**changes: Any) -> str:
    text = json.dumps({**json.loads(zlib.decompress(base64.b64decode(good()))), **changes})
    return base64.b64encode(zlib.compress(text.encode())).decode()


def good() -> str:
    return encoded(split(record_of(2), 1, 3, "a")[0])


@pytest.mark.parametrize(
    "data",
    [
        "",
        "%%%",
        good()[:40],
        base64.b64encode(b"{}").decode(),
        base64.b64encode(zlib.compress(b"{}")).decode(),
        base64.b64encode(zlib.compress(b"[1]")).decode(),
        base64.b64encode(zlib.compress(b"\xff")).decode(),
        base64.b64encode(zlib.compress(b" " * 70 * 2**20)).decode(),  # a bomb
        altered(version=2),
        altered(epoch="many"),
        altered(workloads={"u": {"ledger": {}}}),
        altered(workloads=[1]),
    ],
)
def test_what_was_not_written_here_is_broken_and_nothing_worse(data: str):
    with pytest.raises(BrokenRecordError):
        decoded(data)


def test_ten_thousand_workloads_stay_far_below_the_limit_of_an_object():
    count = chunk_count(10_000, 1)
    sizes = [len(encoded(chunk)) for chunk in split(record_of(10_000), count, 1, "a")]
    assert max(sizes) < 500_000
