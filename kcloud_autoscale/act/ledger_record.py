"""The record in the operator's own namespace: read when the lead is taken, written in each cycle before it acts.

Whoever takes it over counts its epoch up in every chunk. From then on the resourceVersions of a former leader are old:
its writes are refused, and the epoch it then reads tells it that it was deposed. A Lease alone cannot do that: its
holder learns late that it has lost it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from kcloud_autoscale.act.ledger_chunks import (
    MOST_CHUNKS,
    BrokenRecordError,
    Chunk,
    chunk_count,
    decoded,
    encoded,
    joined,
    split,
)
from kcloud_autoscale.act.rest import Json, RequestError, Rest
from kcloud_autoscale.domain.errors import ActionError
from kcloud_autoscale.domain.record import FleetRecord

logger = logging.getLogger(__name__)

KEY = "record"
TRIES = 3


class DeposedError(ActionError):
    """Another process has taken the record over: this one must not act."""


class LedgerRecord:
    """Chunks of one operator's record.

    Args:
        rest: Requests.
        namespace: The operator's own.
        name: Of the Lease; the chunks are called after it.
        holder: This process, for people to read.

    Attributes:
        written: The record as it was last read or written.
    """

    def __init__(self, rest: Rest, namespace: str, name: str, holder: str) -> None:
        self._rest = rest
        self._root = f"/api/v1/namespaces/{namespace}/configmaps"
        self._name = name
        self._holder = holder
        self._epoch = 0
        self._versions: dict[int, str] = {}
        self.written = FleetRecord(0.0, is_new=True)

    async def take_over(self, now_seconds: float) -> FleetRecord:
        """Read the record and make it ours; one that is not there is begun.

        Raises:
            RequestError: It cannot be read or written.
            ActionError: It is there and cannot be understood: nothing may be decided on what it holds.
        """
        for _ in range(TRIES):
            chunks = await self._read()
            self._epoch = max((chunk.epoch for chunk in chunks), default=0) + 1
            record = joined(chunks) if chunks else FleetRecord(now_seconds, is_new=True)
            try:
                await self._put(record)
            except RequestError as error:
                if error.status != 409:
                    raise
                continue  # the former leader wrote once more: its last word counts
            self.written = record
            return record
        raise DeposedError("the record is written by another process as fast as this one reads it")

    async def write(self, record: FleetRecord) -> None:
        """Put the record in place of the last one.

        Raises:
            DeposedError: It is another's by now.
            RequestError: It was not written, or not all of it.
        """
        try:
            await self._put(record)
        except RequestError as error:
            if error.status != 409:
                raise
            await self._recheck()
            await self._put(record)
        self.written = record

    async def _put(self, record: FleetRecord) -> None:
        count = chunk_count(len(record.workloads), 1 + max(self._versions, default=0))
        chunks = split(record, count, self._epoch, self._holder)
        bodies = await asyncio.to_thread(lambda: [encoded(chunk) for chunk in chunks])
        # New chunks first: a workload that moves to one is then never in none.
        new = [number for number in range(count) if number not in self._versions]
        for numbers in (new, [number for number in range(count) if number not in new]):
            puts = (self._put_chunk(number, bodies[number]) for number in numbers)
            for outcome in await asyncio.gather(*puts, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome

    async def _put_chunk(self, number: int, data: str) -> None:
        version = self._versions.get(number)
        body = self._body(number, data, version)
        sent = self._rest.post(self._root, body) if version is None else self._rest.put(self._path(number), body)
        self._versions[number] = (await sent)["metadata"]["resourceVersion"]

    async def _recheck(self) -> None:
        """After a conflict: whose record is it? A write of ours whose answer was lost is one, too."""
        chunks = await self._read()
        newest = max((chunk.epoch for chunk in chunks), default=0)
        if newest > self._epoch:
            holder = next(chunk.holder for chunk in chunks if chunk.epoch == newest)
            raise DeposedError(f"{holder} has taken the record over")

    async def _read(self) -> list[Chunk]:
        """Those that are there; one that was deleted by hand is written anew."""
        found = await asyncio.gather(*(self._get(number) for number in range(MOST_CHUNKS)))
        present = {number: body for number, body in enumerate(found) if body is not None}
        chunks = [self._decoded(number, body) for number, body in present.items()]
        self._versions = {number: body["metadata"]["resourceVersion"] for number, body in present.items()}
        return chunks

    def _decoded(self, number: int, body: Json) -> Chunk:
        try:
            return decoded(body.get("binaryData", {}).get(KEY, ""))
        except BrokenRecordError as error:
            raise ActionError(
                f"ConfigMap {self._name_of(number)} cannot be read, and nothing is scaled without it: {error}. "
                "Restore it, or delete it to begin anew with what the statuses show"
            ) from error

    async def _get(self, number: int) -> Json | None:
        try:
            return await self._rest.get(self._path(number))
        except RequestError as error:
            if error.status != 404:
                raise
            return None

    def _name_of(self, number: int) -> str:
        return f"{self._name}-ledger-{number}"

    def _path(self, number: int) -> str:
        return f"{self._root}/{self._name_of(number)}"

    def _body(self, number: int, data: str, version: str | None) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": self._name_of(number),
            "labels": {"app.kubernetes.io/managed-by": self._name, "app.kubernetes.io/component": "ledger"},
        }
        if version is not None:
            metadata["resourceVersion"] = version
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": {KEY: data}}
