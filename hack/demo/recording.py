"""The run as Prometheus recorded it."""

from __future__ import annotations

import numpy as np

from hack.demo.picture import Run
from hack.demo.prometheus import query_range
from hack.demo.scenario import NAMESPACE, OURS, SCRAPE_SECONDS, TWIN, Timeline, arrivals


def record(url: str, timeline: Timeline, end_seconds: float) -> Run:
    """Everything the picture and the story need, from a minute before the ramp on."""
    start = timeline.ramp_seconds - 60
    ours = f'namespace="{NAMESPACE}",name="{OURS}"'

    def read(query: str) -> np.ndarray:
        return query_range(url, query, start, end_seconds, SCRAPE_SECONDS)

    # Pods that exist hold their device and draw power; of those only ready ones answer requests.
    existing, ready = pods("DCGM_FI_DEV_POWER_USAGE"), pods("vllm:num_requests_running")
    level = read(f"kcloud_forecast_level{{{ours}}}")
    return Run(
        times_seconds=np.arange(start, end_seconds + 1e-9, SCRAPE_SECONDS),
        demand=read(arrivals(OURS)),
        forecast_low=read(f'kcloud_forecast_demand_per_second{{{ours},quantile="0.5"}}'),
        forecast_high=read(f"kcloud_forecast_needed_demand_per_second{{{ours}}}"),
        ours_desired=read(f"kcloud_desired_replicas{{{ours}}}"),
        ours_ready=read(ready.format(OURS)),
        twin_desired=read(existing.format(TWIN)),
        twin_ready=read(ready.format(TWIN)),
        capped_replicas=np.floor(
            read(f'kcloud_cap_limit{{{ours},cap="maxPowerUsage"}} / on (namespace, name) kcloud_replica_power_watts')
        ),
        level=float(np.nanmedian(level)),
    )


def pods(metric: str) -> str:
    """PromQL: how many pods of the Deployment ``{}`` show the metric now.

    Not up to five minutes ago, as a plain selector would say: the last pods of the history have no end of their own.
    """
    selector = f"{metric}{{{{namespace='{NAMESPACE}',pod=~'{{}}-.+'}}}}"
    return f"count(present_over_time({selector}[{SCRAPE_SECONDS + 1}s]))"
