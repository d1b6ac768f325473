from __future__ import annotations

import pytest

from kcloud_autoscale.account.carbon import grams_co2e
from kcloud_autoscale.account.power import BLOCKS, ReplicaPower, replica_power
from kcloud_autoscale.domain.accelerator import accelerator_table
from kcloud_autoscale.domain.observation import WorkloadObservation
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.state import PowerState
from tests.builders.accounting import NOW, a_node, a_policy, seen, some_pods

TABLE = accelerator_table()


def power(workload: WorkloadObservation, state: PowerState | None = None, now: float = NOW) -> ReplicaPower:
    return replica_power(a_policy(), workload, state or PowerState(), TABLE, now, a_node())


def watts(reading: Reading) -> float:
    assert isinstance(reading, Sample), reading
    return reading.value


def test_estimated_from_utilization_with_the_host():
    # Two H100: 2 x (105 + 0.5 x 595) = 805 W; host x 1.3 = 1,046.5 W. Peak 1,400 x 1.3, idle 210 x 1.3.
    got = power(seen(some_pods(3), utilization_fraction=Sample(0.5, NOW)))
    assert watts(got.now) == pytest.approx(1_046.5)
    assert watts(got.high) == pytest.approx(1_820.0)
    assert watts(got.idle) == pytest.approx(273.0)


def test_without_utilization_only_the_bounds_are_known():
    got = power(seen(some_pods(3)))
    assert isinstance(got.now, Missing)
    assert watts(got.high) == pytest.approx(1_820.0)


def test_measured_is_the_mean_over_pods():
    got = power(seen(some_pods(2), watts_per_pod={"a": 900.0, "b": 1_100.0}))
    assert watts(got.now) == pytest.approx(1_000.0)
    assert watts(got.high) == pytest.approx(1_000.0)


def test_a_total_is_shared_by_the_ready_replicas():
    assert watts(power(seen(some_pods(4), watts=Sample(3_600.0, NOW))).now) == pytest.approx(900.0)


@pytest.mark.parametrize("value", [0.0, -5.0, 2_801.0, 900_000.0, float("nan"), float("inf")])
def test_what_no_device_can_draw_is_not_power(value: float):
    # Two H100 have a TDP of 1,400 W together: up to 2,800 W is believed.
    got = power(seen(some_pods(2), watts_per_pod={"a": value}))
    assert isinstance(got.now, Missing)
    assert got.state == PowerState()


def test_a_wrong_reading_falls_back_to_the_estimate():
    got = power(seen(some_pods(2), watts_per_pod={"a": 9e6}, utilization_fraction=Sample(1.0, NOW)))
    assert watts(got.now) == pytest.approx(1_820.0)


def test_one_odd_quarter_of_an_hour_is_left_out_two_are_not():
    state = power(seen(some_pods(1), watts_per_pod={"a": 1_300.0}), now=0.0).state
    for minute in range(1, 8 * 60):
        state = power(seen(some_pods(1), watts_per_pod={"a": 300.0}), state, 60.0 * minute).state
    got = power(seen(some_pods(1), watts_per_pod={"a": 300.0}), state, 8 * 3_600.0)
    assert watts(got.now) == pytest.approx(300.0)
    # 8 h are 33 blocks: ceil(0.95 x 33) = 32nd of 33 ascending, so one peak is left out ...
    assert watts(got.high) == pytest.approx(300.0)
    state = power(seen(some_pods(1), watts_per_pod={"a": 1_200.0}), got.state, 8 * 3_600.0 + 900.0).state
    # ... and two are not: the 33rd of 34.
    assert state.high_watts == pytest.approx(1_200.0)


def test_high_is_never_below_now():
    state = PowerState(tuple([300.0] * 95), 0.0, 300.0)
    got = power(seen(some_pods(1), watts_per_pod={"a": 900.0}), state, 96 * 900.0)
    assert watts(got.high) == pytest.approx(900.0)


def test_memory_is_a_day_of_blocks():
    state = PowerState()
    for block in range(3 * BLOCKS):
        state = power(seen(some_pods(1), watts_per_pod={"a": 500.0 + block}), state, 900.0 * block).state
    assert len(state.peaks_watts) == BLOCKS
    assert state.peaks_watts[-1] == 500.0 + 3 * BLOCKS - 1


def test_the_same_block_without_a_new_peak_is_the_same_state():
    first = power(seen(some_pods(1), watts_per_pod={"a": 900.0}), now=0.0).state
    assert power(seen(some_pods(1), watts_per_pod={"a": 800.0}), first, 60.0).state is first


def test_an_outage_of_the_exporter_keeps_the_measured_upper_quantile():
    state = power(seen(some_pods(1), watts_per_pod={"a": 900.0}), now=0.0).state
    got = power(seen(some_pods(1), utilization_fraction=Sample(0.5, NOW)), state, 60.0)
    assert watts(got.now) == pytest.approx(1_046.5)  # estimated meanwhile
    assert watts(got.high) == pytest.approx(1_046.5)  # the larger of 900 W and what it seems to draw


def test_a_device_nobody_knows_draws_unknown_power():
    workload = seen(some_pods(1), replica_accelerators={"x/y": 1})
    got = replica_power(a_policy(), workload, PowerState(), TABLE, NOW, a_node(labels={}))
    assert isinstance(got.now, Missing)
    assert isinstance(got.high, Missing)
    assert isinstance(got.idle, Missing)


def test_grams_of_two_kilowatt_hours():
    grams = grams_co2e(7.2e6, Sample(425.0, NOW))
    assert isinstance(grams, Sample)
    assert grams.value == pytest.approx(850.0)


def test_unknown_intensity_is_unknown_carbon():
    missing = Missing(MissingReason.NO_DATA, "no grid")
    assert grams_co2e(7.2e6, missing) is missing
