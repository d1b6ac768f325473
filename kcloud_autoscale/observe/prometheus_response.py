"""What Prometheus answered, straight from JSON bytes into numpy; anything unsound is an error that says what.

A fleet's two weeks are millions of samples. Building a Python list per sample costs ten times the memory of the
arrays, so the samples are cut out of the text first and only the labels go through the JSON parser.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.series import FloatArray

_VALUES = b'"values":[['
_VECTOR = b'"result":[{'
_COMMA = re.compile(r"\s*,\s*")
# A quote inside a JSON string is escaped, so this key cannot occur within a label value.

# Prometheus' own words where it has kept to `limit`.
_CUT_OFF = "truncated due to limit"

MAX_SHOWN = 160


class PrometheusError(ObservationError):
    """Prometheus could not be asked, or what came back cannot be used.

    Attributes:
        transient: The same query may work in a moment: no connection, overload.
        about_query: The server understood and objected to this query: it, or the data behind it, is at fault.
    """

    def __init__(self, message: str, transient: bool = False, about_query: bool = False) -> None:
        super().__init__(message)
        self.transient = transient
        self.about_query = about_query


class TooLargeError(PrometheusError):
    """The answer is larger than the query may give: what is asked for is at fault, not the server."""

    def __init__(self, message: str) -> None:
        super().__init__(message, about_query=True)


@dataclass(frozen=True, slots=True)
class ResponseBound:
    """How much an answer may hold. A series costs 4 KB of memory when it is read, whatever it takes on the wire.

    Attributes:
        series: At most; servers that know ``limit`` are asked for one more than that and send no others.
        body_bytes: At most, unpacked; what is longer is not read to its end.
    """

    series: int = 100_000
    body_bytes: int = 64 * 2**20


DEFAULT_BOUND = ResponseBound()
"""For what the operator itself asks about nodes and pods: 100,000 pods with 600 bytes of labels each."""


@dataclass(frozen=True, slots=True)
class Point:
    """One series of an instant vector. ``value`` may be NaN or infinite: the reader says what that means."""

    labels: Mapping[str, str]
    value: float
    at_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One series of a range: ``times`` and ``values``, shape ``(samples,)``, times strictly ascending."""

    labels: Mapping[str, str]
    times: FloatArray
    values: FloatArray


def points(body: bytes, most_series: int = DEFAULT_BOUND.series) -> list[Point]:
    """Series of an instant query; a scalar is one series without labels.

    Raises:
        TooLargeError: More than ``most_series``.
        PrometheusError: Not the JSON of a successful query.
    """
    skeleton, found = _cut_points(body, most_series)
    kind, result = _result(_parsed(skeleton), most_series)
    if kind == "scalar":
        return [_point({"metric": {}, "value": result})]
    if kind != "vector":
        raise PrometheusError(f"the query gives a {kind}; a vector or scalar is needed")
    items = _items(result)
    _check_count(len(items), most_series)
    return found or [_point(item) for item in items]


def rows(body: bytes, most_series: int = DEFAULT_BOUND.series) -> list[Row]:
    """Series of a range query.

    Raises:
        TooLargeError: More than ``most_series``.
        PrometheusError: Not the JSON of a successful query, or samples that are not in order of time.
    """
    skeleton, texts = _cut_samples(body)
    _check_count(len(texts), most_series)
    kind, result = _result(_parsed(skeleton), most_series)
    if kind != "matrix":
        raise PrometheusError(f"the range query gives a {kind}; a matrix is needed")
    items = _items(result)
    _check_count(len(items), most_series)
    return [_row(item, texts) for item in items]


def shown(query: str) -> str:
    """A query short enough for a message."""
    text = " ".join(query.split())
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def refusal(status: int, body: bytes) -> PrometheusError:
    """Why the server answered with an HTTP error, in its own words where it has any."""
    try:
        answer = json.loads(body)
        words = f"{answer['errorType']}: {answer['error']}"
    except (ValueError, TypeError, KeyError):
        words = shown(body[:400].decode(errors="replace")) or "no explanation"
    return PrometheusError(
        f"HTTP {status}: {words}", transient=status in (408, 429) or status >= 500, about_query=status in (400, 422)
    )


def _check_count(series: int, most_series: int) -> None:
    if series > most_series:
        raise TooLargeError(f"the answer has more than {most_series} series")


def _cut_points(body: bytes, most_series: int) -> tuple[bytes, list[Point]]:
    """The JSON without its list of series, and the series.

    Each goes through the parser by itself: one call for 64 MiB would keep every other thread, the one that renews the
    Lease among them, waiting for a second. What is not written as Prometheus writes it is left where it is.
    """
    start = body.find(_VECTOR)
    if start < 0:
        return body, []
    start += len(_VECTOR) - 1
    text, position = str(memoryview(body)[start:], "utf-8", "replace"), 0
    found: list[Point] = []
    decoder = json.JSONDecoder()
    try:
        while True:
            item, position = decoder.raw_decode(text, position)
            _check_count(len(found) + 1, most_series)
            found.append(_point(item))
            if not (comma := _COMMA.match(text, position)):
                break
            position = comma.end()
    except (json.JSONDecodeError, RecursionError) as error:
        raise PrometheusError(f"the answer is no JSON ({error})", transient=True) from error
    return body[:start] + text[position:].encode(errors="replace"), found


def _cut_samples(body: bytes) -> tuple[bytes, list[bytes]]:
    """The JSON with every list of samples replaced by its number, and the lists."""
    pieces: list[bytes] = []
    texts: list[bytes] = []
    position = 0
    while (start := body.find(_VALUES, position)) >= 0:
        end = body.find(b"]]", start)
        if end < 0:
            raise PrometheusError("truncated JSON: a list of samples has no end", transient=True)
        pieces += [body[position:start], b'"values":%d' % len(texts)]
        texts.append(body[start + len(_VALUES) : end])
        position = end + 2
    return b"".join([*pieces, body[position:]]), texts


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        head = shown(body[:200].decode(errors="replace"))
        what = "HTML" if body.lstrip()[:1] == b"<" else f"no JSON ({error})"
        raise PrometheusError(f"the answer is {what}: {head or 'it is empty'}") from error


def _result(answer: Any, most_series: int) -> tuple[str, Any]:
    if not isinstance(answer, dict):
        raise PrometheusError("the answer is JSON, but no object")
    if answer.get("status") != "success":
        words = f"{answer.get('errorType', 'no errorType')}: {answer.get('error', 'no error text')}"
        raise PrometheusError(f"status {answer.get('status')!r}: {words}", about_query=True)
    # Remarks of the query engine on odd data come with whole answers; a storage that failed leaves part of it out.
    partial = [str(each) for each in answer.get("warnings") or () if not str(each).startswith("PromQL ")]
    if any(_CUT_OFF in each for each in partial):
        raise TooLargeError(f"the answer has more than {most_series} series")
    if partial or answer.get("isPartial"):  # VictoriaMetrics says it so while a part of its storage is away
        why = shown("; ".join(partial)) or "isPartial is true"
        raise PrometheusError(f"partial answer: {why}", transient=True)
    data = answer.get("data")
    if not isinstance(data, dict) or "result" not in data:
        raise PrometheusError("the answer has no data.result")
    return str(data.get("resultType")), data["result"]


def _items(result: Any) -> list[dict[str, Any]]:
    if not isinstance(result, list) or not all(isinstance(item, dict) for item in result):
        raise PrometheusError("data.result is no list of series")
    return result


def _labels(item: dict[str, Any]) -> Mapping[str, str]:
    labels = item.get("metric")
    if not isinstance(labels, dict):
        raise PrometheusError("a series has no labels")
    return labels


def _point(item: dict[str, Any]) -> Point:
    try:
        at_seconds, value = item["value"]
        return Point(_labels(item), float(value), float(at_seconds))
    except (KeyError, TypeError, ValueError) as error:
        raise PrometheusError(f"a series without a readable value: {shown(json.dumps(item))}") from error


def _row(item: dict[str, Any], texts: list[bytes]) -> Row:
    values = item.get("values")
    # Lists remain where a proxy has spaced out the JSON.
    samples = _from_text(texts[values]) if isinstance(values, int) else _from_lists(values)
    times = samples[:, 0]
    if not np.all(np.diff(times) > 0.0):
        raise PrometheusError(f"samples of {shown(json.dumps(item.get('metric')))} are not in order of time")
    return Row(_labels(item), times, samples[:, 1])


def _from_text(text: bytes) -> FloatArray:
    """``1700000000,"1.5"],[1700000060,"NaN"`` as an array of shape ``(samples, 2)``."""
    plain = text.translate(None, b'[]"')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            flat = np.fromstring(plain, sep=",")
    except (ValueError, DeprecationWarning) as error:
        raise PrometheusError(f"samples that are no numbers: {shown(text[:200].decode(errors='replace'))}") from error
    if len(flat) % 2 or len(flat) != plain.count(b",") + 1:
        raise PrometheusError(f"samples that are no pairs: {shown(text[:200].decode(errors='replace'))}")
    return flat.reshape(-1, 2)


def _from_lists(values: Any) -> FloatArray:
    try:
        return np.array([(float(at), float(value)) for at, value in values], dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise PrometheusError("a series whose samples are no pairs of time and value") from error
