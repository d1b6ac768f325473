"""The story: what happens when. Every duration is a tenth of a production one, for both sides and for the load.

| | production | here |
|---|---|---|
| pod start-up (image pull, model load) | 180 s | 18 s |
| our cycle and history step | 60 s | 6 s |
| HPA sync period | 15 s | 1.5 s |
| scale-down stabilization window | 300 s | 30 s |
| scrape interval | 20 s | 2 s |
| a day of the load | 24 h | 2 h 24 min |
| the morning wave: rise, hold, fall | 6, 7, 3 min | 36, 42, 18 s |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

NAMESPACE = "demo"
OURS = "ours"
TWIN = "hpa-twin"

TIME_SCALE = 10
DAY_SECONDS = 8_640.0
CYCLE_SECONDS = 6
SCRAPE_SECONDS = 2
HPA_SYNC_SECONDS = 1.5
WINDOW_SECONDS = 30
STARTUP_SECONDS = 18
RATE_WINDOW_SECONDS = 8

CAPACITY_PER_REPLICA = 10.0  # requests per second
HPA_TARGET_FRACTION = 0.7
MIN_REPLICAS, MAX_REPLICAS = 2, 20
LATENCY_OBJECTIVE_SECONDS = 5.0  # a bound of the latency histogram
HISTORY_DAYS = 14  # of the load's days


@dataclass(frozen=True, slots=True)
class Timeline:
    """Unix times of the turns of the story, fixed by when the ramp starts."""

    RISE_SECONDS: ClassVar[float] = 36.0
    HOLD_SECONDS: ClassVar[float] = 42.0
    FALL_SECONDS: ClassVar[float] = 18.0
    # A scheduled batch: from day to day it begins up to 3 s early or late, half a minute in production time.
    JITTER_SECONDS: ClassVar[float] = 1.5

    ramp_seconds: float

    @property
    def blind_from(self) -> float:
        """Prometheus is stopped: on the plateau, when a fall of the count would hurt most."""
        return self.ramp_seconds + 48

    @property
    def blind_until(self) -> float:
        return self.blind_from + 14

    @property
    def cap_lowered(self) -> float:
        """The power cap falls while the window still holds the wave's count: a cap does not wait for it."""
        return self.ramp_seconds + 88

    @property
    def calm(self) -> float:
        """The wave has passed."""
        return self.ramp_seconds + self.RISE_SECONDS + self.HOLD_SECONDS + self.FALL_SECONDS

    @property
    def end(self) -> float:
        return self.calm + WINDOW_SECONDS + 3 * CYCLE_SECONDS


def arrivals(name: str, namespace: str = NAMESPACE) -> str:
    """PromQL: requests per second that reach a Deployment, answered or not. The HPA scales on this very signal."""
    labels = f'reporter="destination",destination_workload_namespace="{namespace}",destination_workload="{name}"'
    return f"sum(rate(istio_requests_total{{{labels}}}[{RATE_WINDOW_SECONDS}s]))"
