"""A service as it is now: what its counters have come to, and how they grow while time passes and pods come and go."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import SupportsFloat

import numpy as np

from hack.load import service as catalogue
from hack.load.demand import Demand
from hack.load.queueing import Flow, Replica, flow_of, serve
from hack.load.service import Series, Service

# Demand and readiness are followed this finely, whatever the scrape interval.
_STEP_SECONDS = 1.0
# After a longer pause (a stopped process, a suspended laptop) the time before is skipped, not caught up with.
_LONGEST_CATCH_UP_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Pod:
    """What the exporter must know of a pod."""

    name: str
    node: str
    is_ready: bool


@dataclass(slots=True)
class LiveService:
    """Advances one service through time. The clock is the caller's; counters only grow, and end with their pod."""

    service: Service
    demand: Demand
    now_seconds: float
    backlog: float = 0.0
    front_door: dict[Series, float] = field(default_factory=dict)
    by_pod: dict[str, dict[Series, float]] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    flow: Flow = field(default_factory=lambda: flow_of(Replica(), 0, 0, 0, 0, 0))  # of the last second

    def __post_init__(self) -> None:
        self._grow_front_door(0.0)

    @property
    def is_measured(self) -> bool:
        """Whether the demand of this moment is known; in a gap nothing is exported."""
        return bool(np.isfinite(self.demand.sample(np.array([self.now_seconds]))[0]))

    def follow(self, pods: Iterable[Pod]) -> None:
        """Take note of the pods there are. Those that are gone take their counters with them."""
        self.pods = {pod.name: pod for pod in pods}
        self.by_pod = {name: grown for name, grown in self.by_pod.items() if name in self.pods}

    def advance(self, until_seconds: float) -> None:
        """Let time pass up to the given instant, a second at a time."""
        self.now_seconds = max(self.now_seconds, until_seconds - _LONGEST_CATCH_UP_SECONDS)
        while self.now_seconds < until_seconds:
            step_seconds = min(_STEP_SECONDS, until_seconds - self.now_seconds)
            arrivals = float(self.demand.sample(np.array([self.now_seconds + step_seconds / 2]))[0])
            if np.isfinite(arrivals):
                self._pass(arrivals, step_seconds)
            self.now_seconds += step_seconds

    def samples(self) -> dict[Series, float]:
        """Every series of the service and its pods at this moment."""
        shown = dict(self.front_door)
        devices = catalogue.device_levels(self.service, self.flow)
        levels = catalogue.queue_levels(self.service, self.flow) | catalogue.pressure_levels(self.flow) | devices
        # A pod that is not ready loads its model: it holds the device at idle power, and nothing answers yet.
        idle = catalogue.device_levels(self.service, flow_of(self.service.replica, 0, 0, 0, 0, 1))
        for pod in self.pods.values():
            values: Mapping[Series, SupportsFloat] = idle if pod.node else {}
            if pod.is_ready:
                values = {**self.by_pod.get(pod.name, {}), **levels}
            shown |= {catalogue.of_pod(key, self.service, pod.name, pod.node): float(v) for key, v in values.items()}
        return {key: float(catalogue.told(value)) for key, value in shown.items()}

    def _pass(self, arrivals_per_second: float, step_seconds: float) -> None:
        ready = [pod.name for pod in self.pods.values() if pod.is_ready]
        replica = self.service.replica
        served, dropped, self.backlog = serve(replica, arrivals_per_second, len(ready), self.backlog, step_seconds)
        self.flow = flow_of(replica, arrivals_per_second, served, dropped, self.backlog, len(ready))
        self._grow_front_door(step_seconds)
        grown = catalogue.finished_increases(self.flow, step_seconds)
        grown |= catalogue.detail_increases(self.service, self.flow, step_seconds)
        for name in ready:
            _add(self.by_pod.setdefault(name, {}), grown)

    def _grow_front_door(self, step_seconds: float) -> None:
        _add(self.front_door, catalogue.front_door_increases(self.service, self.flow, step_seconds))


def _add(counters: dict[Series, float], increases: dict[Series, np.ndarray]) -> None:
    for key, increase in increases.items():
        counters[key] = counters.get(key, 0.0) + float(increase)
