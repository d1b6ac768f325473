"""Users' own queries, many in one request: 500 requests take 0.6 s of a core, the eight that ask the same 0.03 s.

Each query is tagged with its place and the tagged ones are joined,

    label_replace((sum(rate(a[1m]))
    ), "kcloud_query", "0", "", "") or label_replace((sum(rate(b[1m]))
    ), "kcloud_query", "1", "", "")

so that an answer says whose it is. Nobody may suffer from the company: a query that could reach out of its brackets
is asked alone, and where the server refuses a request or takes too long over it, everyone is heard in smaller
company, in the same cycle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kcloud_autoscale.observe.prometheus_response import Point, PrometheusError, Row
from kcloud_autoscale.observe.promql import MAX_QUERY_LENGTH, quote, self_contained

S = TypeVar("S", Point, Row)

TAG = "kcloud_query"
_OR = " or "
# The server compares each series of a join with all before it: 64 of them with 2,000, 500 with 125,000.
MOST_TOGETHER = 64
# How long those are asked alone who were in a request that failed.
ALONE_SECONDS = 600.0


@dataclass(slots=True)
class IsolatedQueries:
    """Queries that are asked alone for now, kept from cycle to cycle: Unix time until when, by text."""

    until_seconds: dict[str, float] = field(default_factory=dict)

    def add(self, texts: Iterable[str], now_seconds: float) -> None:
        """From now on, for a while."""
        self.until_seconds.update(dict.fromkeys(texts, now_seconds + ALONE_SECONDS))

    def at(self, now_seconds: float) -> Collection[str]:
        """Those of this instant; the others are forgotten. A clock that was set back forgets them all."""
        known = self.until_seconds
        self.until_seconds = {text: at for text, at in known.items() if 0.0 < at - now_seconds <= ALONE_SECONDS}
        return self.until_seconds


async def answers_of(
    texts: Collection[str],
    send: Callable[[str, bool], Awaitable[list[S]]],
    isolated: IsolatedQueries,
    now_seconds: float,
    most_together: int = MOST_TOGETHER,
) -> dict[str, list[S] | PrometheusError]:
    """All series of each query, or why there are none.

    Args:
        texts: The queries.
        send: Asks for one text; told whether it is a joint one, which may not use up all the time there is.
        isolated: Whom to ask alone; those who turn out to need it are added.
        now_seconds: Unix time of the cycle.
        most_together: Queries in one request.
    """
    found: dict[str, list[S] | PrometheusError] = {}

    async def alone(text: str) -> None:
        try:
            found[text] = await send(text, False)
        except PrometheusError as error:
            found[text] = error

    async def together(group: Sequence[str]) -> None:
        if len(group) == 1:
            await alone(group[0])
            return
        try:
            found.update(_by_text(group, await send(joined(group), True)))
        except PrometheusError as error:
            parts = _parts(group, error)
            isolated.add((part[0] for part in parts if len(part) == 1), now_seconds)
            await asyncio.gather(*(together(part) for part in parts))

    apart = isolated.at(now_seconds)
    sociable = sorted(text for text in texts if text not in apart and self_contained(text))
    groups = _groups(sociable, most_together) + [[text] for text in set(texts).difference(sociable)]
    await asyncio.gather(*(together(group) for group in groups))
    return found


def joined(texts: Sequence[str]) -> str:
    """One query for all of them, each with its place in the label `TAG`."""
    return _OR.join(_tagged(text, place) for place, text in enumerate(texts))


def _tagged(text: str, place: int) -> str:
    # A comment at the end of a text ends with its line.
    return f'label_replace(({text}\n), "{TAG}", {quote(str(place))}, "", "")'


def _groups(texts: Iterable[str], most: int) -> list[list[str]]:
    """As few as are short enough for every server."""
    groups: list[list[str]] = []
    length = 0  # of the last group, joined
    for text in texts:
        if groups and len(groups[-1]) < most:
            longer = length + len(_OR) + len(_tagged(text, len(groups[-1])))
            if longer <= MAX_QUERY_LENGTH:
                groups[-1].append(text)
                length = longer
                continue
        groups.append([text])
        length = len(_tagged(text, 0))
    return groups


def _parts(group: Sequence[str], error: PrometheusError) -> list[Sequence[str]]:
    """Halves where the server objects to one of them; else, as when it takes too long, each by itself."""
    if not error.about_query:
        return [[text] for text in group]
    middle = len(group) // 2
    return [group[:middle], group[middle:]]


def _by_text(group: Sequence[str], series: Sequence[S]) -> dict[str, list[S]]:
    """The series of each text, without the tag.

    Raises:
        PrometheusError: A series without it: whoever answered does not know what it was asked.
    """
    found: dict[str, list[S]] = {text: [] for text in group}
    for each in series:
        labels = dict(each.labels)
        place = labels.pop(TAG, "")
        if not place.isdecimal() or int(place) >= len(group):
            raise PrometheusError(f"a series of a joint query with {TAG}={place!r}")
        found[group[int(place)]].append(replace(each, labels=labels))
    return found
