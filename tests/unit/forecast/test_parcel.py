"""Lessons and rows survive the way to another process and back, and what is not one is refused."""

from __future__ import annotations

import io
from dataclasses import fields, replace

import numpy as np
import pytest

from kcloud_autoscale.forecast.fitting import Fit, Wanted
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.parcel import (
    RefusalError,
    receive_fit,
    receive_lesson,
    receive_rows,
    receive_wanted,
    send_fit,
    send_lesson,
    send_refusal,
    send_rows,
    send_wanted,
)
from kcloud_autoscale.forecast.recurrence import fit_width
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
    assert (arrived.names, arrived.horizon, arrived.short) == (lesson().names, 6, False)
    for one, other in zip(arrived.histories, lesson().histories, strict=True):
        assert (one.start_seconds, one.step_seconds) == (other.start_seconds, other.step_seconds)
        assert np.array_equal(one.values, other.values, equal_nan=True)
    assert not stream.read()


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


def test_a_lesson_with_a_model_arrives_with_its_fits_and_so_do_its_rows() -> None:
    layouts, width = Layouts(STEP), fit_width(144)
    fits = tuple(((100 + row, np.full(width, 1.0 + row, dtype=np.float32)),) for row in range(2))
    asking = replace(lesson(), model="ETS", fits=fits)
    stream = io.BytesIO()
    send_lesson(stream, asking)
    stream.seek(0)
    arrived = receive_lesson(stream)
    assert arrived.model == "ETS"
    assert [[(cutoff, values.tolist()) for cutoff, values in each] for each in arrived.fits] == [
        [(cutoff, values.tolist()) for cutoff, values in each] for each in fits
    ]
    stream = io.BytesIO()
    send_rows(stream, layouts, arrived, teach(layouts, arrived))
    stream.seek(0)
    rows = receive_rows(stream, layouts, asking)
    assert rows.learned.next_cutoff.tolist() == [100, 101]
    assert rows.learned.fit[:, 0].tolist() == [1.0, 2.0]


def test_what_is_to_be_fitted_arrives_and_so_does_what_came_of_it() -> None:
    wanted, stream = Wanted("ai/one", "ETS", 7, 600), io.BytesIO()
    send_wanted(stream, wanted, lesson().histories[0])
    stream.seek(0)
    arrived = receive_wanted(stream)
    assert arrived[0] == wanted
    assert np.array_equal(arrived[1].values, lesson().histories[0].values, equal_nan=True)
    assert not stream.read()
    values = np.linspace(1.0, 2.0, fit_width(144), dtype=np.float32)
    for sent in (Fit(wanted, values), Fit(wanted, None, "it needs 76 steps")):
        stream = io.BytesIO()
        send_fit(stream, sent)
        stream.seek(0)
        came = receive_fit(stream, wanted, 144)
        assert (came.wanted, came.refusal) == (wanted, sent.refusal)
        assert (came.values is None) == (sent.values is None)
        assert came.values is None or np.array_equal(came.values, values)


def test_a_fit_that_is_no_number_or_none_at_all_is_refused() -> None:
    wanted = Wanted("ai/one", "ETS", 7, 600)
    stream = io.BytesIO()
    send_fit(stream, Fit(wanted, np.full(fit_width(144), np.nan, dtype=np.float32)))
    with pytest.raises(ValueError, match="no number"):
        receive_fit(io.BytesIO(stream.getvalue()), wanted, 144)
    with pytest.raises(ValueError, match="ended"):
        receive_fit(io.BytesIO(stream.getvalue()[:200]), wanted, 144)
    stream = io.BytesIO()
    send_refusal(stream, "MemoryError: no more")
    with pytest.raises(RefusalError, match="no more"):
        receive_fit(io.BytesIO(stream.getvalue()), wanted, 144)


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
