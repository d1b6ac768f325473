"""Users' own queries in one request: whose answer is whose, and none suffers from the company."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from itertools import pairwise

import pytest

from kcloud_autoscale.observe.prometheus_response import Point, PrometheusError, TooLargeError
from kcloud_autoscale.observe.promql import MAX_QUERY_LENGTH
from kcloud_autoscale.observe.query_batching import (
    ALONE_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST_TOGETHER,
    TAG_PREFIX,
    IsolatedQueries,
    answers_of,
)
from kcloud_autoscale.observe.tenant_queries import TenantQuery

NOW = 1_700_000_000.0
_ONE = re.compile(rf'label_replace\(\((.*?)\), "({TAG_PREFIX}\w+)", "(\d+)", "", ""\)', re.DOTALL)


class Server:
    """Answers each text with its length, as one series; ``refuse`` says what of a request it objects to."""

    def __init__(self, refuse: Callable[[str], PrometheusError | None] = lambda text: None) -> None:
        self.refuse = refuse
        self.asked: list[str] = []
        self.counts: list[int] = []

    async def send(self, text: str, count: int) -> list[Point]:
        self.asked.append(text)
        self.counts.append(count)
        if (error := self.refuse(text)) is not None:
            raise error
        if count == 1:
            return [Point({"app": text}, float(len(text)), NOW)]
        return [Point({"app": each, tag: place}, float(len(each)), NOW) for each, tag, place in _ONE.findall(text)]


def ask(
    server: Server,
    texts: set[str],
    isolated: IsolatedQueries | None = None,
    now: float = NOW,
    most: int = MOST_TOGETHER,
) -> dict[str, list[Point] | PrometheusError]:
    """Queries of one namespace, by text."""
    queries = [TenantQuery("ai", text) for text in sorted(texts)]
    found = asyncio.run(answers_of(queries, server.send, isolated or IsolatedQueries(), now, most))
    return {query.text: answer for query, answer in found.items()}


def test_many_are_asked_in_one_request_and_each_gets_its_own_series_without_the_tag():
    server = Server()
    found = ask(server, {"a", "bb", "ccc"})
    assert server.counts == [3]
    assert {text: (s[0].labels, s[0].value) for text, s in found.items()} == {  # type: ignore[union-attr,index]
        text: ({"app": text}, len(text)) for text in ("a", "bb", "ccc")
    }


def test_one_query_is_asked_as_it_stands():
    server = Server()
    assert ask(server, {"a"})["a"] == [Point({"app": "a"}, 1.0, NOW)]
    assert (server.asked, server.counts) == (["a"], [1])


def test_the_tag_is_another_in_every_request():
    server = Server()
    ask(server, {"a", "b"})
    ask(server, {"a", "b"})
    first, second = ({tag for _, tag, _ in _ONE.findall(text)} for text in server.asked)
    assert len(first) == len(second) == 1
    assert first != second


def test_queries_of_two_namespaces_never_share_a_request():
    server = Server()
    queries = [TenantQuery(namespace, text) for namespace in ("ai", "web") for text in ("a", "b", "c")]
    found = asyncio.run(answers_of(queries, server.send, IsolatedQueries(), NOW))
    assert found.keys() == set(queries)
    assert server.counts == [3, 3]


def test_what_was_not_parsed_is_asked_alone():
    server = Server()
    queries = [TenantQuery("ai", "a"), TenantQuery("ai", "b"), TenantQuery("ai", "rollup(c)", joinable=False)]
    asyncio.run(answers_of(queries, server.send, IsolatedQueries(), NOW))
    assert sorted(server.counts) == [1, 2]
    assert "rollup(c)" in server.asked


def test_a_query_without_series_has_none_beside_others_that_have():
    async def send(text: str, count: int) -> list[Point]:
        tag = _ONE.findall(text)[0][1]
        return [Point({tag: "1"}, 2.0, NOW)]

    a, b = TenantQuery("ai", "a"), TenantQuery("ai", "b")
    assert asyncio.run(answers_of([a, b], send, IsolatedQueries(), NOW)) == {a: [], b: [Point({}, 2.0, NOW)]}


def test_requests_hold_so_many_queries_and_no_more_text_than_every_server_takes():
    server = Server()
    texts = {f"{index:03d}" for index in range(200)}
    assert ask(server, texts).keys() == texts
    assert server.counts == [64, 64, 64, 8]
    server = Server()
    texts = {f"{index:03d}" + "x" * 1000 for index in range(40)}
    assert ask(server, texts).keys() == texts
    assert max(map(len, server.asked)) <= MAX_QUERY_LENGTH
    assert len(server.asked) == 3


def test_the_one_the_server_objects_to_is_found_by_halving_and_is_asked_alone_for_a_while():
    """Of 64 queries the culprit is alone after six halvings; the other 63 have their answers all the same."""
    server = Server(lambda text: PrometheusError("no", about_query=True) if "bad" in text else None)
    texts, isolated = {f"{index:02d}" for index in range(63)} | {"bad"}, IsolatedQueries()
    found = ask(server, texts, isolated)
    assert isinstance(found["bad"], PrometheusError)
    assert all(found[text] == [Point({"app": text}, 2.0, NOW)] for text in texts - {"bad"})
    assert len(server.asked) == 1 + 6 * 2
    server.asked.clear()
    ask(server, texts, isolated, NOW + 60.0)
    assert len(server.asked) <= 3  # it, the one it was halved down with, and all others
    server.asked.clear()
    server.refuse = lambda text: None
    ask(server, texts, isolated, NOW + ALONE_SECONDS + 1.0)
    assert len(server.asked) == 1


@pytest.mark.parametrize("error", [PrometheusError("too slow", transient=True), PrometheusError("not JSON")])
def test_whatever_else_goes_wrong_with_a_request_each_is_asked_alone(error: PrometheusError):
    server = Server(lambda text: error if TAG_PREFIX in text or text == "slow" else None)
    isolated = IsolatedQueries()
    found = ask(server, {"a", "b", "slow"}, isolated)
    assert found == {"a": [Point({"app": "a"}, 1.0, NOW)], "b": [Point({"app": "b"}, 1.0, NOW)], "slow": error}
    assert {query.text for query in isolated.at(NOW)} == {"a", "b", "slow"}


def test_those_that_take_long_are_asked_one_after_the_other_beside_the_rest():
    """Each may take all the time there is: side by side they would hold every connection."""
    running = most = 0

    async def send(text: str, count: int) -> list[Point]:
        nonlocal running, most
        running += text.startswith("slow")
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= text.startswith("slow")
        if text.startswith("slow"):
            raise PrometheusError("no answer within 1 s", transient=True)
        return [Point({}, 1.0, NOW)]

    slow = [TenantQuery(f"n{index}", f"slow{index}") for index in range(4)]
    isolated, quick = IsolatedQueries(), TenantQuery("ai", "a")
    asyncio.run(answers_of([*slow, quick], send, isolated, NOW))
    most = 0
    found = asyncio.run(answers_of([*slow, quick], send, isolated, NOW + 60.0))
    assert (most, found[quick]) == (1, [Point({}, 1.0, NOW)])


def test_one_that_gives_too_much_is_left_out_for_a_time_that_doubles_and_says_until_when():
    server = Server(lambda text: TooLargeError("the answer has more than 10 series") if "wide" in text else None)
    isolated = IsolatedQueries()
    asked_at: list[float] = []
    for minute in range(600):
        server.asked.clear()
        found = ask(server, {"a", "b", "wide"}, isolated, NOW + 60.0 * minute)
        assert found["a"] == [Point({"app": "a"}, 1.0, NOW)]
        assert isinstance(found["wide"], TooLargeError)
        if "wide" in server.asked:
            asked_at.append(60.0 * minute)
    apart = [later - sooner for sooner, later in pairwise(asked_at)]
    assert apart[:6] == [FIRST_PAUSE_SECONDS * 2.0**power for power in range(6)]
    assert set(apart[6:]) == {LONGEST_PAUSE_SECONDS}
    assert str(found["wide"]).endswith("not asked again before 08:16:20Z"), found["wide"]


def test_one_that_gives_what_it_may_again_is_forgiven_at_once():
    wide = [TooLargeError("too many")]
    server = Server(lambda text: wide[0] if "wide" in text and wide else None)
    isolated = IsolatedQueries()
    ask(server, {"wide"}, isolated, NOW)
    wide.clear()
    assert isinstance(ask(server, {"wide"}, isolated, NOW + FIRST_PAUSE_SECONDS - 1.0)["wide"], TooLargeError)
    assert ask(server, {"wide"}, isolated, NOW + FIRST_PAUSE_SECONDS)["wide"] == [Point({"app": "wide"}, 4.0, NOW)]
    assert not isolated.pauses


def test_a_pause_ends_when_the_clock_is_set_back():
    server = Server(lambda text: TooLargeError("too many"))
    isolated = IsolatedQueries()
    ask(server, {"wide"}, isolated, NOW)
    server.refuse = lambda text: None
    assert ask(server, {"wide"}, isolated, NOW - 86_400.0)["wide"] == [Point({"app": "wide"}, 4.0, NOW)]


@pytest.mark.parametrize("labels", [{}, {"kcloud_query": "0"}, {f"{TAG_PREFIX}0123456789abcdef": "0"}])
def test_an_answer_without_the_tag_is_no_answer_to_a_joint_query(labels: dict[str, str]):
    async def send(text: str, count: int) -> list[Point]:
        return [Point(labels, 7.0, NOW)] if count > 1 else [Point({}, 1.0, NOW)]

    a, b = TenantQuery("ai", "a"), TenantQuery("ai", "b")
    found = asyncio.run(answers_of([a, b], send, IsolatedQueries(), NOW))
    assert found == {a: [Point({}, 1.0, NOW)], b: [Point({}, 1.0, NOW)]}


def test_isolated_queries_are_forgotten_when_the_clock_is_set_back():
    isolated = IsolatedQueries()
    isolated.add([TenantQuery("ai", "a")], NOW)
    assert not isolated.at(NOW - 1.0)
