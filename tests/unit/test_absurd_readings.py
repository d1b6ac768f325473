"""One absurd sample: nothing that is remembered, exported or written down becomes infinite, and counts stay bounded."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kcloud_autoscale.account.ledger import savings
from kcloud_autoscale.account.worth import replica_worth
from kcloud_autoscale.act.status import Outcome, workload_status
from kcloud_autoscale.domain import bounds
from kcloud_autoscale.domain.bounds import LOAD, POD_WATTS, USD_PER_HOUR, UTILIZATION_FRACTION, Bound
from kcloud_autoscale.domain.observation import CapacityHistory, Observation
from kcloud_autoscale.domain.plain import to_plain
from kcloud_autoscale.domain.policy import FleetPolicy, MetricKind, MetricTarget, PriceOverride, ReplicaResources
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.state import PowerState
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.observe.history import Span, on_grid
from kcloud_autoscale.observe.prometheus_response import Point, Row
from kcloud_autoscale.observe.query_session import reading
from kcloud_autoscale.tick import FleetState, tick
from tests.builders.accounting import KEY, NOW, a_node, a_policy, seen, some_pods

ABSURD = [1e308, 1e300, -1e308, math.inf, -math.inf, math.nan, 1.7976931348623157e308]
MINUTES = 12


@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize("bound", [each for each in vars(bounds).values() if isinstance(each, Bound)])
def test_what_cannot_be_is_missing_and_says_why(value: float, bound: Bound):
    found = reading(Point({}, value, 0.0), "watts of pod a", bound=bound)
    assert isinstance(found, Missing)
    assert found.reason in (MissingReason.OUT_OF_RANGE, MissingReason.NOT_A_NUMBER)
    assert "watts of pod a" in found.message
    assert reading(Point({}, bound.most, 0.0), "x", bound=bound) == Sample(bound.most, 0.0, "x")


def test_a_percentage_is_bounded_as_the_ratio_it_is():
    assert reading(Point({}, 50.0, 0.0), "gpu", scale=100.0, bound=UTILIZATION_FRACTION) == Sample(0.5, 0.0, "gpu")
    assert isinstance(reading(Point({}, 150.0, 0.0), "gpu", scale=100.0, bound=UTILIZATION_FRACTION), Missing)


def test_an_absurd_step_of_a_history_is_a_gap():
    row = Row({}, 60.0 * np.arange(1.0, 5.0), np.array([1.0, 1e308, -1e308, 2.0]))
    np.testing.assert_array_equal(on_grid(row, Span(0.0, 4, 60.0)), [1.0, np.nan, np.nan, 2.0])


def bounded(bound: Bound) -> st.SearchStrategy[Reading]:
    """Anything that observation lets through."""
    values = st.one_of(st.floats(0.0, bound.most), st.sampled_from([0.0, 5e-324, 1e-300, bound.most]))
    return st.one_of(values.map(lambda value: Sample(value, NOW)), st.just(Missing(MissingReason.NO_DATA)))


minutes = st.lists(
    st.tuples(bounded(LOAD), bounded(POD_WATTS), bounded(USD_PER_HOUR), bounded(UTILIZATION_FRACTION)),
    min_size=MINUTES,
    max_size=MINUTES,
)


@given(minutes, st.one_of(st.none(), st.floats(5e-324, 1e9)), st.sampled_from([60.0, 3_600.0]))
@hypothesis_settings(max_examples=40)
def test_whatever_is_let_through_leaves_everything_finite(
    readings: list[tuple[Reading, Reading, Reading, Reading]], kappa: float | None, apart: float
):
    targets = () if kappa is not None else (MetricTarget("latency", MetricKind.VALUE, 0.1),)
    policy = a_policy(capacity_per_replica=kappa, targets=targets)
    fleet = FleetPolicy({KEY: policy}, cycle_seconds=apart, step_seconds=apart)
    state = FleetState(LiveForecaster(apart))
    for minute, (load, watts, usd, busy) in enumerate(readings):
        now = NOW + apart * minute
        value = load.value if isinstance(load, Sample) else math.nan
        step = np.array([value])
        readings_now: dict[str, Any] = {
            "demand": load if isinstance(load, Missing) else replace(load, at_seconds=now),
            "demand_history": DemandHistory(now - apart, apart, step),
            "watts": watts,
            "utilization_fraction": busy,
        }
        if kappa is None:
            pairs = CapacityHistory(now - apart, apart, step, np.array([3.0]), np.array([value]), "latency")
            readings_now["capacity_history"] = (pairs,)
        node = a_node(labels={}, gpu_hourly_usd=usd)
        ticked = tick(
            Observation(now, {KEY: replace(seen(some_pods(3)), **readings_now)}, {"n1": node}), fleet, state, now
        )
        state = ticked.state
    account, decision = ticked.accounts[KEY], ticked.fleet.decisions[0]
    status = workload_status(Outcome(policy, None, decision, account), {}, state.workloads[KEY])
    json.dumps(status, allow_nan=False)
    json.dumps(to_plain(account.ledger), allow_nan=False)
    assert all(math.isfinite(getattr(savings(account.ledger), name)) for name in ("usd", "joules", "grams_co2e"))
    assert decision.desired_replicas is not None
    assert policy.min_replicas <= decision.desired_replicas <= policy.max_replicas
    level = state.workloads[KEY].level
    assert level is None or np.isfinite(level.misses.by_price).all()


def test_a_price_that_a_spec_makes_absurd_is_no_price():
    policy = a_policy(resources=ReplicaResources(memory_bytes=1e300))
    fleet = FleetPolicy({KEY: policy}, price_overrides={KEY: PriceOverride(memory_usd_per_gib_hour=1.0)})
    lone = replace(seen(some_pods(1)), replica_accelerators={})
    worth = replica_worth(policy, lone, PowerState(), Observation(NOW, {}), fleet, NOW)
    assert isinstance(worth.usd_per_hour, Missing)
    assert worth.usd_per_hour.reason is MissingReason.OUT_OF_RANGE
