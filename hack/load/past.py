"""What would have been measured in two weeks of service: the same demand and queue, scaled by a plain reactive rule.

Everything here is causal: replaying to a later instant repeats the earlier part exactly. So blocks can be written
first, and the last hours added when Prometheus is up.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from hack.load import service as catalogue
from hack.load.chance import Floats
from hack.load.demand import Demand
from hack.load.live import LiveService, Pod
from hack.load.queueing import Flow, flow_over
from hack.load.service import Series, Service

_HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class PastPlan:
    """How far back, how fine, and how the service was scaled then."""

    start_seconds: float
    end_seconds: float  # when the plan was made; what follows until the present is replayed as well
    # Latency histograms, tokens and power are 44 series a pod: a day of them teaches what a replica can do, two weeks
    # would be ten million samples. Demand, completions and queue are kept for the whole time.
    detail_since_seconds: float
    step_seconds: float = 15.0
    target_fraction: float = 0.7  # of a replica's capacity, as an HPA would have it
    startup_seconds: float = 30.0
    stabilization_seconds: float = 1800.0
    min_replicas: int = 1
    max_replicas: int = 20

    @classmethod
    def before(cls, now_seconds: float, *, days: float = 14.0, detail_days: float = 1.0, **rest: Any) -> "PastPlan":
        """The days that end at `now_seconds`."""
        return cls(
            start_seconds=now_seconds - 86_400 * days,
            end_seconds=now_seconds,
            detail_since_seconds=now_seconds - 86_400 * min(detail_days, days),
            **rest,
        )


@dataclass(frozen=True, slots=True)
class Life:
    """One pod's time of being ready: steps `first` to `end` − 1."""

    pod: Pod
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Track:
    """The samples of one series, ascending in time."""

    series: Series
    times_seconds: Floats
    values: Floats

    def between(self, since_seconds: float, until_seconds: float) -> "Track":
        """The samples with since ≤ time < until."""
        first, end = np.searchsorted(self.times_seconds, [since_seconds, until_seconds])
        return Track(self.series, self.times_seconds[first:end], self.values[first:end])


@dataclass(frozen=True, slots=True)
class Past:
    """A replayed service. Row i of the flow covers the step that ends at times_seconds[i]."""

    service: Service
    demand: Demand
    plan: PastPlan
    times_seconds: Floats
    flow: Flow
    is_measured: np.ndarray
    lives: tuple[Life, ...] = field(repr=False)

    def tracks(self) -> Iterator[Track]:
        """Every series of the service, fine for the whole past or for its last days."""
        step = self.plan.step_seconds
        for key, grown in catalogue.front_door_increases(self.service, self.flow, step).items():
            yield self._track(key, 0, np.cumsum(grown))
        counters, levels = self._catalogue(slice(None), detailed=False)
        yield from self._pod_tracks(0, counters, levels)
        first = self._detail_start()
        counters, levels = self._catalogue(slice(first, None), detailed=True)
        yield from self._pod_tracks(first, counters, levels)

    def resume(self) -> LiveService:
        """The service alive, where the past ends: its backlog, and counters that go on from their last values."""
        going_on = [life for life in self.lives if life.end == len(self.times_seconds)]
        live = LiveService(self.service, self.demand, float(self.times_seconds[-1]), float(self.flow.backlog[-1]))
        live.flow = _rows(self.flow, -1)
        for key, grown in catalogue.front_door_increases(self.service, self.flow, self.plan.step_seconds).items():
            live.front_door[key] = float(np.cumsum(grown)[-1])  # not sum(): it adds in another order
        for first, detailed in ((0, False), (self._detail_start(), True)):
            counters, _ = self._catalogue(slice(first, None), detailed)
            for life in going_on:
                since = max(life.first - first, 0)
                sums = {key: float(np.cumsum(grown[since:])[-1]) for key, grown in counters.items()}
                live.by_pod.setdefault(life.pod.name, {}).update(sums)
        live.follow(life.pod for life in going_on)
        return live

    def _catalogue(self, rows: slice, detailed: bool) -> tuple[dict[Series, Floats], dict[Series, Floats]]:
        """Growth of counters, and levels, of a ready pod in the given rows."""
        part = _rows(self.flow, rows)
        step = self.plan.step_seconds
        if not detailed:
            return catalogue.finished_increases(part, step), catalogue.queue_levels(self.service, part)
        levels = catalogue.pressure_levels(part) | catalogue.device_levels(self.service, part)
        return catalogue.detail_increases(self.service, part, step), levels

    def _pod_tracks(self, offset: int, counters: dict[Series, Floats], levels: dict[Series, Floats]) -> Iterator[Track]:
        for life in self.lives:
            first, end = max(life.first - offset, 0), life.end - offset
            if end <= first:
                continue
            for key, grown in counters.items():
                named = catalogue.of_pod(key, self.service, life.pod.name, life.pod.node)
                yield self._track(named, first + offset, np.cumsum(grown[first:end]))
            for key, level in levels.items():
                named = catalogue.of_pod(key, self.service, life.pod.name, life.pod.node)
                yield self._track(named, first + offset, level[first:end])

    def _track(self, key: Series, first: int, values: Floats) -> Track:
        rows = slice(first, first + len(values))
        known = self.is_measured[rows]
        return Track(key, self.times_seconds[rows][known], catalogue.told(values[known]))

    def _detail_start(self) -> int:
        return int(np.searchsorted(self.times_seconds, self.plan.detail_since_seconds))


def replay(service: Service, demand: Demand, plan: PastPlan, until_seconds: float, living: Sequence[Pod] = ()) -> Past:
    """Run the service from the plan's start to `until_seconds`.

    `living` are the pods of the real Deployment, if there is one already: the last pods of the past get their names
    and nodes, so that their counters simply go on.
    """
    step = plan.step_seconds
    count = int((until_seconds - plan.start_seconds) // step)
    times = np.asarray(plan.start_seconds + step * np.arange(1, count + 1), dtype=np.float64)
    arrivals = demand.sample(np.asarray(times - step / 2))
    ready = _reactive(service, plan, arrivals)
    return Past(
        service=service,
        demand=demand,
        plan=plan,
        times_seconds=times,
        flow=flow_over(service.replica, arrivals, ready, step),
        is_measured=np.isfinite(arrivals),
        lives=tuple(_lives(service, ready.astype(np.int64), living)),
    )


def _reactive(service: Service, plan: PastPlan, arrivals_per_second: Floats) -> Floats:
    """Ready replicas of a reactive scaler.

    It wants the demand of the last step over 70 % of capacity; goes down only when that held for the whole window; and
    what it adds is ready after the start-up: it must have been wanted throughout.
    """
    known = np.nan_to_num(arrivals_per_second)  # a gap in the record looks like silence here; the window bridges it
    before = np.concatenate([known[:1], known[:-1]])
    wanted = np.ceil(before / (plan.target_fraction * service.replica.capacity_per_second))
    wanted = np.clip(wanted, plan.min_replicas, plan.max_replicas)
    kept = _trailing(maximum_filter1d, wanted, plan.stabilization_seconds / plan.step_seconds)
    return _trailing(minimum_filter1d, kept, plan.startup_seconds / plan.step_seconds)


def _trailing(filter1d: Callable[..., Any], values: Floats, steps: float) -> Floats:
    """A running extreme over the current and the `steps` previous values."""
    size = round(steps) + 1
    return np.asarray(filter1d(values, size=size, origin=(size - 1) // 2, mode="nearest"))


def _lives(service: Service, ready: np.ndarray, living: Sequence[Pod]) -> Iterator[Life]:
    """Pod i is there while more than i are ready; each time it comes back it has a new name, as from a ReplicaSet."""
    for slot in range(int(ready.max(initial=0))):
        is_there = np.concatenate([[0], (ready > slot).astype(np.int8), [0]])
        edges = np.flatnonzero(np.diff(is_there))
        for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            pod = _pod(service, slot, first)
            if end == len(ready) and slot < len(living):
                pod = living[slot]
            yield Life(pod, first, end)


def _pod(service: Service, slot: int, first: int) -> Pod:
    digest = hashlib.sha256(f"{service.key}/{slot}/{first}".encode()).digest()
    letters = "".join(_HASH_ALPHABET[byte % len(_HASH_ALPHABET)] for byte in digest)
    template = hashlib.sha256(service.key.encode()).digest()
    replica_set = "".join(_HASH_ALPHABET[byte % len(_HASH_ALPHABET)] for byte in template[:9])
    return Pod(f"{service.name}-{replica_set}-{letters[:5]}", node=f"gpu-node-{slot // 8}", is_ready=True)


def _rows(whole: Flow, rows: slice | int) -> Flow:
    return Flow(
        whole.arrived_per_second[rows],
        whole.served_per_second[rows],
        whole.dropped_per_second[rows],
        whole.backlog[rows],
        whole.ready[rows],
        whole.utilization_fraction[rows],
    )
