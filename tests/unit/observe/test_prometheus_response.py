"""Samples straight from text to arrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcloud_autoscale.observe.prometheus_response import PrometheusError, TooLargeError, points, refusal, rows, shown

SAMPLES = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=8)


def spoken(value: float) -> str:
    """As Prometheus writes numbers."""
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.dictionaries(st.text(), st.text(), max_size=3), SAMPLES), max_size=4), st.booleans())
def test_every_sample_arrives(series: list[tuple[dict[str, str], list[float]]], spaced: bool) -> None:
    result = [
        {"metric": labels, "values": [[1e9 + 60 * i, spoken(value)] for i, value in enumerate(values)]}
        for labels, values in series
    ]
    body = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    separators = (", ", ": ") if spaced else (",", ":")

    found = rows(json.dumps(body, separators=separators).encode())

    assert [row.labels for row in found] == [labels for labels, _ in series]
    for row, (_, values) in zip(found, series, strict=True):
        np.testing.assert_array_equal(row.values, np.array(values, dtype=float))
        np.testing.assert_array_equal(row.times, 1e9 + 60.0 * np.arange(len(values)))


def test_a_label_that_looks_like_samples_is_a_label() -> None:
    label = '"values":[[1,"2"]]'
    body = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {"a": label}, "values": []}]}}
    (row,) = rows(json.dumps(body, separators=(",", ":")).encode())
    assert row.labels == {"a": label}


@pytest.mark.parametrize(
    "values", ['[[1,"a"]]', '[[1,"2"],[2]]', '[[1,"2"],[1,"3"]]', '[[2,"2"],[1,"3"]]', '[[1,"2"],[']
)
def test_samples_that_are_none_are_refused(values: str) -> None:
    body = '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":' + values + "}]}}"
    with pytest.raises(PrometheusError):
        rows(body.encode())


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.dictionaries(st.text(), st.text(), max_size=3), st.floats()), max_size=6),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", ":")]),
)
def test_every_series_of_an_instant_arrives(
    series: list[tuple[dict[str, str], float]], separators: tuple[str, str]
) -> None:
    result = [{"metric": labels, "value": [1e9, spoken(value)]} for labels, value in series]
    body = {"status": "success", "data": {"resultType": "vector", "result": result}, "warnings": ["PromQL info: odd"]}

    found = points(json.dumps(body, separators=separators).encode())

    assert [point.labels for point in found] == [labels for labels, _ in series]
    np.testing.assert_array_equal([point.value for point in found], [value for _, value in series])


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize(("read", "kind"), [(points, "vector"), (rows, "matrix")])
def test_more_series_than_may_come_are_refused(read: Any, kind: str, spaced: bool) -> None:
    sample = {"value": [1, "5"]} if kind == "vector" else {"values": [[1, "5"]]}
    result = [{"metric": {"a": str(index)}, **sample} for index in range(4)]
    body = {"status": "success", "data": {"resultType": kind, "result": result}}
    text = json.dumps(body, separators=(", ", ": ") if spaced else (",", ":")).encode()
    assert len(read(text, 4)) == 4
    with pytest.raises(TooLargeError, match="more than 3 series") as refused:
        read(text, 3)
    assert (refused.value.about_query, refused.value.transient) == (True, False)


def test_an_answer_that_prometheus_itself_has_cut_off_is_too_large() -> None:
    data = '"data":{"resultType":"vector","result":[]}'
    body = f'{{"status":"success",{data},"warnings":["results truncated due to limit"]}}'.encode()
    with pytest.raises(TooLargeError, match="more than 10 series"):
        points(body, 10)


@pytest.mark.parametrize("end", ["", ",", ',{"metric":{}', ',{"metric":{},"value":[1,"5"]}'])
def test_a_vector_that_breaks_off_is_refused(end: str) -> None:
    body = '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"5"]}' + end
    with pytest.raises(PrometheusError, match="no JSON"):
        points(body.encode())


def test_a_scalar_is_one_series() -> None:
    (point,) = points(b'{"status":"success","data":{"resultType":"scalar","result":[12.5,"3"]}}')
    assert (point.value, point.at_seconds, point.labels) == (3.0, 12.5, {})


@pytest.mark.parametrize(
    ("status", "transient", "about_query"),
    [(400, False, True), (401, False, False), (422, False, True), (429, True, False), (503, True, False)],
)
def test_what_may_pass_and_what_is_the_querys_own_fault(status: int, transient: bool, about_query: bool) -> None:
    error = refusal(status, b"<html>")
    assert (error.transient, error.about_query) == (transient, about_query)
    assert f"HTTP {status}" in str(error)


def test_long_queries_are_shown_short() -> None:
    assert len(shown("x" * 10_000)) == 160
