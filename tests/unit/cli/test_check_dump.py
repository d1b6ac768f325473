"""What was read is replayed, though the tags of joint queries are drawn anew."""

from __future__ import annotations

import asyncio

from kcloud_autoscale.cli.check_dump import RecordingSource, ReplaySource
from kcloud_autoscale.observe.prometheus_response import DEFAULT_BOUND, Point, ResponseBound
from kcloud_autoscale.observe.query_batching import TAG
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.tenant_queries import TenantQuery
from tests.fakes.prometheus import FakePrometheus

NOW = 1_700_000_000.0


class Tagging(FakePrometheus):
    """Answers a joint query of two with 3 and 4."""

    async def query(
        self,
        promql: str,
        at_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Point]:
        tag = TAG.findall(promql)[0]
        return [Point({tag: "0", "app": "x"}, 3.0, at_seconds), Point({tag: "1"}, 4.0, at_seconds)]


def test_a_joint_query_is_found_in_a_recording_under_another_tag():
    queries = [TenantQuery("ai", "a"), TenantQuery("ai", "b")]
    recorder = RecordingSource(Tagging())
    told = asyncio.run(QuerySession(recorder, NOW, 5.0).own(queries, "query"))
    replay = ReplaySource(recorder.recording(NOW))
    assert asyncio.run(QuerySession(replay, NOW, 5.0).own(queries, "query")) == told
    assert told == {queries[0]: Point({"app": "x"}, 3.0, NOW), queries[1]: Point({}, 4.0, NOW)}
