"""The story: what happens when. Every duration is a tenth of a production one, for both sides and for the load.

| | production | here |
|---|---|---|
| pod start-up (image pull, model load) | 240 s | 24 s |
| our cycle and history step | 60 s | 6 s |
| HPA sync period | 15 s | 1.5 s |
| scale-down stabilization window | 300 s | 30 s |
| scrape interval | 15 s | 1.5 s |
| a day of the load | 24 h | 2 h 24 min |
| the morning wave: rise, hold, fall | 6, 8, 4 min | 36, 48, 24 s |
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
SCRAPE_SECONDS = 1.5
HPA_SYNC_SECONDS = 1.5
WINDOW_SECONDS = 30
STARTUP_SECONDS = 24
RATE_WINDOW_SECONDS = 6

CAPACITY_PER_REPLICA = 10.0  # requests per second
HPA_TARGET_FRACTION = 0.7
MIN_REPLICAS, MAX_REPLICAS = 2, 20
LATENCY_OBJECTIVE_SECONDS = 5.0  # a bound of the latency histogram
HISTORY_DAYS = 14  # of the load's days


@dataclass(frozen=True, slots=True)
class Timeline:
    """Unix times of the turns of the story, fixed by when the ramp starts."""

    RISE_SECONDS: ClassVar[float] = 36.0
    HOLD_SECONDS: ClassVar[float] = 48.0
    FALL_SECONDS: ClassVar[float] = 24.0

    ramp_seconds: float

    @property
    def operator_by(self) -> float:
        """The operator must run by then, or it had no chance to see the ramp coming."""
        return self.ramp_seconds - STARTUP_SECONDS - 2 * CYCLE_SECONDS

    @property
    def blind_from(self) -> float:
        """Prometheus is stopped: on the plateau, when a fall of the count would hurt most."""
        return self.ramp_seconds + 45

    @property
    def blind_until(self) -> float:
        return self.blind_from + 16

    @property
    def cap_lowered(self) -> float:
        """The power cap falls while the demand still holds the count up."""
        return self.ramp_seconds + 78

    @property
    def calm(self) -> float:
        """The wave has passed."""
        return self.ramp_seconds + self.RISE_SECONDS + self.HOLD_SECONDS + self.FALL_SECONDS

    @property
    def end(self) -> float:
        return self.calm + WINDOW_SECONDS + 4 * CYCLE_SECONDS


def arrivals(name: str, window_seconds: float = RATE_WINDOW_SECONDS) -> str:
    """PromQL: requests per second that reach a Deployment, answered or not. The HPA scales on this very signal."""
    labels = f'reporter="destination",destination_workload_namespace="{NAMESPACE}",destination_workload="{name}"'
    return f"sum(rate(istio_requests_total{{{labels}}}[{window_seconds:g}s]))"
