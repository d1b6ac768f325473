"""How old the samples are that users' own queries were answered from, and whether they fill what a rate looks back on.

A rate over two minutes whose series have gone falls for two minutes before it is gone as well: 200 requests per second
read 150, 99, 50. Nothing in the answer tells. So the times of the newest samples of each selector are asked for beside
it, all through its range: they say how often it is scraped, whether scrapes go on, and since when there are any.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.api.promql import Selector
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.observe.coverage import covered_now
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.tenant_queries import TenantQuery

# Instants in a range at which the newest sample is looked at: a range of two minutes every 10 s. What is scraped more
# often than that counts as scraped that often, so that a twelfth of a range and a half may go unseen.
INSTANTS = 12
# Of a selector without a range, to tell how often it is scraped.
_GAUGE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """What an answer was computed from.

    Attributes:
        newest_seconds: Unix time of the newest sample, of the selector whose is oldest; None where nobody knows.
        unfilled: A range that samples do not fill, in words; empty where all do.
    """

    newest_seconds: float | None = None
    unfilled: str = ""


async def freshness(asker: QuerySession, queries: Collection[TenantQuery]) -> dict[TenantQuery, Freshness]:
    """Of each query. A selector that has no sample at all, or that the server does not take, tells nothing."""
    times = await _newest({(query.namespace, each) for query in queries for each in query.selectors}, asker)
    return {
        query: _freshness([(each, times[query.namespace, each]) for each in query.selectors], asker)
        for query in queries
    }


async def _newest(
    wanted: Collection[tuple[str, Selector]], asker: QuerySession
) -> Mapping[tuple[str, Selector], FloatArray]:
    """Unix times of the newest samples at `INSTANTS` + 1 instants of each range, NaN for none; by namespace."""
    by_range: defaultdict[float, dict[TenantQuery, tuple[str, Selector]]] = defaultdict(dict)
    for namespace, selector in wanted:
        query = TenantQuery(namespace, f"max(timestamp({selector.text}))")
        by_range[selector.back_seconds][query] = (namespace, selector)
    found: dict[tuple[str, Selector], FloatArray] = {}

    async def ask(back: float, asked: Mapping[TenantQuery, tuple[str, Selector]]) -> None:
        span = _span(back, asker.now_seconds)
        for query, times in (await asker.own_steps(asked.keys(), span, "age")).items():
            found[asked[query]] = np.full(span.steps, np.nan) if isinstance(times, Missing) else times

    await asyncio.gather(*(ask(*each) for each in by_range.items()))
    return found


def _span(back_seconds: float, now_seconds: float) -> Span:
    apart = (back_seconds or _GAUGE_SECONDS) / INSTANTS
    return Span(now_seconds - (INSTANTS + 1) * apart, INSTANTS + 1, apart)


def _freshness(known: Collection[tuple[Selector, FloatArray]], asker: QuerySession) -> Freshness:
    newest: float | None = None
    unfilled = ""
    for look, times in known:
        if not np.isfinite(times).any():
            continue
        last = min(float(np.nanmax(times)), asker.now_seconds)
        newest = last if newest is None else min(newest, last)
        if look.back_seconds and not _fills(times, _span(look.back_seconds, asker.now_seconds).ends):
            unfilled = f"samples do not fill the {look.back_seconds:g} s that {look.text} looks back over"
    return Freshness(newest, unfilled)


def _fills(newest: FloatArray, at_seconds: FloatArray) -> bool:
    """Whether samples came in all through a range, at the spacing they themselves tell.

    One that is scraped more rarely than its range is long is taken at its word: nothing can be told of it.
    """
    distinct = np.unique(newest[np.isfinite(newest)])
    if len(distinct) < 2:
        return bool(np.isfinite(newest[0]))
    return covered_now(newest, at_seconds, float(np.median(np.diff(distinct))))
