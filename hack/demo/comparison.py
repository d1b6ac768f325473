"""What the run came to, read from Prometheus: ours, the real HPA beside it, and the HPA the operator shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hack.demo.prometheus import Floats, query, query_range
from hack.demo.scenario import LATENCY_OBJECTIVE_SECONDS, NAMESPACE, OURS, RATE_WINDOW_SECONDS, SCRAPE_SECONDS, arrivals


@dataclass(frozen=True, slots=True)
class Totals:
    """One side over the whole run."""

    served_within_slo_fraction: float
    replica_minutes: float
    usd: float
    watt_hours: float


def measured(url: str, name: str, start_seconds: float, end_seconds: float) -> Totals:
    """A Deployment that really ran. While Prometheus was away the last values before it count."""
    pods = f'namespace="{NAMESPACE}",pod=~"{name}-.+"'
    drawn = f"last_over_time(DCGM_FI_DEV_POWER_USAGE{{{pods}}}[{SCRAPE_SECONDS + 1}s])"
    held = _bridged(query_range(url, f"count({drawn})", start_seconds, end_seconds, SCRAPE_SECONDS))
    watts = _bridged(query_range(url, f"sum({drawn})", start_seconds, end_seconds, SCRAPE_SECONDS))
    price = query(url, "max(node_gpu_hourly_cost)", end_seconds)
    hours = SCRAPE_SECONDS / 3600
    return Totals(
        served_within_slo_fraction=_served_share(url, name, pods, start_seconds, end_seconds),
        replica_minutes=float(held.sum()) * hours * 60,
        usd=float(held.sum()) * hours * price,
        watt_hours=float(watts.sum()) * hours,
    )


def shadow(url: str, start_seconds: float, end_seconds: float) -> Totals:
    """The operator's own books of the baseline over the same time."""
    served, missed, replica_seconds, usd, joules = (
        _increase(url, name, start_seconds, end_seconds)
        for name in (
            "kcloud_baseline_demand_served_total",
            "kcloud_baseline_demand_missed_total",
            "kcloud_baseline_replica_seconds_total",
            "kcloud_baseline_cost_usd_total",
            "kcloud_baseline_energy_joules_total",
        )
    )
    return Totals(served / (served + missed), replica_seconds / 60, usd, joules / 3600)


def table(rows: dict[str, Totals]) -> str:
    """For the terminal and the README, in that order of columns."""
    lines = [f"{'':26}{'served within SLO':>19}{'replica-minutes':>17}{'USD':>9}{'Wh':>9}"]
    for name, row in rows.items():
        lines.append(
            f"{name:26}{100 * row.served_within_slo_fraction:17.1f} %{row.replica_minutes:17.1f}"
            f"{row.usd:9.3f}{row.watt_hours:9.1f}"
        )
    return "\n".join(lines)


def _served_share(url: str, name: str, pods: str, start_seconds: float, end_seconds: float) -> float:
    """Requests answered within the objective over requests that arrived.

    A counter of a pod begins at its first scrape, so increase() per pod loses what came before: both sides are read
    as rates and summed over time, which forgets the same seconds of both.
    """
    bound = f"{LATENCY_OBJECTIVE_SECONDS:g}"
    buckets = f'vllm:e2e_request_latency_seconds_bucket{{{pods},le=~"{bound}|{bound}.0"}}'
    good = query_range(url, f"sum(rate({buckets}[{RATE_WINDOW_SECONDS}s]))", start_seconds, end_seconds, SCRAPE_SECONDS)
    arrived = query_range(url, arrivals(name), start_seconds, end_seconds, SCRAPE_SECONDS)
    known = np.isfinite(good) & np.isfinite(arrived)
    return float(min(1.0, good[known].sum() / arrived[known].sum()))


def _increase(url: str, metric: str, start_seconds: float, end_seconds: float) -> float:
    selector = f'{metric}{{namespace="{NAMESPACE}",name="{OURS}"}}'
    before, after = query(url, selector, start_seconds), query(url, selector, end_seconds)
    return after - (before if np.isfinite(before) else 0.0)


def _bridged(values: Floats) -> Floats:
    """Each unknown value replaced by the last known one before it."""
    known = np.where(np.isfinite(values), np.arange(len(values)), 0)
    return np.nan_to_num(values[np.maximum.accumulate(known)])
