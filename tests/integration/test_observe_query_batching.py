"""Users' own queries asked together of a real Prometheus: each has the answer it has when it is asked alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from hack.cluster import Prometheus as Server
from kcloud_autoscale.api.promql import parse, render
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.observe.prometheus_response import Point
from kcloud_autoscale.observe.query_batching import IsolatedQueries
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.tenant_queries import (
    ALLOW_ALL,
    ENFORCE_NAMESPACE,
    TenantQuery,
    TenantQueryRules,
    admitted,
)
from tests.builders.hostile_queries import hostile_queries
from tests.integration.series import Series, counting, steady, write_blocks

pytestmark = pytest.mark.integration

START = int(time.time()) // 3600 * 3600 - 8 * 3600
LENGTH = 3600
NAMESPACE = "team-a"
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
    'label_replace(up_gauge, "kcloud_query", "3", "", "")',
    "vector(NaN)",
    "42",  # a scalar: it cannot be joined
    'requests_total{app="none"}',  # no series
    "requests_total",  # a hundred series
    "sum(rate(requests_total[2m])",  # open
    "nonsense(requests_total)",
    'vector(1)), "kcloud_query", "0", "", "") or (vector(7)',
    "requests_total * on (zone) group_left () requests_total",  # many-to-many
]


def own(texts: Sequence[str], rules: TenantQueryRules = ALLOW_ALL) -> list[TenantQuery]:
    """As they may be asked in a namespace of the test's own."""
    return [admitted(text, NAMESPACE, rules) for text in texts]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A hundred counters that rise by 0, 1, 2, … per second, and a gauge."""
    own = {"namespace": NAMESPACE}
    series = [Series("requests_total", {**own, "app": f"a{index}"}, counting(float(index))) for index in range(100)]
    series.append(Series("up_gauge", {**own, "app": "gauge"}, steady(5.0)))
    series.append(Series("secret", {"namespace": "team-b", "app": "theirs"}, steady(12345.0)))
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

    def session(self, isolated: IsolatedQueries | None = None) -> QuerySession:
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
    queries = own(SOUND)
    found = await counted.session().own(queries, "query")
    assert counted.requests == 2
    values = [each.value for query in queries if isinstance(each := found[query], Point)]
    assert values == pytest.approx(list(range(100)))
    steps = await counted.session().own_steps(queries, SPAN, "demand")
    assert counted.requests == 4
    assert all(np.asarray(steps[each]) == pytest.approx(np.full(4, float(i))) for i, each in enumerate(queries))


async def test_each_has_the_answer_it_has_alone_whatever_stands_beside_it(counted: Counted) -> None:
    sound, odd, isolated = own(SOUND), own(ODD), IsolatedQueries()
    together = await counted.session(isolated).own([*sound, *odd], "query")
    for query in odd:
        alone = (await counted.session().own([query], "query"))[query]
        assert told(together[query]) == told(alone), query
    assert [each.value for query in sound if isinstance(each := together[query], Point)] == pytest.approx(range(100))
    reasons = {query.text: each.reason for query, each in together.items() if isinstance(each, Missing)}
    assert reasons == {
        ODD[-6]: MissingReason.NO_DATA,
        ODD[-5]: MissingReason.TOO_LARGE,
        ODD[-4]: MissingReason.SOURCE_ERROR,
        ODD[-3]: MissingReason.SOURCE_ERROR,
        ODD[-2]: MissingReason.SOURCE_ERROR,
        ODD[-1]: MissingReason.SOURCE_ERROR,
    }
    # From now on those that cannot be asked together are known.
    before = counted.requests
    again = await counted.session(isolated).own([*sound, *odd], "query")
    assert again.keys() == together.keys()
    assert counted.requests - before < 16


async def test_steps_are_the_same_together_and_alone(counted: Counted) -> None:
    together = await counted.session().own_steps(own([*SOUND, *ODD]), SPAN, "demand")
    for query in own(ODD):
        alone = (await counted.session().own_steps([query], SPAN, "demand"))[query]
        if isinstance(alone, Missing):
            assert told(together[query]) == told(alone)
        else:
            assert np.array_equal(np.asarray(together[query]), alone, equal_nan=True)


async def test_one_that_takes_all_the_time_leaves_the_others_half_of_it(counted: Counted) -> None:
    """A query over thirty million points, beside forty that take no time."""
    (slow,) = own([" + ".join(["sum(sum_over_time(sum(rate(requests_total[10m]))[1h:1s]))"] * 48)])
    sound = own(SOUND[:40])
    session = QuerySession(counted.client, NOW, 3.0, 180.0, isolated := IsolatedQueries())
    found = await session.own([*sound, slow], "query")
    assert isinstance(found[slow], Missing)
    assert [each.value for query in sound if isinstance(each := found[query], Point)] == pytest.approx(range(40))
    assert slow in isolated.at(NOW)


HOSTILE = 10_000


async def test_hostile_texts_change_no_neighbours_answer_and_read_nothing_of_another_namespace(
    counted: Counted,
) -> None:
    """Those of ten thousand that the parser lets pass, each beside queries of its own namespace and of another."""
    victims = [*own(SOUND[1:4], ENFORCE_NAMESPACE), admitted("sum(secret)", "team-b", ENFORCE_NAMESPACE)]
    hostile = [query for query in own(list(hostile_queries(HOSTILE)), ENFORCE_NAMESPACE) if not query.refused]
    assert len(hostile) > HOSTILE // 8
    for start in range(0, len(hostile), 20):
        some = hostile[start : start + 20]
        found = await counted.session().own([*some, *victims], "query")
        values = [each.value for victim in victims if isinstance(each := found[victim], Point)]
        assert values == pytest.approx([1.0, 2.0, 3.0, 12345.0]), [query.text for query in some]
        for query in some:
            assert "theirs" not in repr(found[query]), query.text
            assert told(found[query]) != "12345.0", query.text


async def test_where_all_is_allowed_a_query_reads_what_the_operator_reads(counted: Counted) -> None:
    texts = ["sum(secret)", 'sum(secret{namespace="team-b"})']
    free, held, refused = *own(texts[:1]), *own(texts, ENFORCE_NAMESPACE)
    found = await counted.session().own([free, held, refused], "query")
    assert (told(found[free]), found[held].reason) == ("12345.0", MissingReason.NO_DATA)  # type: ignore[union-attr]
    assert found[refused].reason is MissingReason.REFUSED  # type: ignore[union-attr]
    assert 'asks for namespace="team-b"' in told(found[refused])


RENDERED = [
    "sum by (app) (rate(requests_total[2m])) > bool on (app) 1 * requests_total",
    "requests_total{app=~`a[12]?`} + on (app) group_left () requests_total ^ 2 ^ 2 / -3",
    "-requests_total{app='a9'} ^ 2",
    "max_over_time(sum(rate(requests_total[90s]))[10m:30s] offset 1m) - sum(min_over_time(requests_total[1h:]))",
    'count_values without (app, namespace) ("v", requests_total % 5)',
    "quantile by () (0.5, requests_total) or topk(2, requests_total) unless requests_total == 0",
    'histogram_quantile(0.9, label_replace(requests_total, "le", "$1", "app", `a(\\d+)`))',
    "requests_total @ end() offset -1m - requests_total @ start()",
    f"requests_total @ {START + 1800}.5 - requests_total offset 20m",
    "{__name__=~`requests_.+`,app!='a1',app!~\"a[2-9].*\"} * 1e-3 + 0x1F - Inf",
    "sum(requests_total) * scalar(up_gauge) + time() - vector(1) + minute() % 7",
    '(requests_total > 5) + 3 and on (app) requests_total{app=~"a1."} atan2 2',
    "rate(requests_total[5m]) [10m:1m]",
    "avg without (app) (requests_total) >= on () sum(requests_total) / count(requests_total)",
    'label_join(requests_total, "x", "-", "app", "namespace") * 2 - -1',
    "absent_over_time(nothing[5m]) + sgn(vector(-3)) + clamp(vector(9), 1, 5)",
]


@pytest.mark.parametrize("text", RENDERED)
async def test_what_is_rendered_means_what_was_written(counted: Counted, text: str) -> None:
    """Both are asked of the server; a range vector at an instant is asked as its last value over time."""
    rendered = render(parse(text))
    if text.endswith("]"):
        text, rendered = f"last_over_time({text})", f"last_over_time({rendered})"
    before, after = [sorted(map(answer, await counted.client.query(query, NOW))) for query in (text, rendered)]
    assert before
    assert before == after


def answer(point: Point) -> tuple[str, str]:
    """NaN equal to itself."""
    return str(sorted(point.labels.items())), str(point.value)
