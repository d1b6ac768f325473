"""The demand to replay, from where `simulate` is told to take it: a file, or the past of a Prometheus."""

from __future__ import annotations

import asyncio
import hashlib
import math
from pathlib import Path

import numpy as np

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.units import SECONDS_PER_DAY
from kcloud_autoscale.observe.answer import Row
from kcloud_autoscale.observe.prometheus import MAX_POINTS, Prometheus, PrometheusSettings
from kcloud_autoscale.simulate.traces import DEFAULT_STEP_SECONDS, Trace

# A sample stands for its series as long as it does for the operator (MAX_METRIC_AGE_SECONDS). Prometheus by itself
# repeats a last value for 300 s, and would fill the beginning of every gap with demand nobody measured.
_MAX_AGE_SECONDS = 180.0


def from_prometheus(
    url: str, query: str, days: float, step_seconds: float | None, now_seconds: float, token_file: Path | None = None
) -> Trace:
    """The last days of a query's one series, up to the last whole step.

    Args:
        url: Base address.
        query: PromQL of the demand, load per second. Its value at the end of a step stands for the step.
        days: How far back.
        step_seconds: Spacing; a minute unless given.
        now_seconds: Unix time.
        token_file: File with a bearer token.

    Raises:
        ConfigError: The query gives none or several series.
        ObservationError: Prometheus cannot be asked, or refuses.
    """
    step = step_seconds or DEFAULT_STEP_SECONDS
    steps = round(days * SECONDS_PER_DAY / step)
    if steps < 1:
        raise ConfigError(f"{days:g} days hold no step of {step:g} s")
    end = math.floor(now_seconds / step) * step
    start = end - steps * step
    rows = asyncio.run(_asked(PrometheusSettings(url, token_file=token_file), query, start, end, step))
    labels = {tuple(sorted(row.labels.items())) for row in rows}
    if len(labels) != 1:
        shown = "; ".join(str(dict(each)) for each in sorted(labels)[:3])
        raise ConfigError(
            f"the query gives {len(labels)} series, one is needed{': ' + shown if shown else ''}: {query}"
        )
    demand = np.full(steps, np.nan)
    for row in rows:
        # A value at the end of a step belongs to the step that ends there.
        demand[np.round((row.times - start) / step).astype(np.int64) - 1] = row.values
    impossible = np.isfinite(demand) & (demand < 0.0) | np.isinf(demand)
    demand[impossible] = np.nan
    repairs = (f"{int(impossible.sum())} negative or infinite values are unknown",) if impossible.any() else ()
    return Trace(query, start, step, demand, hashlib.sha256(demand.tobytes()).hexdigest(), repairs)


async def _asked(settings: PrometheusSettings, query: str, start: float, end: float, step: float) -> list[Row]:
    """All steps, in as many range queries as the limit on points asks for."""
    prometheus = Prometheus(settings)
    rows: list[Row] = []
    try:
        at = start + step
        while at <= end:
            until = min(end, at + (MAX_POINTS - 1) * step)
            rows += await prometheus.query_range(query, at, until, step, lookback_seconds=_MAX_AGE_SECONDS)
            at = until + step
    finally:
        prometheus.close()
    return rows
