from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.plain import NotPlainError, from_plain, to_plain
from kcloud_autoscale.domain.record import WorkloadRecord
from kcloud_autoscale.domain.state import Ledger, Mark, Misses, Usage

amounts = st.floats(0.0, 1e15).map(lambda value: float(f"{value:.12g}"))
usages = st.builds(Usage, *[amounts] * 7)
marks = st.lists(st.builds(Mark, amounts, amounts, amounts), max_size=4).map(tuple)
ledgers = st.builds(Ledger, amounts, amounts, usages, usages, usages, usages, *[amounts] * 5, marks)
counts = st.one_of(st.none(), st.integers(0, 1_000))
records = st.builds(WorkloadRecord, st.text(max_size=5), counts, st.one_of(st.none(), ledgers), st.none(), counts)


@given(records)
def test_a_record_is_the_same_after_a_restart(record: WorkloadRecord):
    assert from_plain(WorkloadRecord, json.loads(json.dumps(to_plain(record)))) == record


def test_arrays_go_along():
    misses = Misses(10.0, 2.0, 3.0, np.array([1.0, 0.5]))
    back = from_plain(Misses, json.loads(json.dumps(to_plain(misses))))
    assert (back.steps, back.by_price.tolist()) == (10.0, [1.0, 0.5])


def test_a_count_of_0_is_not_an_unknown_one():
    assert from_plain(WorkloadRecord, to_plain(WorkloadRecord("ai", 0))).original_replicas == 0


@frozen
class Older:
    since_seconds: float
    gone: float = 3.0


@frozen
class Newer:
    since_seconds: float
    added: float = 7.0
    nested: tuple[tuple[float, float], ...] = ()


def test_fields_come_and_go_with_versions():
    assert from_plain(Newer, to_plain(Older(5.0, 4.0))) == Newer(5.0)


@pytest.mark.parametrize(
    "plain",
    [
        [],
        {},
        {"since_seconds": None},
        {"since_seconds": "soon"},
        {"since_seconds": True},
        {"since_seconds": float("nan")},
        {"since_seconds": float("inf")},
        {"since_seconds": 1.0, "nested": [[1.0]]},
        {"since_seconds": 1.0, "nested": 3},
    ],
)
def test_what_cannot_have_been_written_is_not_guessed_at(plain: Any):
    with pytest.raises(NotPlainError):
        from_plain(Newer, plain)
