"""One cycle's questions to Prometheus: all under one deadline, failures as values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from kcloud_autoscale.domain.bounds import LOAD, Bound
from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.fetch import Build, Subject, ask, hand_out, only, selections
from kcloud_autoscale.observe.history import Span, on_grid
from kcloud_autoscale.observe.prometheus_response import (
    DEFAULT_BOUND,
    Point,
    PrometheusError,
    ResponseBound,
    Row,
    TooLargeError,
    shown,
)
from kcloud_autoscale.observe.promql import Selection
from kcloud_autoscale.observe.query_batching import MOST_TOGETHER, IsolatedQueries, answers_of
from kcloud_autoscale.observe.tenant_queries import TenantQuery

K = TypeVar("K")
S = TypeVar("S", Point, Row)

# Samples of one answer: 400,000 are 11 MB of text and 40 series of a week at a minute each.
MAX_SAMPLES = 400_000
MAX_NAMES = 500
# Of users' own queries, whose cost nobody knows: the few steps since the last cycle are asked for together, a history
# is not.
MAX_JOINT_SAMPLES = 1000

# Bounds of answers. A sample is `[1700000000.123,"12345.678901234567"],` at most.
SAMPLE_BYTES = 48
OWN_SERIES = 10
OWN_BYTES = 64 * 1024
OWN_SERIES_BYTES = 8 * 1024
GROUPED_SERIES = 1000
GROUPED_BYTES = 2**20
SERIES_BYTES = 512
PODS_EACH = 5


class Source(Protocol):
    """What is needed of `prometheus.Prometheus`."""

    async def query(
        self,
        promql: str,
        at_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Point]: ...

    async def query_range(
        self,
        promql: str,
        start_seconds: float,
        end_seconds: float,
        step_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Row]: ...

    async def samples(self, selector: str, at_seconds: float, timeout_seconds: float | None = None) -> list[Row]: ...


@dataclass(slots=True)
class QuerySession:
    """Asks for one instant, within one budget of time.

    Attributes:
        source: Prometheus.
        now_seconds: The instant.
        limit_seconds: For everything asked through this object, from its creation on.
        max_age_seconds: An older sample does not stand for its series. An instant vector has the age of the query, so
            the server itself must leave out what is too old: by default it repeats a last value for 300 s.
        isolated: Users' own queries that are asked alone, or not for now.
        isolated_steps: The same of their steps: what is one series at an instant may be many in two weeks.
    """

    source: Source
    now_seconds: float
    limit_seconds: float
    max_age_seconds: float | None = None
    isolated: IsolatedQueries = field(default_factory=IsolatedQueries)
    isolated_steps: IsolatedQueries = field(default_factory=IsolatedQueries)
    _deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.limit_seconds

    @property
    def left_seconds(self) -> float:
        """Until the budget is used up; a little above 0 afterwards, so that questions fail at once and say why."""
        return max(self._deadline - time.monotonic(), 0.001)

    async def series(self, promql: str, what: str, lasting: bool = False) -> list[Point] | Missing:
        """All series of a query at this instant; ``lasting`` ones, as prices, stand until they are replaced."""
        try:
            return await (self._send_lasting(promql) if lasting else self._send(promql))
        except ObservationError as error:
            return Missing(MissingReason.SOURCE_ERROR, f"{what}: {error}")

    async def own(self, queries: Collection[TenantQuery], what: str) -> dict[TenantQuery, Point | Missing]:
        """The one series of each of some users' own queries."""

        async def send(text: str, count: int) -> list[Point]:
            limit, bound = self._limit_seconds(count), _own_bound(count, 1)
            return await self.source.query(text, self.now_seconds, limit, self.max_age_seconds, bound)

        answers = await answers_of(_sent(queries), send, self.isolated, self.now_seconds)
        return {query: self._only(query, answers.get(query), what) for query in queries}

    async def grouped(self, build: Build, subjects: Sequence[Subject], what: str) -> dict[WorkloadKey, Point | Missing]:
        """One value per workload."""

        async def part(selection: Selection, members: Sequence[Subject]) -> dict[WorkloadKey, Point | Missing]:
            bound = _grouped_bound(len(members), 1)
            return hand_out(await ask(build, selection, partial(self._send, bound=bound)), members, what)

        parts = await asyncio.gather(*(part(*each) for each in selections(subjects, MAX_NAMES)))
        return {key: each for found in parts for key, each in found.items()}

    async def grouped_lists(self, build: Build, subjects: Sequence[Subject], what: str) -> list[Point] | Missing:
        """All series of the selected workloads, as when there is one per pod; Missing when any part failed."""
        found, failed = await self.grouped_series(build, subjects, what)
        return Missing(MissingReason.SOURCE_ERROR, next(iter(failed.values()))) if failed else found

    async def grouped_series(
        self, build: Build, subjects: Sequence[Subject], what: str
    ) -> tuple[list[Point], dict[str, str]]:
        """All series of the selected workloads, and why there are none of some, by the name of the scaled object."""
        found: list[Point] = []
        failed: dict[str, str] = {}
        for selection, members in selections(subjects, MAX_NAMES):
            bound = _grouped_bound(PODS_EACH * len(members), 1)
            for part, each in await ask(build, selection, partial(self._send, bound=bound)):
                if isinstance(each, ObservationError):
                    failed.update(dict.fromkeys(part.names, f"{what}: {each}"))
                else:
                    found += each
        return found, failed

    async def grouped_steps(
        self, build: Build, subjects: Sequence[Subject], span: Span, what: str
    ) -> dict[WorkloadKey, FloatArray | Missing]:
        """Values per step of each workload; all NaN where the source has nothing."""

        async def chunk(part: Span) -> dict[WorkloadKey, Row | Missing]:
            found: dict[WorkloadKey, Row | Missing] = {}
            most_names = min(MAX_NAMES, max(1, MAX_SAMPLES // part.steps))
            for selection, members in selections(subjects, most_names):
                bound = _grouped_bound(len(members), part.steps)
                answers = await ask(build, selection, partial(self._send_range, span=part, bound=bound))
                found.update(hand_out(answers, members, what))
            return found

        return await _steps(span, chunk)

    async def own_steps(
        self, queries: Collection[TenantQuery], span: Span, what: str
    ) -> dict[TenantQuery, FloatArray | Missing]:
        """Values per step of users' own queries, each no older than what counts at the present."""

        async def chunk(part: Span) -> dict[TenantQuery, Row | Missing]:
            async def send(text: str, count: int) -> list[Row]:
                limit, bound = self._limit_seconds(count), _own_bound(count, part.steps)
                return await self._send_range(text, part, bound, self.max_age_seconds, limit)

            most = min(MOST_TOGETHER, max(1, MAX_JOINT_SAMPLES // part.steps))
            answers = await answers_of(_sent(queries), send, self.isolated_steps, self.now_seconds, most)
            return {query: self._only(query, answers.get(query), what) for query in queries}

        return await _steps(span, chunk)

    def _only(self, query: TenantQuery, answer: Sequence[S] | PrometheusError | None, what: str) -> S | Missing:
        """The one series of a query; an answer that is not there was never asked for."""
        if answer is None:
            return Missing(MissingReason.REFUSED, f"{what}: {query.refused}")
        if isinstance(answer, TooLargeError):
            why = f"{what} {shown(query.text)}: {answer}; it must return one series"
            return Missing(MissingReason.TOO_LARGE, why)
        if isinstance(answer, PrometheusError):
            return Missing(MissingReason.SOURCE_ERROR, f"{what}: {answer}")
        return only(answer, f"{what} {shown(query.text)}", self.max_age_seconds)

    def _limit_seconds(self, count: int) -> float:
        """A joint question leaves time to ask each alone."""
        return self.left_seconds / 2.0 if count > 1 else self.left_seconds

    async def _send(self, promql: str, bound: ResponseBound = DEFAULT_BOUND) -> list[Point]:
        return await self.source.query(promql, self.now_seconds, self.left_seconds, self.max_age_seconds, bound)

    async def _send_lasting(self, promql: str) -> list[Point]:
        return await self.source.query(promql, self.now_seconds, self.left_seconds)

    async def _send_range(
        self,
        promql: str,
        span: Span,
        bound: ResponseBound,
        lookback_seconds: float | None = None,
        limit_seconds: float | None = None,
    ) -> list[Row]:
        ends = (span.first_at, span.end_seconds, span.step_seconds)
        limit = self.left_seconds if limit_seconds is None else limit_seconds
        return await self.source.query_range(promql, *ends, limit, lookback_seconds, bound)


def _sent(queries: Collection[TenantQuery]) -> list[TenantQuery]:
    return [query for query in dict.fromkeys(queries) if not query.refused]


def _own_bound(queries: int, steps: int) -> ResponseBound:
    """Of queries that give one series each: 72 KiB for one at an instant, 2 MB for the 10,000 steps of a history.

    A few series more are read, so that the message can say in which labels they differ.
    """
    return ResponseBound(OWN_SERIES * queries, OWN_BYTES + queries * (OWN_SERIES_BYTES + 2 * SAMPLE_BYTES * steps))


def _grouped_bound(series: int, steps: int) -> ResponseBound:
    """Of a query for so many series: ten times as many may have names like theirs without being asked for."""
    most = GROUPED_SERIES + 10 * series
    return ResponseBound(most, GROUPED_BYTES + most * SERIES_BYTES + 2 * SAMPLE_BYTES * steps * series)


async def _steps(
    span: Span, fetch: Callable[[Span], Awaitable[dict[K, Row | Missing]]]
) -> dict[K, FloatArray | Missing]:
    """Chunks put together. A chunk without data is a gap; one that failed voids the whole: half a history is none."""
    values: dict[K, list[FloatArray]] = {}
    failed: dict[K, Missing] = {}
    for part in span.chunks():
        for key, row in (await fetch(part)).items():
            try:
                known = None if isinstance(row, Missing) else row
                values.setdefault(key, []).append(on_grid(known, part))
            except ObservationError as error:
                failed[key] = Missing(MissingReason.SOURCE_ERROR, str(error))
            if isinstance(row, Missing) and row.reason is not MissingReason.NO_DATA:
                failed[key] = row
    return {key: failed.get(key) or np.concatenate(values[key]) for key in (*values, *failed)}


def reading(
    found: Point | Missing, what: str, at_seconds: float | None = None, scale: float = 1.0, bound: Bound = LOAD
) -> Reading:
    """A point as a reading: within its bounds, in base units after division by ``scale``."""
    if isinstance(found, Missing):
        return found
    refusal = bound.refusal(found.value / scale, what)
    if refusal is not None:
        return refusal
    return Sample(found.value / scale, found.at_seconds if at_seconds is None else at_seconds, what)
