"""Features, worked by hand on demand one can read."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast.features import NAMES, Block, Origins, Recursions, feature_block
from kcloud_autoscale.forecast.ring import DemandRing
from kcloud_autoscale.forecast.settings import FleetSettings, grid_of

GRID = grid_of(FleetSettings(), 3_600.0, 2)  # hourly: 24 steps a day, windows of two hours, level of one hour
FLOOR = 1e-9


def features_at(values: np.ndarray, origin: int, slow: float = 0.0) -> dict[str, float]:
    """Features of one origin, by name; the averages are the present value."""
    ring = DemandRing(1, GRID.ring)
    first = np.array([1000])
    ring.write(np.array([0]), first, values[None, : origin + 1], np.isfinite(values[None, : origin + 1]))
    ring_past = np.full((1, GRID.recent), values[0])
    ring.write(np.array([0]), first - GRID.recent, ring_past, np.zeros_like(ring_past, dtype=bool))
    carried = Recursions(np.full((4, 1, 1), values[origin]), np.full((1, 1), 0.01), np.full((1, 1), slow))
    origins = Origins(GRID, ring, np.array([0]), first + origin, 1, np.full((1, 1), FLOOR))
    block: Block = feature_block(origins, carried)
    return dict(zip(NAMES, block.values[0, :, 0].tolist(), strict=True))


def test_yesterdays_rise_is_the_peak_of_the_window_ahead_over_the_level_then() -> None:
    values = np.full(60, 10.0)
    values[31] = 40.0  # yesterday, one hour after the same hour: origin 54 - 24 = 30
    found = features_at(values, 54)
    assert np.isclose(found["yesterday_rise"], np.log(4.0))
    assert np.isclose(found["yesterday_gap"], 0.0)


def test_the_gap_is_how_far_yesterday_lay_above_today() -> None:
    values = np.concatenate([np.full(40, 20.0), np.full(20, 5.0)])
    found = features_at(values, 59)  # yesterday 20, now 5
    assert np.isclose(found["yesterday_gap"], np.log(4.0))
    assert np.isclose(found["yesterday_rise"], 0.0)


def test_a_day_not_seen_has_no_opinion() -> None:
    found = features_at(np.linspace(1.0, 9.0, 20), 19)
    assert found["yesterday_rise"] == found["yesterday_gap"] == found["usual_rise"] == found["last_week_gap"] == 0.0


def test_last_week_and_the_usual_day_are_told_apart() -> None:
    values = np.full(8 * 24, 10.0)
    origin = 7 * 24 + 5
    values[6] = 80.0  # an hour after the origin, a week ago
    found = features_at(values, origin)
    assert np.isclose(found["last_week_rise"], np.log(8.0))
    assert np.isclose(found["yesterday_rise"], 0.0)
    # The usual peak is the mean over seven days: (80 + 6 x 10) / 7 = 20.
    assert np.isclose(found["usual_rise"], np.log(2.0))


def test_a_kick_is_what_noise_leaves_of_a_rise() -> None:
    values = np.full(60, 10.0)
    values[31] = 40.0
    assert np.isclose(features_at(values, 54, slow=0.1)["yesterday_kick"], np.log(4.0) - 0.3)
    assert features_at(values, 54, slow=1.0)["yesterday_kick"] == 0.0


def test_the_recent_past_is_relative_to_the_present() -> None:
    values = np.array([8.0, 1.0, 2.0, 4.0])
    found = features_at(values, 3)
    assert np.isclose(found["lag_1"], np.log(0.5))
    assert np.isclose(found["lag_2"], np.log(0.25))
    assert np.isclose(found["lag_3"], np.log(2.0))
    assert np.isclose(found["window_peak"], 0.0)  # of the last two hours
    assert np.isclose(found["recent_peak"], np.log(2.0))  # of the last four
    assert np.isclose(found["recent_trough"], np.log(0.25))


def test_the_calendar_is_in_unix_time() -> None:
    # Step 1000 + 8 of an hour is 42 days after the epoch, at 00:00 of a Thursday.
    found = features_at(np.full(20, 1.0), 8)
    assert np.isclose(found["day_cos_1"], 1.0)
    assert np.isclose(found["week_cos"], 1.0)
