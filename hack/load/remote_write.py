"""Prometheus remote write 1.0 in its smallest form: protobuf by hand, snappy without compressing.

The message is four nested fields (prompb/remote.proto, types.proto); with millisecond timestamps every sample of our
age is exactly 18 bytes, so numpy lays out a series at once. Snappy's block format allows a body of literals only
(google/snappy format_description.txt), which any decoder takes.
"""

import struct
from collections.abc import Iterable, Iterator

import aiohttp
import numpy as np

from hack.load.past import Track

# One sample: 12 10 | 09 <8 bytes, little-endian double> | 10 <6 bytes of varint>.
_SAMPLE = np.dtype([("head", "u1", 3), ("value", "<f8"), ("tag", "u1"), ("time", "u1", 6)])
# Seven bits a byte: six bytes hold 2^35 to 2^42 ms, the years 1971 to 2109.
_VARINT_SIX = (2**35, 2**42)
_SAMPLES_PER_REQUEST = 100_000
_REQUEST_TIMEOUT_SECONDS = 30.0


class RemoteWriteError(Exception):
    """Prometheus refused samples; the message is its own."""


async def remote_write(url: str, tracks: Iterable[Track]) -> int:
    """Send all samples to `url` (…/api/v1/write); returns how many.

    Raises:
        RemoteWriteError: the receiver is not enabled, or samples lie outside its out-of-order window.
    """
    sent = 0
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        for count, message in _requests(tracks):
            async with session.post(url, data=snappy_literal(message)) as answer:
                if answer.status // 100 != 2:
                    raise RemoteWriteError(f"{url} answered {answer.status}: {(await answer.text()).strip()}")
            sent += count
    return sent


def encode_series(track: Track) -> bytes:
    """One TimeSeries: its labels in order of name, then its samples in order of time."""
    labels = sorted([("__name__", track.series.metric), *track.series.labels])
    encoded = b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in labels)
    return encoded + encode_samples(track.times_seconds, track.values)


def encode_samples(times_seconds: np.ndarray, values: np.ndarray) -> bytes:
    """All samples of a series as repeated field 2."""
    milliseconds = np.round(np.asarray(times_seconds) * 1000).astype(np.int64)
    if len(milliseconds) and not (milliseconds.min() >= _VARINT_SIX[0] and milliseconds.max() < _VARINT_SIX[1]):
        raise ValueError("timestamps must lie between 1971 and 2109")
    rows = np.empty(len(milliseconds), dtype=_SAMPLE)
    rows["head"] = (0x12, 0x10, 0x09)
    rows["value"] = values
    rows["tag"] = 0x10
    groups = (milliseconds[:, None] >> np.arange(0, 42, 7)) & 0x7F
    groups[:, :5] |= 0x80  # more follows
    rows["time"] = groups
    return rows.tobytes()


def snappy_literal(body: bytes) -> bytes:
    """The body in snappy's block format: its length, then one literal that is all of it."""
    return _varint(len(body)) + bytes([63 << 2]) + struct.pack("<I", len(body) - 1) + body


def _requests(tracks: Iterable[Track]) -> Iterator[tuple[int, bytes]]:
    """WriteRequests of a digestible size, each with its number of samples."""
    count, parts = 0, list[bytes]()
    for track in tracks:
        if len(track.values) == 0:
            continue
        parts.append(_field(1, encode_series(track)))
        count += len(track.values)
        if count >= _SAMPLES_PER_REQUEST:
            yield count, b"".join(parts)
            count, parts = 0, []
    if parts:
        yield count, b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
