"""One cycle's questions to Prometheus: all under one deadline, failures as values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from kcloud_autoscale.domain.bounds import LOAD, Bound
from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.series import FloatArray
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.fetch import Build, Subject, ask, hand_out, only, selections
from kcloud_autoscale.observe.history import Span, on_grid
from kcloud_autoscale.observe.prometheus_response import Point, PrometheusError, Row, shown
from kcloud_autoscale.observe.promql import Selection
from kcloud_autoscale.observe.query_batching import MOST_TOGETHER, IsolatedQueries, answers_of

K = TypeVar("K")
S = TypeVar("S", Point, Row)

# Samples of one answer: 400,000 are 11 MB of text and 40 series of a week at a minute each.
MAX_SAMPLES = 400_000
MAX_NAMES = 500
# Of users' own queries, whose cost nobody knows: the few steps since the last cycle are asked for together, a history
# is not.
MAX_JOINT_SAMPLES = 1000


class Source(Protocol):
    """What is needed of `prometheus.Prometheus`."""

    async def query(
        self,
        promql: str,
        at_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
    ) -> list[Point]: ...

    async def query_range(
        self,
        promql: str,
        start_seconds: float,
        end_seconds: float,
        step_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
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
        isolated: Users' own queries that are asked alone.
    """

    source: Source
    now_seconds: float
    limit_seconds: float
    max_age_seconds: float | None = None
    isolated: IsolatedQueries = field(default_factory=IsolatedQueries)
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

    async def own(self, texts: Collection[str], what: str) -> dict[str, Point | Missing]:
        """The one series of each of some users' own queries, by text."""
        answers = await answers_of(texts, self._send_own, self.isolated, self.now_seconds)
        return {text: self._only(text, answer, what) for text, answer in answers.items()}

    async def grouped(self, build: Build, subjects: Sequence[Subject], what: str) -> dict[WorkloadKey, Point | Missing]:
        """One value per workload."""

        async def part(selection: Selection, members: Sequence[Subject]) -> dict[WorkloadKey, Point | Missing]:
            return hand_out(await ask(build, selection, self._send), members, what)

        parts = await asyncio.gather(*(part(*each) for each in selections(subjects, MAX_NAMES)))
        return {key: each for found in parts for key, each in found.items()}

    async def grouped_lists(self, build: Build, subjects: Sequence[Subject], what: str) -> list[Point] | Missing:
        """All series of the selected workloads, as when there is one per pod; Missing when any part failed."""
        found: list[Point] = []
        for selection, _ in selections(subjects, MAX_NAMES):
            for _, each in await ask(build, selection, self._send):
                if isinstance(each, ObservationError):
                    return Missing(MissingReason.SOURCE_ERROR, f"{what}: {each}")
                found += each
        return found

    async def grouped_steps(
        self, build: Build, subjects: Sequence[Subject], span: Span, what: str
    ) -> dict[WorkloadKey, FloatArray | Missing]:
        """Values per step of each workload; all NaN where the source has nothing."""

        async def chunk(part: Span) -> dict[WorkloadKey, Row | Missing]:
            found: dict[WorkloadKey, Row | Missing] = {}
            most_names = min(MAX_NAMES, max(1, MAX_SAMPLES // part.steps))
            for selection, members in selections(subjects, most_names):
                answers = await ask(build, selection, lambda text: self._send_range(text, part))
                found.update(hand_out(answers, members, what))
            return found

        return await _steps(span, chunk)

    async def own_steps(self, texts: Collection[str], span: Span, what: str) -> dict[str, FloatArray | Missing]:
        """Values per step of users' own queries, each no older than what counts at the present."""

        async def chunk(part: Span) -> dict[str, Row | Missing]:
            async def send(text: str, joint: bool) -> list[Row]:
                return await self._send_range(text, part, self.max_age_seconds, self._limit_seconds(joint))

            most = min(MOST_TOGETHER, max(1, MAX_JOINT_SAMPLES // part.steps))
            answers = await answers_of(texts, send, self.isolated, self.now_seconds, most)
            return {text: self._only(text, answer, what) for text, answer in answers.items()}

        return await _steps(span, chunk)

    def _only(self, text: str, answer: Sequence[S] | PrometheusError, what: str) -> S | Missing:
        if isinstance(answer, PrometheusError):
            return Missing(MissingReason.SOURCE_ERROR, f"{what}: {answer}")
        return only(answer, f"{what} {shown(text)}", self.max_age_seconds)

    def _limit_seconds(self, joint: bool) -> float:
        """A joint question leaves time to ask everyone alone."""
        return self.left_seconds / 2.0 if joint else self.left_seconds

    async def _send_own(self, promql: str, joint: bool) -> list[Point]:
        return await self.source.query(promql, self.now_seconds, self._limit_seconds(joint), self.max_age_seconds)

    async def _send(self, promql: str) -> list[Point]:
        return await self.source.query(promql, self.now_seconds, self.left_seconds, self.max_age_seconds)

    async def _send_lasting(self, promql: str) -> list[Point]:
        return await self.source.query(promql, self.now_seconds, self.left_seconds)

    async def _send_range(
        self,
        promql: str,
        span: Span,
        lookback_seconds: float | None = None,
        limit_seconds: float | None = None,
    ) -> list[Row]:
        limit = self.left_seconds if limit_seconds is None else limit_seconds
        return await self.source.query_range(
            promql, span.first_at, span.end_seconds, span.step_seconds, limit, lookback_seconds
        )


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
