"""Generated and recorded demand: pure functions of the instant."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hack.load.chance import normal, smooth_normal, uniform
from hack.load.demand import DemandShape, FlashCrowd, Gap, Ramp, morning_ramp
from hack.load.trace import Trace, TraceDemand, TraceError, read_trace

MONDAY = 345_600.0  # 1970-01-05, 00:00
DAY = 86_400.0
FLAT = DemandShape(level_per_second=40.0, daily_fraction=0.0, weekend_fraction=1.0, noise_fraction=0.0)


def at(shape: DemandShape, *times: float) -> list[float]:
    return shape.sample(np.array(times)).tolist()


def test_same_instant_says_the_same_on_any_grid() -> None:
    shape = morning_ramp(1_795_485_600.0)
    fine = shape.sample(np.arange(1_795_485_000.0, 1_795_486_200.0, 1.0))
    coarse = shape.sample(np.arange(1_795_485_000.0, 1_795_486_200.0, 15.0))
    assert (fine[::15] == coarse).all()


def test_seed_changes_chance_and_nothing_else() -> None:
    shape = DemandShape(noise_fraction=0.1)
    times = MONDAY + np.arange(0, DAY, 60.0)
    other = replace(shape, seed=2)
    assert (shape.sample(times) != other.sample(times)).all()
    assert (shape.expected(times) == other.expected(times)).all()


def test_daily_rhythm_peaks_at_its_hour_and_is_lowest_twelve_hours_later() -> None:
    shape = replace(FLAT, daily_fraction=0.5, peak_hour=14.0)
    # 40 × 1.5 at 14 h, 40 × 0.5 at 2 h, 40 at 8 h
    assert at(shape, MONDAY + 14 * 3600, MONDAY + 2 * 3600, MONDAY + 8 * 3600) == pytest.approx([60, 20, 40])


def test_a_compressed_day_has_the_same_rhythm() -> None:
    shape = replace(FLAT, daily_fraction=0.5, peak_hour=12.0, day_seconds=240.0)
    assert at(shape, MONDAY + 120, MONDAY + 240) == pytest.approx([60, 20])


def test_weekend_is_quieter_and_blends_in() -> None:
    shape = replace(FLAT, weekend_fraction=0.5)
    friday, saturday, monday = (MONDAY + (day + 0.5) * DAY for day in (4, 5, 7))
    # half-way at midnight: (40 + 20) / 2
    assert at(shape, friday, saturday, MONDAY + 5 * DAY, monday) == pytest.approx([40, 20, 30, 40])


def test_trend_grows_by_the_day() -> None:
    shape = replace(FLAT, trend_fraction_per_day=0.01)
    assert at(shape, MONDAY, MONDAY + 10 * DAY) == pytest.approx([40, 44])


def test_noise_grows_with_the_level_and_keeps_the_mean() -> None:
    times = MONDAY + np.arange(0, 14 * DAY, 30.0)
    for level in (4.0, 400.0):
        noisy = replace(FLAT, level_per_second=level, noise_fraction=0.1).sample(times)
        assert noisy.std() / level == pytest.approx(0.1, rel=0.15)
        assert noisy.mean() == pytest.approx(level, rel=0.01)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), noise=st.floats(0, 2), bursts=st.floats(0, 48), start=st.floats(0, 4e9))
def test_demand_is_finite_and_never_negative(seed: int, noise: float, bursts: float, start: float) -> None:
    shape = DemandShape(noise_fraction=noise, bursts_per_day=bursts, trend_fraction_per_day=-0.1, seed=seed)
    sampled = shape.sample(start + np.arange(0.0, 2 * DAY, 997.0))
    assert np.isfinite(sampled).all()
    assert (sampled >= 0).all()


def test_bursts_come_as_often_as_asked() -> None:
    shape = replace(FLAT, bursts_per_day=6.0, burst_fraction=1.0, burst_seconds=60.0)
    above = shape.sample(MONDAY + np.arange(0, 28 * DAY, 5.0)) > 40 * 1.3
    starts = np.count_nonzero(np.diff(above.astype(int)) == 1)
    assert starts == pytest.approx(28 * 6, rel=0.2)


def test_ramp_comes_every_day_within_its_jitter() -> None:
    wave = Ramp(start_seconds=32_400.0, height_per_second=60.0, rise_seconds=30.0, hold_seconds=60.0, fall_seconds=30.0)
    jittery = replace(wave, start_jitter_seconds=5.0)
    starts = [jittery.occurrence_start_seconds(day, seed=1) - day * DAY - 32_400 for day in range(200)]
    assert max(map(abs, starts)) <= 10.0
    assert np.std(starts) == pytest.approx(5.0, rel=0.2)
    # Without jitter: nothing at 9:00, half-way up at 15 s, all of it from 30 to 90 s, gone at 120 s.
    nine = MONDAY + 3 * DAY + 32_400
    shape = replace(FLAT, ramps=(wave,))
    assert at(shape, nine, nine + 15, nine + 30, nine + 90, nine + 105, nine + 120) == pytest.approx(
        [40, 70, 100, 100, 70, 40]
    )


def test_ramp_that_starts_early_is_not_cut() -> None:
    """An occurrence may begin before its nominal time, which falls into the period before."""
    wave = Ramp(0.0, 60.0, 30.0, 60.0, 30.0, start_jitter_seconds=10.0)
    early = next(day for day in range(1, 100) if wave.occurrence_start_seconds(day, seed=1) < day * DAY - 5)
    start = wave.occurrence_start_seconds(early, seed=1)
    around = wave.at(start + np.array([0.0, 4.0, 30.0]), seed=1)
    assert around[0] == pytest.approx(0)
    assert around[1] > 0
    assert around[2] == pytest.approx(60)


def test_flash_crowd_rises_in_seconds_and_fades() -> None:
    crowd = FlashCrowd(at_seconds=MONDAY, height_fraction=2.0, rise_seconds=20.0, decay_seconds=100.0)
    shape = replace(FLAT, crowds=(crowd,))
    # 40 × (1 + 2) at the top, 40 × (1 + 2/e) a decay later
    assert at(shape, MONDAY - 1, MONDAY + 20, MONDAY + 120) == pytest.approx([40, 120, 40 * (1 + 2 / np.e)])


def test_gap_is_missing_and_not_zero() -> None:
    shape = replace(FLAT, gaps=(Gap(MONDAY, 60.0),))
    before, first, last, after = at(shape, MONDAY - 1, MONDAY, MONDAY + 59, MONDAY + 60)
    assert np.isnan([first, last]).all()
    assert (before, after) == pytest.approx((40, 40))


def test_morning_ramp_starts_when_promised_today_and_about_then_every_day() -> None:
    for start, length in ((1_795_485_600.0, DAY), (1_795_900_000.0, DAY), (1_795_900_000.0, DAY / 10)):
        shape = morning_ramp(start, day_seconds=length)
        calm, after = shape.expected(np.array([start - 1, start + 1]))
        assert after > calm
        assert shape.expected(np.array([start]))[0] == pytest.approx(calm, rel=1e-3)
        for day in range(1, 15):
            window = shape.expected(start - day * length + np.arange(-60.0, 120.0))
            begins = -60 + int(np.argmax(window > window[0] * 1.05))
            assert -20 <= begins <= 25, day


def test_morning_ramp_is_steep() -> None:
    start = 1_795_485_600.0
    shape = morning_ramp(start)
    before, high, later = shape.sample(np.array([start - 30, start + 75, start + 180]))
    assert high > 3 * before
    assert later < 1.3 * before


def test_chance_is_uniform_and_normal_and_its_streams_are_apart() -> None:
    index = np.arange(20_000)
    assert np.histogram(uniform(1, 1, index), bins=10, range=(0, 1))[0] == pytest.approx(np.full(10, 2000), rel=0.1)
    assert (normal(1, 1, index).mean(), normal(1, 1, index).std()) == pytest.approx((0, 1), abs=0.03)
    assert abs(np.corrcoef(normal(1, 1, index), normal(1, 2, index))[0, 1]) < 0.03
    assert abs(np.corrcoef(normal(1, 1, index), normal(2, 1, index))[0, 1]) < 0.03
    between_knots = smooth_normal(1, 1, np.arange(20_000) + 0.5, knot_seconds=1.0)
    assert between_knots.std() == pytest.approx(1, abs=0.03)


def test_trace_holds_each_row_until_the_next_and_keeps_its_holes(tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text("t_seconds,requests_per_second,tokens\n0,5,100\n60,,200\n120,7,300\n")
    demand = TraceDemand(read_trace(file), start_seconds=1000.0)
    told = demand.sample(np.array([999.0, 1000.0, 1059.0, 1060.0, 1120.0, 1179.0, 1300.0]))
    assert told == pytest.approx([np.nan, 5, 5, np.nan, 7, 7, np.nan], nan_ok=True)
    tokens = TraceDemand(read_trace(file, "tokens"), 1000.0, time_scale=60.0, per_second=0.1, repeats=True)
    # a minute of the recording per second; after three seconds it begins again
    assert tokens.sample(np.array([1000.0, 1001.0, 1002.0, 1003.0])) == pytest.approx([10, 20, 30, 10])


def test_trace_knows_timestamps(tmp_path: Path) -> None:
    file = tmp_path / "load.csv.gz"
    import pandas as pd

    stamps = ["2026-11-24T00:00:00Z", "2026-11-24T00:01:00Z", "2026-11-24T00:02:00Z"]
    pd.DataFrame({"timestamp": stamps, "value": [1.0, 2.0, 3.0]}).to_csv(file, index=False)
    trace = read_trace(file)
    assert (trace.times_seconds[0], trace.step_seconds, trace.length_seconds) == (1_795_478_400.0, 60.0, 180.0)
    assert not trace.is_relative


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("t_seconds\n0\n1\n", "no column"),
        ("t_seconds,v\n0,1\n", "two rows or more"),
        ("t_seconds,v\n5,1\n0,1\n", "ascending"),
        ("t_seconds,v\n0,1\n1,many\n", "not a number"),
        ("t_seconds,v\n0,1\n1,-3\n", "not a number ≥ 0"),
        ("when,v\nsoon,1\nlater,1\n", "not time"),
        ("", "No columns"),
    ],
)
def test_what_is_no_trace_is_said_to_be_none(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(TraceError, match=complaint) as caught:
        read_trace(file)
    assert "bad.csv" in str(caught.value)


def test_trace_of_one_step_apart_rows_has_no_holes() -> None:
    trace = Trace(np.array([0.0, 10.0, 20.0]), np.array([1.0, 2.0, 3.0]), is_relative=True)
    told = TraceDemand(trace, 0.0, repeats=True).sample(np.arange(0.0, 60.0))
    assert np.isfinite(told).all()
    assert set(told) == {1.0, 2.0, 3.0}
