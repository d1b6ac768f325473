"""Scores, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kcloud_autoscale.forecast.losses import coverage, mase, over_provision, pinball


def test_falling_short_costs_nineteen_times_as_much_at_95() -> None:
    assert pinball(np.array([110.0, 90.0]), np.array([100.0, 100.0]), 0.95) == pytest.approx([9.5, 0.5])


def test_coverage_counts_what_was_met() -> None:
    assert coverage(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 5.0])) == 0.75


def test_mase_is_the_error_over_last_values() -> None:
    actual, present = np.array([10.0, 20.0]), np.array([6.0, 14.0])  # last value errs 4 and 6
    assert mase(actual, np.array([9.0, 16.0]), present) == 0.5  # 1 and 4
    assert mase(actual, actual, actual) == 1.0
    assert mase(actual, present, actual) == math.inf


def test_over_provision_compares_sharpness_whatever_the_level() -> None:
    # 20 windows, one of them (5 %) may be missed. Needed factors are 1 but for one of 2: the factor is 1.
    actual = np.full(20, 10.0)
    sharp = actual.copy()
    sharp[0] = 5.0
    assert over_provision(actual, sharp) == pytest.approx(9.75 / 10 - 1)
    # The same forecast, twice as high, is exactly as sharp.
    assert over_provision(actual, 2 * sharp) == pytest.approx(over_provision(actual, sharp))


def test_predicting_nothing_for_load_that_comes_cannot_be_rescaled() -> None:
    assert over_provision(np.array([1.0, 1.0]), np.array([0.0, 0.0])) != over_provision(np.zeros(2), np.zeros(2))
    assert over_provision(np.zeros(2), np.zeros(2)) == 0.0
