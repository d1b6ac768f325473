"""The past of a Prometheus as demand to replay or to forecast."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kcloud_autoscale.cli.options import DEFAULT_DAYS, positive
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.units import SECONDS_PER_DAY
from kcloud_autoscale.observe.coverage import away_from_gaps, looked_back_steps
from kcloud_autoscale.observe.prometheus import MAX_POINTS, Prometheus, PrometheusSettings
from kcloud_autoscale.observe.prometheus_response import ResponseBound, Row
from kcloud_autoscale.simulate.event_log import MOST_STEPS
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.traces import DEFAULT_STEP_SECONDS, check_step, unknown_steps

# A sample stands for its series as long as it does for the operator (MAX_METRIC_AGE_SECONDS). Prometheus by itself
# repeats a last value for 300 s, and would fill the beginning of every gap with demand nobody measured.
_MAX_AGE_SECONDS = 180.0
# A query of one's own command line may be as large as the machine bears: 700 series of 10,000 steps.
_BOUND = ResponseBound(body_bytes=256 * 2**20)


def from_options(args: argparse.Namespace, now_seconds: float) -> list[Trace]:
    """What the options of `kcloud_autoscale.cli.options.add_prometheus` ask for.

    Raises:
        ConfigError: ``--query`` is missing, or gives nothing.
        ObservationError: Prometheus cannot be asked, or refuses.
    """
    if not args.query:
        raise ConfigError("--prometheus needs --query")
    days, step = positive(args.days, "--days") or DEFAULT_DAYS, positive(args.step_seconds, "--step-seconds")
    return all_of_prometheus(args.prometheus, args.query, days, step, now_seconds, args.prometheus_token_file)


def from_prometheus(
    url: str, query: str, days: float, step_seconds: float | None, now_seconds: float, token_file: Path | None = None
) -> Trace:
    """The last days of a query's one series; arguments and errors as for `all_of_prometheus`."""
    return only(all_of_prometheus(url, query, days, step_seconds, now_seconds, token_file), query)


def only(traces: Sequence[Trace], query: str) -> Trace:
    """The one series of a query.

    Raises:
        ConfigError: There are several; names some.
    """
    if len(traces) != 1:
        shown = "; ".join(each.name for each in traces[:3])
        raise ConfigError(f"the query gives {len(traces)} series, one is needed: {shown}: {query}")
    return replace(traces[0], name=query)


def all_of_prometheus(
    url: str, query: str, days: float, step_seconds: float | None, now_seconds: float, token_file: Path | None = None
) -> list[Trace]:
    """The last days of each of a query's series, up to the last whole step; named by their labels, else by the query.

    Args:
        url: Base address.
        query: PromQL of the demand, load per second. Its value at the end of a step stands for the step.
        days: How far back.
        step_seconds: Spacing; a minute unless given.
        now_seconds: Unix time.
        token_file: File with a bearer token.

    Raises:
        ConfigError: The query gives no series.
        ObservationError: Prometheus cannot be asked, or refuses.
    """
    step = step_seconds or DEFAULT_STEP_SECONDS
    check_step(query, step)
    asked = days * SECONDS_PER_DAY / step
    if not 0.5 < asked <= MOST_STEPS:
        bound = "at least 1 is needed" if asked < 1.0 else f"at most {MOST_STEPS} can be used"
        raise ConfigError(f"{days:g} days hold {asked:.0f} steps of {step:g} s, {bound}")
    steps = round(asked)
    end = math.floor(now_seconds / step) * step
    # Beside a gap a rate over five minutes sees a part of them: as for the operator, such steps are unknown. So those
    # before the first are read too.
    back = looked_back_steps(query, step)
    start = end - (steps + back) * step
    if start < 0.0:
        raise ConfigError(f"{days:g} days reach back before 1970")
    rows = asyncio.run(_asked(PrometheusSettings(url, token_file=token_file), query, start, end, step))
    if not rows:
        raise ConfigError(f"the query gives no series in the last {days:g} days: {query}")
    series: dict[str, FloatArray] = {}
    for row in rows:
        demand = series.setdefault(_notation(row.labels) or query, np.full(steps + back, np.nan))
        # A value at the end of a step belongs to the step that ends there.
        demand[np.round((row.times - start) / step).astype(np.int64) - 1] = row.values
    return [_trace(name, start, step, demand, back) for name, demand in sorted(series.items())]


def _notation(labels: Mapping[str, str]) -> str:
    """Labels as Prometheus writes them: ``up{job="node"}``; empty where there are none."""
    pairs = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return labels.get("__name__", "") + (f"{{{pairs}}}" if pairs else "")


def _trace(name: str, start: float, step: float, values: FloatArray, back: int) -> Trace:
    """What cannot be demand is unknown, and said; the first ``back`` values only tell what the others look back on."""
    repairs = unknown_steps(values[back:])
    impossible = np.isfinite(values) & (values < 0.0) | np.isinf(values)
    values[impossible] = np.nan
    if impossible.any():
        repairs.append(f"{int(impossible.sum())} negative or infinite values are unknown")
    demand = away_from_gaps(values, back)[back:]
    if beside := int((np.isfinite(values[back:]) & np.isnan(demand)).sum()):
        repairs.append(f"{beside} steps beside gaps are unknown: the query looks back over {back} steps")
    digest = hashlib.sha256(demand.tobytes()).hexdigest()
    return Trace(name, start + back * step, step, demand, digest, tuple(repairs))


async def _asked(settings: PrometheusSettings, query: str, start: float, end: float, step: float) -> list[Row]:
    """All steps, in as many range queries as the limit on points asks for."""
    prometheus = Prometheus(settings)
    rows: list[Row] = []
    try:
        at = start + step
        while at <= end:
            until = min(end, at + (MAX_POINTS - 1) * step)
            rows += await prometheus.query_range(
                query, at, until, step, lookback_seconds=_MAX_AGE_SECONDS, bound=_BOUND
            )
            at = until + step
    finally:
        prometheus.close()
    return rows
