"""Conformal offsets, and reading a curve where its levels were met."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.forecast.intervals import (
    SCORES,
    blended_offsets,
    curve_readings,
    empirical_offsets,
    score_on_curve,
    spread_of,
)
from kcloud_autoscale.forecast.settings import LEVELS

AT_95 = LEVELS.index(0.95)


def test_nineteen_residuals_give_the_95_quantile_as_their_largest() -> None:
    # Rank q (n + 1) = 0.95 x 20 = 19, the last of 1..19.
    window = np.full(40, np.nan, dtype=np.float32)
    window[:19] = np.arange(1, 20)
    offsets, count = empirical_offsets(window)
    assert count == 19
    assert offsets[AT_95] == 19
    assert offsets[0] == 10  # rank 0.5 x 20


def test_an_empty_window_has_no_opinion() -> None:
    offsets, count = empirical_offsets(np.full((2, 5), np.nan, dtype=np.float32))
    assert count.tolist() == [0, 0]
    assert not offsets.any()


def test_own_residuals_weigh_against_a_widened_prior_by_their_number() -> None:
    # 30 own against a prior worth 30: half of 2.0 and half of 1.2 x 3.0.
    blended = blended_offsets(np.full((1, 1, 1), 2.0), np.full((1, 1), 30.0), np.full((1, 1), 3.0), 30.0, 1.2)
    assert np.isclose(blended[0, 0, 0], 0.5 * 2.0 + 0.5 * 3.6)


def test_four_times_the_volatility_doubles_the_spread() -> None:
    slow = np.array([0.1])
    assert np.isclose(spread_of(np.array([0.4]), slow) / spread_of(np.array([0.1]), slow), 2.0)


def test_a_value_on_the_curve_scores_its_level_and_beyond_it_goes_straight_on() -> None:
    curve = 10.0 + 2.0 * SCORES
    assert np.isclose(score_on_curve(np.array(10.0 + 2.0 * 1.6448536), curve), 1.6448536)
    assert np.isclose(score_on_curve(np.array(16.0), curve), 3.0)  # past the last level, same slope
    assert score_on_curve(np.array(1e9), curve) == 6.0


def test_a_flat_curve_is_missed_entirely_or_met() -> None:
    flat = np.full(len(LEVELS), 5.0)
    assert score_on_curve(np.array(6.0), flat) == 6.0
    assert score_on_curve(np.array(4.0), flat) == -6.0
    assert abs(score_on_curve(np.array(5.0), flat)) < 6.0


def test_reading_at_the_nominal_scores_changes_nothing() -> None:
    assert np.allclose(curve_readings(SCORES[None])[0], np.eye(len(LEVELS)))


@given(st.lists(st.floats(-4, 4), min_size=len(LEVELS), max_size=len(LEVELS)))
def test_a_straight_curve_is_read_exactly_inside_and_outside(scores: list[float]) -> None:
    curve = 3.0 + 0.5 * SCORES
    read = curve @ curve_readings(np.array([scores]))[0]
    assert np.allclose(read, 3.0 + 0.5 * np.array(scores))


def test_residuals_that_say_the_same_push_the_levels_outward_where_enough_lie_beyond() -> None:
    # 1..999, five alike: rank 0.95 x 1,004 - 2 = 951.8 instead of 0.95 x 1,000; the middle stays the middle. Ten lie
    # beyond 0.99, two independent ones: too few to say more of it than its rank.
    window = np.arange(1, 1_000, dtype=np.float32)
    offsets, _ = empirical_offsets(window, alike=5.0)
    assert np.isclose(offsets[AT_95], 951.8)
    assert np.isclose(offsets[0], 500.0)
    assert np.isclose(offsets[AT_95 + 2], 990.0)
    assert np.isclose(empirical_offsets(window)[0][AT_95], 950.0)
