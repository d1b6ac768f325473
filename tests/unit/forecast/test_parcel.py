"""Lessons and rows survive the way to another process and back, and what is not one is refused."""

from __future__ import annotations

import io
from dataclasses import fields

import numpy as np
import pytest

from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.parcel import (
    RefusalError,
    receive_lesson,
    receive_rows,
    send_lesson,
    send_refusal,
    send_rows,
)
from kcloud_autoscale.forecast.rows import Learned
from kcloud_autoscale.forecast.teach import Lesson, teach
from tests.builders.demand_series import daily_wave, history

STEP = 600.0


def lesson() -> Lesson:
    values = daily_wave(5, STEP)
    values[3] = np.nan
    return Lesson(("ai/one", "ai/zwei"), (history(values, STEP, 7), history(values[90:], STEP, 97)), 6, False)


def sent_rows() -> bytes:
    stream, layouts = io.BytesIO(), Layouts(STEP)
    send_rows(stream, layouts, lesson(), teach(layouts, lesson()))
    return stream.getvalue()


def test_a_lesson_arrives_as_it_was_sent() -> None:
    stream = io.BytesIO()
    send_lesson(stream, lesson())
    stream.seek(0)
    arrived = receive_lesson(stream)
    assert arrived is not None
    assert (arrived.names, arrived.horizon, arrived.short) == (lesson().names, 6, False)
    for one, other in zip(arrived.histories, lesson().histories, strict=True):
        assert (one.start_seconds, one.step_seconds) == (other.start_seconds, other.step_seconds)
        assert np.array_equal(one.values, other.values, equal_nan=True)
    assert receive_lesson(stream) is None


def test_rows_arrive_as_they_were_learned() -> None:
    layouts = Layouts(STEP)
    learned = teach(layouts, lesson())
    arrived = receive_rows(io.BytesIO(sent_rows()), layouts, lesson())
    for each in fields(Learned):
        assert np.array_equal(
            getattr(arrived.learned, each.name), getattr(learned.learned, each.name), equal_nan=True
        ), each.name
    clock = learned.learned.clock
    day = np.array([0, 1]), clock - 143, 144
    assert np.array_equal(arrived.ring.read(*day), learned.ring.read(*day), equal_nan=True)
    last = np.array([0, 1]), clock - 5, 6
    for one, other in zip(arrived.pending.read(*last), learned.pending.read(*last), strict=True):
        assert np.array_equal(one, other)


def test_a_sentence_instead_of_rows_is_told() -> None:
    stream = io.BytesIO()
    send_refusal(stream, "MemoryError: Unable to allocate 9 GiB")
    stream.seek(0)
    with pytest.raises(RefusalError, match="Unable to allocate 9 GiB"):
        receive_rows(stream, Layouts(STEP), lesson())


@pytest.mark.parametrize("kept", [0, 3, 5_000])
def test_a_stream_that_ends_too_early_is_an_error(kept: int) -> None:
    with pytest.raises(ValueError, match="ended"):
        receive_rows(io.BytesIO(sent_rows()[:kept]), Layouts(STEP), lesson())


def test_what_is_no_answer_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        receive_rows(io.BytesIO(b"\x80\x04\x95pickle\n"), Layouts(STEP), lesson())
