"""The ring of demand, and neighbours along it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.forecast.ring import DemandRing, sliding_max, sliding_mean, sliding_min


def test_a_ring_of_ten_wraps_and_keeps_the_last_ten_steps() -> None:
    ring = DemandRing(1, 10)
    rows, every = np.array([0]), np.ones((1, 4), dtype=bool)
    for start in (0, 4, 8):
        ring.write(rows, np.array([start]), np.arange(start, start + 4.0)[None], every)
    # Steps 0 and 1 lie where 10 and 11 now are.
    assert ring.read(rows, np.array([2]), 10).tolist() == [[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]


def test_rows_with_different_clocks_are_written_and_read_each_at_its_own() -> None:
    ring = DemandRing(2, 8)
    rows, starts = np.array([0, 1]), np.array([6, 100])
    ring.write(rows, starts, np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.ones((2, 3), dtype=bool))
    assert ring.read(rows, starts, 3).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert ring.read(np.array([1]), np.array([101]), 2).tolist() == [[5, 6]]


def test_a_gap_keeps_its_filled_value_with_the_sign_bit_even_when_that_is_zero() -> None:
    ring = DemandRing(1, 4)
    ring.write(np.array([0]), np.array([0]), np.array([[3.0, 3.0, 0.0, 0.0]]), np.array([[True, False, True, False]]))
    read = ring.read(np.array([0]), np.array([0]), 4)
    assert np.abs(read).tolist() == [[3, 3, 0, 0]]
    assert np.signbit(read).tolist() == [[False, True, False, True]]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(1, 40))
def test_sliding_windows_are_what_a_loop_would_give(values: list[float], width: int) -> None:
    width = min(width, len(values))
    windows = [values[at : at + width] for at in range(len(values) - width + 1)]
    assert sliding_max(np.array([values]), width).tolist() == [[max(each) for each in windows]]
    assert sliding_min(np.array([values]), width).tolist() == [[min(each) for each in windows]]


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_sliding_mean_does_not_depend_on_what_is_computed_with_it(width: int) -> None:
    values = np.random.default_rng(0).normal(size=(3, 50))
    whole = sliding_mean(values, width)
    assert np.allclose(whole, np.lib.stride_tricks.sliding_window_view(values, width, axis=1).mean(axis=2))
    assert np.array_equal(whole[:, 10:20], sliding_mean(values[:, 10 : 19 + width], width))
