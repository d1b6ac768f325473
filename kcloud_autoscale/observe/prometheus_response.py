"""What Prometheus answered, straight from JSON bytes into numpy; anything unsound is an error that says what.

A fleet's two weeks are millions of samples. Building a Python list per sample costs ten times the memory of the
arrays, so the samples are cut out of the text first and only the labels go through the JSON parser.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.series import FloatArray

_VALUES = b'"values":[['
# A quote inside a JSON string is escaped, so this key cannot occur within a label value.

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


def points(body: bytes) -> list[Point]:
    """Series of an instant query; a scalar is one series without labels.

    Raises:
        PrometheusError: Not the JSON of a successful query.
    """
    kind, result = _result(_parsed(body))
    if kind == "scalar":
        return [_point({"metric": {}, "value": result})]
    if kind != "vector":
        raise PrometheusError(f"the query gives a {kind}; a vector or scalar is needed")
    return [_point(item) for item in _items(result)]


def rows(body: bytes) -> list[Row]:
    """Series of a range query.

    Raises:
        PrometheusError: Not the JSON of a successful query, or samples that are not in order of time.
    """
    skeleton, texts = _cut_samples(body)
    kind, result = _result(_parsed(skeleton))
    if kind != "matrix":
        raise PrometheusError(f"the range query gives a {kind}; a matrix is needed")
    return [_row(item, texts) for item in _items(result)]


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


def _result(answer: Any) -> tuple[str, Any]:
    if not isinstance(answer, dict):
        raise PrometheusError("the answer is JSON, but no object")
    if answer.get("status") != "success":
        words = f"{answer.get('errorType', 'no errorType')}: {answer.get('error', 'no error text')}"
        raise PrometheusError(f"status {answer.get('status')!r}: {words}", about_query=True)
    # Remarks of the query engine on odd data come with whole answers; a storage that failed leaves part of it out.
    partial = [str(each) for each in answer.get("warnings") or () if not str(each).startswith("PromQL ")]
    if partial:
        raise PrometheusError(f"partial answer: {shown('; '.join(partial))}", transient=True)
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
