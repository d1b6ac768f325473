"""Users' own queries, many in one request: 500 requests take 0.6 s of a core, the eight that ask the same 0.03 s.

Each query is tagged with its place and the tagged ones are joined,

    label_replace((sum(rate(a[1m]))), "kcloud_query_5f1d", "0", "", "") or
    label_replace((sum(rate(b[1m]))), "kcloud_query_5f1d", "1", "", "")

so that an answer says whose it is. A query must not change its neighbours' answers: only what was rendered from a
parsed tree is joined, only with others of its namespace, and the tag's name is drawn anew for each request. Where the
server refuses a request, takes too long over it or answers with too much, its queries are asked in smaller requests,
in the same cycle; one that answers with too much by itself is left out for a while that grows.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from kcloud_autoscale.api.promql import quoted
from kcloud_autoscale.observe.prometheus_response import Point, PrometheusError, Row, TooLargeError
from kcloud_autoscale.observe.promql import MAX_QUERY_LENGTH
from kcloud_autoscale.observe.tenant_queries import TenantQuery

S = TypeVar("S", Point, Row)

TAG_PREFIX = "kcloud_query_"
TAG = re.compile(rf"{TAG_PREFIX}[0-9a-f]{{16}}")
_OR = " or "
# The server compares each series of a join with all before it: 64 of them with 2,000, 500 with 125,000.
MOST_TOGETHER = 64
# How long those are asked alone who were in a request that failed.
ALONE_SECONDS = 600.0
# A query that gives too much is left out for a minute, then two, … then an hour at most.
FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class _Pause:
    until_seconds: float
    length_seconds: float
    error: TooLargeError


@dataclass(slots=True)
class IsolatedQueries:
    """Queries that are asked alone for now, and those that are not asked for now, kept from cycle to cycle.

    Attributes:
        until_seconds: Unix time until when a query is asked alone.
        pauses: Of queries that gave too much.
    """

    until_seconds: dict[TenantQuery, float] = field(default_factory=dict)
    pauses: dict[TenantQuery, _Pause] = field(default_factory=dict)

    def add(self, queries: Iterable[TenantQuery], now_seconds: float) -> None:
        """From now on, for a while."""
        self.until_seconds.update(dict.fromkeys(queries, now_seconds + ALONE_SECONDS))

    def at(self, now_seconds: float) -> Collection[TenantQuery]:
        """Those of this instant; the others are forgotten. A clock that was set back forgets them all."""
        known = self.until_seconds
        self.until_seconds = {query: at for query, at in known.items() if 0.0 < at - now_seconds <= ALONE_SECONDS}
        # One that gave too much is not tried out on others when its pause is over; one that is gone is forgotten.
        self.pauses = {q: p for q, p in self.pauses.items() if now_seconds - p.until_seconds <= LONGEST_PAUSE_SECONDS}
        return self.until_seconds.keys() | self.pauses.keys()

    def pause(self, query: TenantQuery, error: TooLargeError, now_seconds: float) -> TooLargeError:
        """Leave the query out, twice as long as the last time; the error then says until when."""
        last = self.pauses.get(query)
        length = min(2.0 * last.length_seconds, LONGEST_PAUSE_SECONDS) if last else FIRST_PAUSE_SECONDS
        until = datetime.fromtimestamp(now_seconds + length, UTC).strftime("%H:%M:%SZ")
        self.pauses[query] = _Pause(
            now_seconds + length, length, TooLargeError(f"{error}; it is not asked again before {until}")
        )
        return self.pauses[query].error

    def paused(self, query: TenantQuery, now_seconds: float) -> TooLargeError | None:
        """Why a query is left out at this instant; None when it is to be asked."""
        pause = self.pauses.get(query)
        if pause is None or not 0.0 < pause.until_seconds - now_seconds <= pause.length_seconds:
            return None
        return pause.error

    def forgive(self, query: TenantQuery) -> None:
        """It has given what a query may give."""
        self.pauses.pop(query, None)


Send = Callable[[str, int], Awaitable[list[S]]]
"""Asks for one text; told how many queries it joins: with others one may not use up all the time there is."""


async def answers_of(
    queries: Collection[TenantQuery],
    send: Send[S],
    isolated: IsolatedQueries,
    now_seconds: float,
    most_together: int = MOST_TOGETHER,
) -> dict[TenantQuery, list[S] | PrometheusError]:
    """All series of each query, or why there are none.

    Args:
        queries: None of them refused.
        send: Of a request.
        isolated: Which to ask alone or not at all; those that turn out to need it are added.
        now_seconds: Unix time of the cycle.
        most_together: Queries in one request.
    """
    found: dict[TenantQuery, list[S] | PrometheusError] = {}

    async def alone(query: TenantQuery) -> None:
        if (paused := isolated.paused(query, now_seconds)) is not None:
            found[query] = paused
            return
        try:
            found[query] = await send(query.text, 1)
            isolated.forgive(query)
        except TooLargeError as error:
            found[query] = isolated.pause(query, error, now_seconds)
        except PrometheusError as error:
            found[query] = error
            if error.transient:
                isolated.add([query], now_seconds)

    async def together(group: Sequence[TenantQuery]) -> None:
        if len(group) == 1:
            await alone(group[0])
            return
        tag = TAG_PREFIX + secrets.token_hex(8)
        try:
            found.update(_by_query(group, tag, await send(joined(group, tag), len(group))))
        except PrometheusError as error:
            parts = _parts(group, error)
            isolated.add((part[0] for part in parts if len(part) == 1), now_seconds)
            await asyncio.gather(*(together(part) for part in parts))

    async def one_by_one(suspects: Collection[TenantQuery]) -> None:
        # Each may take all the time there is, so they have one connection between them.
        for query in suspects:
            await alone(query)

    apart = isolated.at(now_seconds)
    free = sorted((query for query in queries if query not in apart), key=lambda query: (query.namespace, query.text))
    groups = _groups([query for query in free if query.joinable], most_together)
    groups += [[query] for query in free if not query.joinable]
    suspects = [query for query in queries if query in apart]
    await asyncio.gather(one_by_one(suspects), *(together(group) for group in groups))
    return found


def joined(queries: Sequence[TenantQuery], tag: str) -> str:
    """One query for all of them, each with its place in the label ``tag``."""
    return _OR.join(_tagged(query.text, tag, place) for place, query in enumerate(queries))


def _tagged(text: str, tag: str, place: int) -> str:
    return f'label_replace(({text}), {quoted(tag)}, {quoted(str(place))}, "", "")'


def _groups(queries: Iterable[TenantQuery], most: int) -> list[list[TenantQuery]]:
    """As few as are short enough for every server, none of two namespaces."""
    around = len(_OR) + len(_tagged("", TAG_PREFIX + "0" * 16, MOST_TOGETHER))
    groups: list[list[TenantQuery]] = []
    length = 0  # of the last group, joined
    for query in queries:
        length += around + len(query.text)
        last = groups[-1] if groups else []
        fits = length <= MAX_QUERY_LENGTH and len(last) < most
        if last and fits and last[0].namespace == query.namespace:
            last.append(query)
        else:
            groups.append([query])
            length = around + len(query.text)
    return groups


def _parts(group: Sequence[TenantQuery], error: PrometheusError) -> list[Sequence[TenantQuery]]:
    """Halves where the server objects to one of them; else, as when it takes too long, each by itself."""
    if not error.about_query:
        return [[query] for query in group]
    middle = len(group) // 2
    return [group[:middle], group[middle:]]


def _by_query(group: Sequence[TenantQuery], tag: str, series: Sequence[S]) -> dict[TenantQuery, list[S]]:
    """The series of each query, without the tag.

    Raises:
        PrometheusError: A series without it: whoever answered does not know what it was asked.
    """
    found: dict[TenantQuery, list[S]] = {query: [] for query in group}
    for each in series:
        labels = dict(each.labels)
        place = labels.pop(tag, "")
        if not (place.isascii() and place.isdecimal()) or int(place) >= len(group):
            raise PrometheusError(f"a series of a joint query with {tag}={place!r}")
        found[group[int(place)]].append(replace(each, labels=labels))
    return found
