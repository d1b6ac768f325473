"""When samples fill a window, how far apart they are, and what is left of a user's own query beside its gaps."""

from __future__ import annotations

import numpy as np
import pytest

from kcloud_autoscale.observe.coverage import (
    away_from_gaps,
    covered,
    covered_now,
    filled_samples,
    filled_seconds,
    instants,
    interval_now,
    intervals,
    look_back_seconds,
)

NAN = np.nan
NOW = 1000.0


@pytest.mark.parametrize("phase", [0.0, 0.001, 3.0, 7.4, 14.999])
@pytest.mark.parametrize(("window", "interval"), [(75.0, 15.0), (240.0, 60.0), (7.5, 1.5), (73.0, 13.0)])
def test_a_series_scraped_all_the_time_has_the_samples_asked_for(window: float, interval: float, phase: float) -> None:
    scrapes = phase + interval * np.arange(1000)
    within = (scrapes > 1200.0 - filled_seconds(window, interval)) & (scrapes <= 1200.0)
    assert within.sum() >= filled_samples(window, interval)


def test_a_step_is_covered_when_its_window_and_the_interval_before_are() -> None:
    # 91.5 s of 15 s scrapes hold six. The outage lasts three steps; the last step before it may end within it.
    counts = np.array([NAN, 4, 6, 7, 6, 6, 3, NAN, 2, 6, 6])
    np.testing.assert_array_equal(covered(counts, filled_samples(75.0, 15.0)), [0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1])


def test_the_instants_of_a_window_reach_from_its_beginning_to_now() -> None:
    assert instants(75.0, 15.0) == (5, 15.0)
    assert instants(73.0, 13.0) == (6, 12.166)  # a millisecond less, never more: the last must not lie after now


@pytest.mark.parametrize(
    ("ages", "fits"),
    [
        ([5, 5, 5, 5, 5, 5], True),
        ([16, 16, 16, 16, 16, 22], True),  # the newest scrape is slow
        ([5, 5, 5, 5, 5, 23], False),  # and this one does not come any more
        ([NAN, 5, 5, 5, 5, 5], False),  # born 70 s ago
        ([80, 5, 5, 5, 5, 5], False),  # back for 70 s
        ([5, 5, 20, 35, 5, 5], False),  # two scrapes were missed
        ([NAN] * 6, False),
    ],
)
def test_the_present_window_is_filled_when_samples_came_in_all_the_time(ages: list[float], fits: bool) -> None:
    at = NOW + 15.0 * np.arange(-5, 1)
    assert covered_now(at - np.array(ages), at, 15.0) is fits


def test_intervals_are_told_in_doublings_of_todays() -> None:
    # 600 s: 40 samples of 15 s, 20 of 30 s, 13 of 45 s, 10 of 60 s, 120 of 5 s.
    def told(count: float) -> float:
        return float(intervals(np.full(3, count), 15.0)[1])

    assert [told(count) for count in (40, 39, 36, 20, 13, 10, 120)] == [15, 15, 15, 30, 60, 60, 7.5]


def test_a_tile_cut_short_is_as_dense_as_its_neighbours_and_the_first_of_a_life_tells_nothing() -> None:
    counts = np.array([NAN, 3, 40, 40, 8, 40, 10, 10, 10])
    #                  none birth      outage   minutes from here on; the tile before is still taken as dense
    np.testing.assert_array_equal(intervals(counts, 15.0), [NAN, NAN, 15, 15, 15, 15, 15, 60, 60])


def test_the_few_samples_of_a_newborn_are_no_slow_scrapes() -> None:
    assert interval_now(np.array([NAN, 3.0]), 15.0) == 15.0
    assert interval_now(np.array([10.0, 10.0]), 15.0) == 60.0


def test_a_users_own_steps_beside_a_gap_are_given_up() -> None:
    values = np.array([1.0, 1, 0.6, NAN, 0.2, 0.7, 1, 1])
    np.testing.assert_array_equal(away_from_gaps(values, 2), [1, NAN, NAN, NAN, NAN, NAN, 1, 1])
    np.testing.assert_array_equal(away_from_gaps(values, 0), values)


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("queue_depth", 0.0),
        ("sum(rate(a[5m]))", 300.0),
        ("sum(rate(a[1m])) + sum(rate(b[1h30m]))", 5400.0),
        ("max_over_time(rate(a[90s])[10m:15s])", 600.0),
        ("avg_over_time(a[500ms])", 0.5),
        ('a{pod=~"x[0-9]+"}', 0.0),
    ],
)
def test_how_far_a_query_looks_back(query: str, seconds: float) -> None:
    assert look_back_seconds(query) == seconds
