"""Which steps are still to be read, and where samples belong on the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.observe.history import Span, demand_history, on_grid, pending, rate_window_seconds
from kcloud_autoscale.observe.prometheus_response import PrometheusError, Row


def test_a_new_workload_gets_the_whole_history() -> None:
    # 1000 - 10 = 990 s: the step that ends at 960 is the last complete one; ten minutes before it start at 360.
    assert pending(None, 1000.0, 60.0, 10.0, 600.0) == Span(360.0, 10, 60.0)


def test_a_known_workload_gets_what_is_new_and_complete() -> None:
    assert pending(840.0, 1000.0, 60.0, 10.0, 600.0) == Span(840.0, 2, 60.0)


@pytest.mark.parametrize(("now", "steps"), [(1029.9, 0), (1030.0, 1)])
def test_a_step_is_complete_only_after_it_has_settled(now: float, steps: int) -> None:
    span = pending(960.0, now, 60.0, 10.0, 600.0)  # [960, 1020) settles at 1030
    assert (span.steps if span else 0) == steps


def test_after_a_long_outage_no_more_than_the_history_is_read() -> None:
    span = pending(0.0, 100_000.0, 60.0, 10.0, 600.0)
    assert span is not None
    assert span.steps == 10


@given(
    st.floats(0, 2e9), st.sampled_from([1.0, 6.0, 15.0, 60.0, 300.0]), st.floats(0, 60), st.none() | st.floats(0, 2e9)
)
def test_steps_lie_on_the_grid_and_in_the_past(now: float, step: float, settle: float, since: float | None) -> None:
    span = pending(since, now, step, settle, 100 * step)
    if span is not None:
        assert span.start_seconds % step == 0
        assert 1 <= span.steps <= 100
        assert span.end_seconds + settle <= now + 1e-5 * step
        assert since is None or span.start_seconds >= since - 1e-5 * step


def test_a_window_holds_just_the_step_between_its_first_and_last_scrape() -> None:
    assert rate_window_seconds(60.0, 15.0) == 75.0
    assert rate_window_seconds(6.0, 1.5) == 7.5
    assert rate_window_seconds(60.0, 60.0) == 240.0  # one scrape per step: a mean of four is all that can be said


def test_long_spans_are_read_in_parts_that_join() -> None:
    span = Span(0.0, 20_160, 60.0)
    parts = list(span.chunks())
    assert [part.steps for part in parts] == [10_000, 10_000, 160]
    assert [part.start_seconds for part in parts] == [0.0, 600_000.0, 1_200_000.0]
    assert parts[-1].end_seconds == span.end_seconds


def test_gaps_and_impossible_values_are_unknown() -> None:
    span = Span(600.0, 6, 60.0)
    # Evaluated at the end of each step: 660, 720, … 960; the step that ends at 720 has no sample.
    row = Row({}, np.array([660.0, 780, 840, 900, 960]), np.array([1.0, -2.0, np.inf, np.nan, 5.0]))
    np.testing.assert_array_equal(on_grid(row, span), [1.0, np.nan, np.nan, np.nan, np.nan, 5.0])
    assert np.isnan(on_grid(None, span)).all()


@pytest.mark.parametrize("at", [650.0, 600.0, 1020.0])
def test_samples_off_the_grid_are_refused(at: float) -> None:
    with pytest.raises(PrometheusError, match="off the grid"):
        on_grid(Row({}, np.array([at]), np.array([1.0])), Span(600.0, 6, 60.0))


def test_a_whole_history_begins_at_its_first_known_step() -> None:
    span = Span(0.0, 4, 60.0)
    piece = demand_history(np.array([np.nan, np.nan, 3.0, np.nan]), span, whole=True)
    assert piece is not None
    assert piece.start_seconds == 120.0
    np.testing.assert_array_equal(piece.values, [3.0, np.nan])
    assert demand_history(np.full(4, np.nan), span, whole=True) is None


def test_a_known_workload_is_told_of_its_gaps() -> None:
    piece = demand_history(np.full(2, np.nan), Span(0.0, 2, 60.0), whole=False)
    assert piece is not None
    assert len(piece.values) == 2
