"""The record as ConfigMaps: compressed JSON in as many chunks as keep each of them well below etcd's 1.5 MiB.

A workload's chunk follows from its uid. When there are more chunks than before, a workload may stand in two of them
until both have been written: the one that was accounted for later counts.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kcloud_autoscale.domain.plain import NotPlainError, from_plain, to_plain
from kcloud_autoscale.domain.record import FleetRecord, WorkloadRecord
from kcloud_autoscale.domain.state import ScopeSpend

# 1,000 workloads are 0.45 MB at most; 16 chunks of them are as many as the chart's role names.
WORKLOADS_PER_CHUNK = 1000
MOST_CHUNKS = 16
# Decompressed; a chunk that claims more was not written here.
MAX_BYTES = 64 * 2**20
VERSION = 1


class BrokenRecordError(ValueError):
    """A chunk that is there and cannot be read."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One part of the record.

    Attributes:
        epoch: Counts the processes that took the record over; a smaller one has been deposed.
        holder: Who wrote it.
        since_seconds: Of the record.
        workloads: By uid.
        spends: By uid; all in the first chunk.
        is_new: Of the record.
    """

    epoch: int
    holder: str
    since_seconds: float
    workloads: Mapping[str, WorkloadRecord] = field(default_factory=dict)
    spends: Mapping[str, ScopeSpend] = field(default_factory=dict)
    is_new: bool = False


def chunk_count(workloads: int, present: int) -> int:
    """How many chunks to write; never fewer than there are, so that none is left with old numbers."""
    return max(present, 1, min(MOST_CHUNKS, -(-workloads // WORKLOADS_PER_CHUNK)))


def split(record: FleetRecord, count: int, epoch: int, holder: str) -> list[Chunk]:
    """The record in ``count`` chunks."""
    parts: list[dict[str, WorkloadRecord]] = [{} for _ in range(count)]
    for uid, one in record.workloads.items():
        parts[zlib.crc32(uid.encode()) % count][uid] = one
    return [
        Chunk(epoch, holder, record.since_seconds, part, {} if number else record.spends, record.is_new)
        for number, part in enumerate(parts)
    ]


def joined(chunks: Iterable[Chunk]) -> FleetRecord:
    """The record of all its chunks, of which there is at least one."""
    parts = list(chunks)
    workloads: dict[str, WorkloadRecord] = {}
    for part in parts:
        for uid, one in part.workloads.items():
            if uid not in workloads or _updated(one) > _updated(workloads[uid]):
                workloads[uid] = one
    spends = {uid: spend for part in parts for uid, spend in part.spends.items()}
    is_new = all(part.is_new for part in parts)
    return FleetRecord(min(part.since_seconds for part in parts), workloads, spends, is_new)


def encoded(chunk: Chunk) -> str:
    """Base64 of the compressed chunk: what ``binaryData`` holds."""
    plain = {
        "version": VERSION,
        "epoch": chunk.epoch,
        "holder": chunk.holder,
        "since_seconds": to_plain(chunk.since_seconds),
        "is_new": chunk.is_new,
        "workloads": {uid: to_plain(one) for uid, one in chunk.workloads.items()},
        "spends": {uid: to_plain(one) for uid, one in chunk.spends.items()},
    }
    text = json.dumps(plain, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def decoded(data: str) -> Chunk:
    """The chunk that was encoded.

    Raises:
        BrokenRecordError: It is none, or one of a later version.
    """
    try:
        plain = json.loads(_decompressed(base64.b64decode(data, validate=True)))
        if plain["version"] != VERSION:
            raise BrokenRecordError(f"it is of version {plain['version']}; this process reads {VERSION}")
        return Chunk(
            from_plain(int, plain["epoch"]),
            from_plain(str, plain["holder"]),
            from_plain(float, plain["since_seconds"]),
            _read(WorkloadRecord, plain["workloads"]),
            _read(ScopeSpend, plain["spends"]),
            from_plain(bool, plain["is_new"]),
        )
    except (binascii.Error, zlib.error, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise BrokenRecordError(f"{type(error).__name__}: {error}") from error
    except NotPlainError as error:
        raise BrokenRecordError(str(error)) from error
    except json.JSONDecodeError as error:
        raise BrokenRecordError(f"no JSON: {error}") from error


def _read(kind: Any, plain: Mapping[str, Any]) -> dict[str, Any]:
    return {str(uid): from_plain(kind, each) for uid, each in plain.items()}


def _decompressed(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    text = stream.decompress(data, MAX_BYTES)
    if not stream.eof:
        raise BrokenRecordError(f"it is cut off, or longer than {MAX_BYTES // 2**20} MiB")
    return text


def _updated(one: WorkloadRecord) -> float:
    return 0.0 if one.ledger is None else one.ledger.updated_seconds
