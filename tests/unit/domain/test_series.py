from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.domain.series import Forecast, interpolated

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)


@given(
    st.floats(0.0, 1.0) | st.sampled_from(LEVELS),
    st.lists(st.floats(0.0, 1e6), min_size=len(LEVELS), max_size=len(LEVELS)),
)
def test_one_number_is_read_as_numpy_reads_many(level, values):
    assert interpolated(level, LEVELS, values) == np.interp(level, LEVELS, values)


@pytest.mark.parametrize(("level", "load"), [(0.925, 85.0), (0.9, 80.0), (0.1, 80.0), (0.99, 90.0)])
def test_a_forecast_is_read_between_its_levels_and_never_beyond_them(level, load):
    forecast = Forecast("last value", 0.0, 60.0, (0.9, 0.95), (80.0, 90.0), True, "Calibrated")
    assert forecast.at(level) == pytest.approx(load)
