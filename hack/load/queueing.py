"""How long requests wait: replicas that each serve a batch of requests at once, in front of which a queue may grow.

Two parts. A *fluid* backlog remembers what could not be served in time: it grows while arrivals exceed capacity and
drains after. On top of it the *stationary* M/M/c queue says how chance spreads the waiting of requests while capacity
suffices.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hack.load.chance import Floats

# Above this utilization the stationary queue describes a state that would take minutes to build up, and diverges at
# 1. The backlog says what really accumulates there. At 0.95 and 40 slots one request in two waits, on average half a
# service time.
_STATIONARY_LIMIT_FRACTION = 0.95


@dataclass(frozen=True, slots=True)
class Replica:
    """What one replica can do: `slots` requests in its batch, together `capacity_per_second` when all are taken.

    A batch of n serves each request faster than a full one: the time of one request falls linearly from slots /
    capacity when full (worked: 8 / 10 per second = 0.8 s) to `alone_fraction` of that when it runs alone (0.4 s).
    """

    capacity_per_second: float = 10.0
    slots: int = 8
    alone_fraction: float = 0.5
    prefill_fraction: float = 0.15  # of the service time passes before the first token
    patience_seconds: float = 15.0  # a client that would wait longer is turned away at the door

    def service_seconds(self, utilization_fraction: ArrayLike) -> Floats:
        """Mean time in service at a given utilization."""
        full = self.slots / self.capacity_per_second
        return np.asarray(full * (self.alone_fraction + (1 - self.alone_fraction) * np.asarray(utilization_fraction)))


@dataclass(frozen=True, slots=True)
class Flow:
    """What happened in one interval, as rates. Scalars or arrays over time, all of one shape."""

    arrived_per_second: Floats
    served_per_second: Floats
    dropped_per_second: Floats
    backlog: Floats  # requests waiting for capacity at the end of the interval
    ready: Floats  # replicas that serve
    utilization_fraction: Floats  # of the capacity of ready replicas; 0 without any


@dataclass(frozen=True, slots=True)
class Latency:
    """The distribution of time in system of the requests served in an interval, as the parts it is made of."""

    delay_seconds: Floats  # behind the backlog, the same for all
    wait_probability: Floats  # that all slots are taken by chance
    wait_rate_per_second: Floats  # of the exponential wait of those who wait
    service_seconds: Floats  # mean of the exponential service
    prefill_fraction: float

    def within(self, bound_seconds: float) -> Floats:
        """Share of requests answered completely within the bound."""
        return _within(self, bound_seconds - self.delay_seconds, self.service_seconds)

    def first_token_within(self, bound_seconds: float) -> Floats:
        """Share of requests whose first token came within the bound."""
        return _within(self, bound_seconds - self.delay_seconds, self.prefill_fraction * self.service_seconds)

    def mean_seconds(self) -> Floats:
        return np.asarray(self.delay_seconds + self.wait_probability / self.wait_rate_per_second + self.service_seconds)

    def first_token_mean_seconds(self) -> Floats:
        return np.asarray(self.mean_seconds() - (1 - self.prefill_fraction) * self.service_seconds)

    def quantile_seconds(self, quantile: float) -> Floats:
        """The time within which that share of requests is answered, by bisection to a microsecond in 1,000 s."""
        low, high = np.zeros_like(self.delay_seconds), np.full_like(self.delay_seconds, 1000.0)
        for _ in range(30):
            middle = (low + high) / 2
            enough = _within(self, middle - self.delay_seconds, self.service_seconds) >= quantile
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.asarray(high)


def serve(
    replica: Replica, arrivals_per_second: float, ready: int, backlog: float, step_seconds: float
) -> tuple[float, float, float]:
    """One interval of the fluid queue: (served per second, dropped per second, backlog at its end).

    Worked: 2 replicas of 10/s, 26/s for 10 s, nothing waiting: 200 served, 60 wait. With a patience of 1 s only 20
    may wait; the other 40 are dropped, 4/s. Nothing is lost or invented: arrived = served + dropped + growth of the
    backlog.
    """
    capacity = ready * replica.capacity_per_second
    offered = backlog + arrivals_per_second * step_seconds
    served = min(offered, capacity * step_seconds)
    left = min(offered - served, capacity * replica.patience_seconds)
    return served / step_seconds, (offered - served - left) / step_seconds, left


def flow_over(replica: Replica, arrivals_per_second: Floats, ready: Floats, step_seconds: float) -> Flow:
    """The fluid queue over a whole series, starting empty. Where arrivals are NaN time stands still."""
    served, dropped, backlog = (np.zeros(len(arrivals_per_second)) for _ in range(3))
    waiting = 0.0
    for i, (arrivals, count) in enumerate(zip(arrivals_per_second.tolist(), ready.tolist(), strict=True)):
        if arrivals == arrivals:
            served[i], dropped[i], waiting = serve(replica, arrivals, count, waiting, step_seconds)
        backlog[i] = waiting
    return flow_of(replica, np.nan_to_num(arrivals_per_second), served, dropped, backlog, ready)


def flow_of(
    replica: Replica, arrived: ArrayLike, served: ArrayLike, dropped: ArrayLike, backlog: ArrayLike, ready: ArrayLike
) -> Flow:
    """Put the numbers of intervals together; utilization follows."""
    served_per_second, ready_replicas = _floats(served), _floats(ready)
    capacity = _floats(ready_replicas * replica.capacity_per_second)
    used = np.divide(served_per_second, capacity, out=np.zeros_like(capacity), where=capacity > 0)
    return Flow(
        arrived_per_second=_floats(arrived),
        served_per_second=served_per_second,
        dropped_per_second=_floats(dropped),
        backlog=_floats(backlog),
        ready=ready_replicas,
        utilization_fraction=_floats(np.minimum(used, 1.0)),
    )


def latency(replica: Replica, state: Flow) -> Latency:
    """Time in system of what is served in the given intervals: M/M/c of all slots together, behind the backlog."""
    utilization = np.minimum(state.utilization_fraction, _STATIONARY_LIMIT_FRACTION)
    service = replica.service_seconds(state.utilization_fraction)
    servers = np.maximum(state.ready, 1) * replica.slots
    capacity = np.maximum(state.ready, 1) * replica.capacity_per_second
    return Latency(
        delay_seconds=np.asarray(state.backlog / capacity),
        wait_probability=erlang_c(servers, servers * utilization),
        wait_rate_per_second=np.asarray(servers * (1 - utilization) / service),
        service_seconds=service,
        prefill_fraction=replica.prefill_fraction,
    )


def erlang_c(servers: ArrayLike, offered_load: ArrayLike) -> Floats:
    """Probability that an arrival finds all servers busy in M/M/c (Erlang 1917), for offered load < servers.

    By the recurrence of the Erlang B formula, B(n) = a·B(n−1) / (n + a·B(n−1)), which neither overflows nor cancels,
    then C = B / (1 − (a/c)(1 − B)). Worked: 2 servers, load 1: B = 1, 1/2, 1/5; C = 0.2 / (1 − 0.5 · 0.8) = 1/3.
    """
    count, load = np.broadcast_arrays(np.asarray(servers, dtype=np.int64), np.asarray(offered_load, dtype=np.float64))
    blocking = np.ones(load.shape)
    for n in range(1, int(count.max(initial=0)) + 1):
        blocking = np.where(n <= count, load * blocking / (n + load * blocking), blocking)
    return np.asarray(blocking / (1 - load / count * (1 - blocking)))


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _within(parts: Latency, left_seconds: Floats, service_seconds: Floats) -> Floats:
    """P(wait + service ≤ left), both exponential: the closed form of the convolution, and its limit at equal rates."""
    left = np.maximum(left_seconds, 0)
    serve_rate, wait_rate = 1 / service_seconds, parts.wait_rate_per_second
    wait_rate = np.where(np.abs(wait_rate - serve_rate) < 1e-6 * serve_rate, serve_rate * (1 + 1e-5), wait_rate)
    serving, waiting = np.exp(-serve_rate * left), np.exp(-wait_rate * left)
    beyond_both = (wait_rate * serving - serve_rate * waiting) / (wait_rate - serve_rate)
    beyond = (1 - parts.wait_probability) * serving + parts.wait_probability * beyond_both
    return np.asarray(np.where(left_seconds > 0, 1 - beyond, 0.0))
