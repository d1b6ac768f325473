"""Which samples a user's own query looks at: its selectors, and how far back each of them looks.

An answer of a query has the age of the question, whatever the age of what it was computed from. So the selectors are
found in the text, and the ages of their samples asked for beside it. No grammar of PromQL is needed for that: what is
followed by a bracket is a function, what stands in ``by (…)`` is a label, and of what is left a name or a pair of
braces is a selector. What looks at another time than now (``offset``, ``@``) tells nothing of the age of now.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kcloud_autoscale.observe.coverage import duration_seconds

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)"""
    r"""|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)"""
    r"""|(?P<number>(?:\d[\w.]*|\.\d+)(?:[eE][+-]?\d+)?)"""
    r"""|(?P<name>[A-Za-z_:][\w:]*)"""
    r"""|(?P<mark>.)""",
    re.DOTALL,
)
_LABELS_FOLLOW = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"}) | _LABELS_FOLLOW
_OPENING = {"(": ")", "{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Selector:
    """One selector of a query.

    Attributes:
        selector: As in the text, without its range.
        back_seconds: Its range; 0 where the newest sample counts.
    """

    selector: str
    back_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@functools.lru_cache(maxsize=4096)
def promql_selectors(promql: str) -> tuple[Selector, ...]:
    """The selectors of a query that look at the present, each once; the same queries are asked in every cycle."""
    return tuple(dict.fromkeys(_selectors(promql)))


def _selectors(promql: str) -> Iterator[Selector]:
    tokens = [
        _Token(str(found.lastgroup), found.group(), found.start(), found.end())
        for found in _TOKEN.finditer(promql)
        if found.lastgroup != "space"
    ]
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "name" and token.text.lower() in _WORDS:
            listed = token.text.lower() in _LABELS_FOLLOW and _is(tokens, at + 1, "(")
            at = _closed(tokens, at + 1) if listed else at + 1
        elif token.kind == "name" and (_is(tokens, at + 1, "(") or _aggregates(tokens, at + 1)):
            at += 1
        elif token.text == "[":
            at = _closed(tokens, at)  # of a subquery, whose selectors were met before it
        elif token.kind == "name" or token.text == "{":
            end = at + (token.kind == "name")
            end = _closed(tokens, end) if _is(tokens, end, "{") else end
            selector = promql[token.start : tokens[end - 1].end]
            back = 0.0
            if _is(tokens, end, "["):
                closed = _closed(tokens, end)
                back = duration_seconds("".join(each.text for each in tokens[end + 1 : closed]))
                end = closed
            if not _is(tokens, end, "offset", "@"):
                yield Selector(selector, back)
            at = end
        else:
            at += 1


def _is(tokens: list[_Token], at: int, *texts: str) -> bool:
    return at < len(tokens) and tokens[at].text.lower() in texts


def _aggregates(tokens: list[_Token], at: int) -> bool:
    """``sum by (a) (x)``: the word before it is no metric."""
    return _is(tokens, at, "by", "without") and _is(tokens, at + 1, "(")


def _closed(tokens: list[_Token], at: int) -> int:
    """The place after the bracket that closes the one at ``at``; the end where none does."""
    opening, depth = tokens[at].text, 0
    for place in range(at, len(tokens)):
        depth += (tokens[place].text == opening) - (tokens[place].text == _OPENING[opening])
        if depth == 0:
            return place + 1
    return len(tokens)
