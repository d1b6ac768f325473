"""Users' own queries in one request: whose answer is whose, and nobody suffers from the company."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from kcloud_autoscale.observe.prometheus_response import Point, PrometheusError
from kcloud_autoscale.observe.promql import MAX_QUERY_LENGTH, self_contained
from kcloud_autoscale.observe.query_batching import (
    ALONE_SECONDS,
    MOST_TOGETHER,
    TAG,
    IsolatedQueries,
    answers_of,
    joined,
)

NOW = 1_700_000_000.0
_ONE = re.compile(rf'label_replace\(\((.*?)\n\), "{TAG}", "(\d+)", "", ""\)', re.DOTALL)


class Server:
    """Answers each text with its length, as one series; ``refuse`` says what of a request it objects to."""

    def __init__(self, refuse: Callable[[str], PrometheusError | None] = lambda text: None) -> None:
        self.refuse = refuse
        self.asked: list[str] = []
        self.joint: list[bool] = []

    async def send(self, text: str, joint: bool) -> list[Point]:
        self.asked.append(text)
        self.joint.append(joint)
        if (error := self.refuse(text)) is not None:
            raise error
        if not joint:
            return [Point({"app": text}, float(len(text)), NOW)]
        return [Point({"app": each, TAG: place}, float(len(each)), NOW) for each, place in _ONE.findall(text)]


def ask(
    server: Server,
    texts: set[str],
    isolated: IsolatedQueries | None = None,
    now: float = NOW,
    most: int = MOST_TOGETHER,
):
    return asyncio.run(answers_of(texts, server.send, isolated or IsolatedQueries(), now, most))


def test_many_are_asked_in_one_request_and_each_gets_its_own_series_without_the_tag():
    server = Server()
    found = ask(server, {"a", "bb", "ccc"})
    assert server.joint == [True]
    assert {text: (s[0].labels, s[0].value) for text, s in found.items()} == {  # type: ignore[union-attr,index]
        text: ({"app": text}, len(text)) for text in ("a", "bb", "ccc")
    }


def test_one_query_is_asked_as_it_stands():
    server = Server()
    assert ask(server, {"a"})["a"] == [Point({"app": "a"}, 1.0, NOW)]
    assert (server.asked, server.joint) == (["a"], [False])


def test_a_query_without_series_has_none_beside_others_that_have():
    async def send(text: str, joint: bool) -> list[Point]:
        return [Point({TAG: "1"}, 2.0, NOW)]

    assert asyncio.run(answers_of({"a", "b"}, send, IsolatedQueries(), NOW)) == {"a": [], "b": [Point({}, 2.0, NOW)]}


def test_requests_hold_so_many_queries_and_no_more_text_than_every_server_takes():
    server = Server()
    texts = {f"{index:03d}" for index in range(200)}
    assert ask(server, texts).keys() == texts
    assert [len(_ONE.findall(text)) for text in server.asked] == [64, 64, 64, 8]
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
    assert len(server.asked) <= 3  # it, the one it was halved down with, and everyone else
    server.asked.clear()
    server.refuse = lambda text: None
    ask(server, texts, isolated, NOW + ALONE_SECONDS + 1.0)
    assert len(server.asked) == 1


@pytest.mark.parametrize("error", [PrometheusError("too slow", transient=True), PrometheusError("not JSON")])
def test_whatever_else_goes_wrong_with_a_request_each_is_asked_alone(error: PrometheusError):
    server = Server(lambda text: error if TAG in text or text == "slow" else None)
    isolated = IsolatedQueries()
    found = ask(server, {"a", "b", "slow"}, isolated)
    assert found == {"a": [Point({"app": "a"}, 1.0, NOW)], "b": [Point({"app": "b"}, 1.0, NOW)], "slow": error}
    assert set(isolated.at(NOW)) == {"a", "b", "slow"}


def test_a_query_that_reaches_out_of_its_brackets_is_never_asked_with_others():
    """Joined, it would answer for its neighbour: ``…((a\\n), "kcloud_query", "1", "", "") or (b``."""
    server = Server()
    spoof = f'a), "{TAG}", "1", "", "") or (b'
    assert ask(server, {spoof, "mine", "yours"}).keys() == {spoof, "mine", "yours"}
    assert sorted(server.asked) == sorted([spoof, joined(["mine", "yours"])])


def test_an_answer_without_the_tag_is_no_answer_to_a_joint_query():
    async def send(text: str, joint: bool) -> list[Point]:
        return [Point({}, 7.0 if joint else 1.0, NOW)]

    found = asyncio.run(answers_of({"a", "b"}, send, IsolatedQueries(), NOW))
    assert found == {"a": [Point({}, 1.0, NOW)], "b": [Point({}, 1.0, NOW)]}


def test_loners_are_forgotten_when_the_clock_is_set_back():
    isolated = IsolatedQueries()
    isolated.add(["a"], NOW)
    assert not isolated.at(NOW - 1.0)


@pytest.mark.parametrize(
    ("text", "contained"),
    [
        ('sum(rate(a{x="}"}[1m]))', True),
        ("a # it's )", True),
        (r'a{b=~"x\"("}', True),
        ("`(`", True),
        ('{"quoted.name"}[5m:1m]', True),
        ("a) or (b", False),
        ("(a]", False),
        ("a}", False),
        ("sum(a", False),
        ('"a', False),
        ("a`", False),
        ('"a\n"', False),
    ],
)
def test_only_what_ends_within_itself_may_stand_inside_brackets_of_ours(text: str, contained: bool):
    assert self_contained(text) is contained
