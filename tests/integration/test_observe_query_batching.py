"""Users' own queries asked together of a real Prometheus: each has the answer it has when it is asked alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from hack.cluster import Prometheus as Server
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.observe.prometheus_response import Point
from kcloud_autoscale.observe.query_batching import TAG, IsolatedQueries
from kcloud_autoscale.observe.query_session import QuerySession
from tests.integration.series import Series, counting, steady, write_blocks

pytestmark = pytest.mark.integration

START = int(time.time()) // 3600 * 3600 - 8 * 3600
LENGTH = 3600
NOW = float(START + LENGTH)
SPAN = Span(NOW - 300.0, 4, 60.0)

SOUND = [f'sum(rate(requests_total{{app="a{index}"}}[2m]))' for index in range(100)]
# What a user may write, and what stands in the way of company or of an answer.
ODD = [
    'requests_total{app="a1"}',  # keeps its name
    'requests_total{app="a1"} # the first (of many',
    "topk(1, requests_total)",
    'absent(requests_total{app="none"})',
    "count(requests_total) without (app) or vector(1) == 2",
    'max_over_time(sum(rate(requests_total{app="a2"}[2m]))[5m:1m])',
    'requests_total{app="a3"} offset 5m',
    "vector(NaN)",
    "42",  # a scalar: the server refuses it in company
    "requests_total",  # a hundred series
    'requests_total{app="none"}',  # none
    f'label_replace(up_gauge, "{TAG}", "3", "", "")',  # the tag is taken: ours goes over it
    "sum(rate(requests_total[2m])",  # open
    "nonsense(requests_total)",
    f'vector(1)), "{TAG}", "0", "", "") or (vector(7)',
    "requests_total * on (zone) group_left () requests_total",  # many-to-many
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A hundred counters that rise by 0, 1, 2, … per second, and a gauge."""
    series = [Series("requests_total", {"app": f"a{index}"}, counting(float(index))) for index in range(100)]
    series.append(Series("up_gauge", {"app": "gauge"}, steady(5.0)))
    with Server() as running:
        running.start(data_dir=write_blocks(series, START, LENGTH, tmp_path_factory.mktemp("blocks")))
        yield running


class Counted:
    """A client that counts."""

    def __init__(self, server: Server) -> None:
        self.requests = 0
        self.client = Prometheus(PrometheusSettings(server.url, timeout_seconds=10.0), self._count)

    def _count(self, outcome: str, duration_seconds: float) -> None:
        self.requests += 1

    def asker(self, isolated: IsolatedQueries | None = None) -> QuerySession:
        return QuerySession(self.client, NOW, 10.0, 180.0, isolated or IsolatedQueries())


@pytest.fixture
def counted(server: Server) -> Iterator[Counted]:
    counted = Counted(server)
    yield counted
    counted.client.close()


def told(found: Point | Missing) -> str:
    """What matters of an answer, NaN equal to itself."""
    return str(found) if isinstance(found, Missing) else str(found.value)


async def test_a_hundred_queries_are_two_requests(counted: Counted) -> None:
    found = await counted.asker().own(SOUND, "query")
    assert counted.requests == 2
    values = [each.value for text in SOUND if isinstance(each := found[text], Point)]
    assert values == pytest.approx(list(range(100)))
    steps = await counted.asker().own_steps(SOUND, SPAN, "demand")
    assert counted.requests == 4
    assert all(np.asarray(steps[text]) == pytest.approx(np.full(4, float(i))) for i, text in enumerate(SOUND))


async def test_everyone_has_the_answer_they_have_alone_whoever_stands_beside_them(counted: Counted) -> None:
    texts, isolated = [*SOUND, *ODD], IsolatedQueries()
    together = await counted.asker(isolated).own(texts, "query")
    for text in ODD:
        alone = (await counted.asker().own([text], "query"))[text]
        assert told(together[text]) == told(alone), text
    assert [each.value for text in SOUND if isinstance(each := together[text], Point)] == pytest.approx(range(100))
    reasons = {text: each.reason for text, each in together.items() if isinstance(each, Missing)}
    assert reasons == {
        "requests_total": MissingReason.AMBIGUOUS,
        'requests_total{app="none"}': MissingReason.NO_DATA,
        ODD[-4]: MissingReason.SOURCE_ERROR,
        ODD[-3]: MissingReason.SOURCE_ERROR,
        ODD[-2]: MissingReason.SOURCE_ERROR,
        ODD[-1]: MissingReason.SOURCE_ERROR,
    }
    # From now on those who cannot be asked together are known.
    before = counted.requests
    again = await counted.asker(isolated).own(texts, "query")
    assert again.keys() == together.keys()
    assert counted.requests - before < 16


async def test_steps_are_the_same_together_and_alone(counted: Counted) -> None:
    together = await counted.asker().own_steps([*SOUND, *ODD], SPAN, "demand")
    for text in ODD:
        alone = (await counted.asker().own_steps([text], SPAN, "demand"))[text]
        if isinstance(alone, Missing):
            assert together[text] == alone
        else:
            assert np.array_equal(np.asarray(together[text]), alone, equal_nan=True)


async def test_one_that_takes_all_the_time_leaves_the_others_half_of_it(counted: Counted) -> None:
    """A query over thirty million points, beside forty that take no time."""
    slow = " + ".join(["sum(sum_over_time(sum(rate(requests_total[10m]))[1h:1s]))"] * 81)
    asker = QuerySession(counted.client, NOW, 3.0, 180.0, isolated := IsolatedQueries())
    found = await asker.own([*SOUND[:40], slow], "query")
    assert isinstance(found[slow], Missing)
    assert [each.value for text in SOUND[:40] if isinstance(each := found[text], Point)] == pytest.approx(range(40))
    assert slow in isolated.at(NOW)
