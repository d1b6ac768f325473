"""The queue in front of the replicas, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hack.load.queueing import Replica, erlang_c, flow_of, flow_over, latency, serve
from hack.load.service import Service, queue_levels

# One slot, no batching gain: plain M/M/c with service rate 1/s a replica.
PLAIN = Replica(capacity_per_second=1.0, slots=1, alone_fraction=1.0, patience_seconds=10.0)
BATCHED = Replica(capacity_per_second=10.0, slots=8, alone_fraction=0.5)


def test_erlang_c_by_hand() -> None:
    # One server: C is the utilization.
    assert erlang_c(1, 0.5) == pytest.approx(0.5)
    # Two servers, load 1: (1²/2!)·2 / (1 + 1 + (1²/2!)·2) = 1/3.
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    # Three servers, load 2: (8/6)·3 / (1 + 2 + 2 + (8/6)·3) = 4/9.
    assert erlang_c(3, 2.0) == pytest.approx(4 / 9)
    # Arrays of different sizes at once, and no load at all.
    assert erlang_c([1, 2, 3, 5], [0.5, 1.0, 2.0, 0.0]) == pytest.approx([0.5, 1 / 3, 4 / 9, 0])


@settings(max_examples=100, deadline=None)
@given(servers=st.integers(1, 300), load=st.floats(0, 0.99), more=st.floats(0, 0.009))
def test_erlang_c_is_a_probability_and_grows_with_load(servers: int, load: float, more: float) -> None:
    few, many = float(erlang_c(servers, servers * load)), float(erlang_c(servers, servers * (load + more)))
    assert 0 <= few <= many <= 1


def test_single_server_time_in_system_is_exponential() -> None:
    # M/M/1 with λ = 0.5, μ = 1: mean 1/(μ−λ) = 2 s, P(T ≤ t) = 1 − exp(−t/2), p95 = −2 ln 0.05 = 5.99 s.
    times = latency(PLAIN, flow_of(PLAIN, 0.5, 0.5, 0, 0, 1))
    assert times.mean_seconds() == pytest.approx(2.0)
    assert times.within(3.0) == pytest.approx(1 - math.exp(-1.5))
    assert times.quantile_seconds(0.95) == pytest.approx(-2 * math.log(0.05), rel=1e-5)


def test_backlog_delays_everybody_alike() -> None:
    # 20 wait for 2 replicas of 1/s: 10 s before anything else happens.
    times = latency(PLAIN, flow_of(PLAIN, 0.5, 0.5, 0, 20, 2))
    none = latency(PLAIN, flow_of(PLAIN, 0.5, 0.5, 0, 0, 2))
    assert times.within(10.0) == 0
    assert times.within(12.0) == pytest.approx(none.within(2.0))
    assert times.mean_seconds() == pytest.approx(none.mean_seconds() + 10)


def test_a_batch_serves_one_request_slower_when_it_is_full() -> None:
    # 8 slots, 10/s: 0.8 s when full, half of it alone, 0.6 s in the middle.
    assert BATCHED.service_seconds([0, 0.5, 1]) == pytest.approx([0.4, 0.6, 0.8])


def test_first_token_comes_after_the_wait_and_the_prefill() -> None:
    # 15 % of 0.6 s at half load, where nobody waits with 32 slots.
    times = latency(BATCHED, flow_of(BATCHED, 20, 20, 0, 0, 4))
    assert times.first_token_mean_seconds() == pytest.approx(0.09, rel=1e-3)
    assert times.first_token_within(0.09) == pytest.approx(1 - math.exp(-1), rel=1e-3)


def test_latency_grows_with_load_per_replica() -> None:
    """What capacity per replica is learned from: p95 rises with utilization, slowly, then steeply at the end."""
    p95 = [
        float(latency(BATCHED, flow_of(BATCHED, load, load, 0, 0, 4)).quantile_seconds(0.95))
        for load in range(4, 41, 4)
    ]
    assert p95 == sorted(p95)
    assert p95[-1] - p95[-2] > 3 * (p95[1] - p95[0])


@settings(max_examples=50, deadline=None)
@given(load=st.floats(0, 1), ready=st.integers(0, 40), backlog=st.floats(0, 1000))
def test_shares_within_bounds_are_a_distribution(load: float, ready: int, backlog: float) -> None:
    served = load * 10 * ready
    times = latency(BATCHED, flow_of(BATCHED, served, served, 0, backlog, ready))
    shares = np.array([times.within(bound) for bound in (0.01, 0.1, 1.0, 10.0, 100.0, 1e4)])
    assert (shares >= -1e-12).all()
    assert (np.diff(shares) >= -1e-12).all()
    assert shares[-1] == pytest.approx(1.0)


def test_overload_accumulates_and_drains() -> None:
    # Two replicas of 10/s. 26/s for 10 s: 200 served, 60 wait. Then 14/s for 10 s: 200 served again, nothing waits.
    assert serve(BATCHED, 26.0, 2, 0.0, 10.0) == pytest.approx((20.0, 0.0, 60.0))
    assert serve(BATCHED, 14.0, 2, 60.0, 10.0) == pytest.approx((20.0, 0.0, 0.0))


def test_impatient_clients_are_turned_away() -> None:
    # Patience of 1 s before two replicas of 10/s: 20 may wait, 40 of the 60 are dropped in 10 s.
    impatient = Replica(capacity_per_second=10.0, patience_seconds=1.0)
    assert serve(impatient, 26.0, 2, 0.0, 10.0) == pytest.approx((20.0, 4.0, 20.0))


def test_without_replicas_all_are_dropped() -> None:
    assert serve(BATCHED, 5.0, 0, 30.0, 10.0) == pytest.approx((0.0, 8.0, 0.0))  # 30 waiting + 50 arriving


@settings(max_examples=200, deadline=None)
@given(
    arrivals=st.floats(0, 1e4),
    ready=st.integers(0, 100),
    backlog=st.floats(0, 1e5),
    step=st.floats(0.01, 60),
)
def test_nothing_is_lost_or_invented(arrivals: float, ready: int, backlog: float, step: float) -> None:
    served, dropped, left = serve(BATCHED, arrivals, ready, backlog, step)
    assert backlog + arrivals * step == pytest.approx((served + dropped) * step + left, rel=1e-9, abs=1e-6)
    assert min(served, dropped, left) >= -1e-9
    assert served <= 10 * ready * (1 + 1e-9)
    assert left <= 10 * ready * BATCHED.patience_seconds * (1 + 1e-9)


def test_queue_is_what_littles_law_says() -> None:
    # M/M/1 at 0.9: one in service nine tenths of the time, ρ²/(1−ρ) = 8.1 waiting; 3 more behind them in the backlog.
    service = Service("demo", "llm", replica=PLAIN)
    levels = {
        key.metric: float(value) for key, value in queue_levels(service, flow_of(PLAIN, 0.9, 0.9, 0, 3, 1)).items()
    }
    assert levels == {"vllm:num_requests_running": 1.0, "vllm:num_requests_waiting": 11.0}


def test_a_series_is_its_steps_and_stands_still_in_a_gap() -> None:
    arrivals = np.array([26.0, np.nan, 14.0])
    over = flow_over(BATCHED, arrivals, np.array([2.0, 2.0, 2.0]), 10.0)
    assert over.backlog == pytest.approx([60, 60, 0])
    assert over.served_per_second == pytest.approx([20, 0, 20])
    assert over.utilization_fraction == pytest.approx([1, 0, 1])
