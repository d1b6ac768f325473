"""PromQL that users write: parsed by a real grammar, confined to a namespace, and written anew from what was parsed.

A query of a tenant runs with the operator's credentials, often in one request with others. So nothing of its text is
ever sent: the parser (promql-parser, the grammar of Prometheus in Rust) makes a tree of it, and the tree is written
out here, word by word. Names and operators come from closed sets, every string goes through `quoted`, and what the
tree cannot carry is refused. The words stand in the order in which the user wrote them, brackets included, so the
server groups them as it would have grouped the user's own.

    confined = render(parse('sum(rate(x{app="a"}[2m]))'), Confinement("namespace", "team-a"))
    assert confined == 'sum(rate(x{app="a", namespace="team-a"}[2m]))'
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import promql_parser as grammar

# The parser takes time with the square of the length: 0.3 s for 2,000 operators in a row, all of it in one piece.
MAX_QUERY_CHARACTERS = 4096
MAX_DEPTH = 64

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
# A metric of such a name is written {__name__="sum"}: some servers take the bare word for the keyword.
_KEYWORDS = re.compile(
    "and|or|unless|atan2|by|without|on|ignoring|group_left|group_right|bool|offset|inf|nan|start|end|sum|avg|count|min|"
    "max|group|stddev|stdvar|topk|bottomk|count_values|quantile|limitk|limit_ratio"
)
_OPERATORS = frozenset(["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">=", "and", "or", "unless", "atan2"])
# The parser's enums cannot be keys.
_MATCHES = (
    (grammar.MatchOp.Equal, "="),
    (grammar.MatchOp.NotEqual, "!="),
    (grammar.MatchOp.Re, "=~"),
    (grammar.MatchOp.NotRe, "!~"),
)
_GROUPS = (
    (grammar.VectorMatchCardinality.ManyToOne, "group_left"),
    (grammar.VectorMatchCardinality.OneToMany, "group_right"),
)
_ENDS = ((grammar.AtModifierType.Start, "start()"), (grammar.AtModifierType.End, "end()"))
_STRINGS_AND_COMMENTS = re.compile(r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`|#[^\r\n]*""")


class QueryError(ValueError):
    """A query that is not asked: the parser does not know it, or it may not be asked from where it stands."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What every selector of a query must match.

    Attributes:
        label: Of the namespace, in the store.
        namespace: Whose series may be read.
    """

    label: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector of a query that looks at the present.

    Attributes:
        text: Without its range, confined as the query is.
        back_seconds: Its range; 0 where the newest sample counts.
    """

    text: str
    back_seconds: float = 0.0


def quoted(value: str) -> str:
    """A PromQL string literal. The only way a value from outside gets into a query."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def parse(text: str) -> grammar.Expr:
    """The tree of a query.

    Raises:
        QueryError: In the parser's words.
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise QueryError(f"{len(text)} characters long, at most {MAX_QUERY_CHARACTERS} are parsed")
    with _panics_refused():
        try:
            return grammar.parse(_STRINGS_AND_COMMENTS.sub(_without_backquotes, text))
        except ValueError as error:  # UnicodeEncodeError among them: half a surrogate pair
            raise QueryError(f"not PromQL: {' '.join(str(error).split())}") from error


def render(tree: grammar.Expr, confinement: Confinement | None = None) -> str:
    """The tree as text, every selector within the confinement.

    Raises:
        QueryError: It cannot be confined, or holds what cannot be written out.
    """
    with _panics_refused():
        return _Renderer(confinement).text(tree)


def present_selectors(tree: grammar.Expr, confinement: Confinement | None = None) -> tuple[Selector, ...]:
    """Selectors that look at the present, each once. What ``offset`` or ``@`` moves tells nothing of the age of now."""
    renderer = _Renderer(confinement)
    found = (
        Selector(renderer.selector(selector), back)
        for selector, back in _selectors(tree)
        if selector.offset is None and selector.at is None
    )
    return tuple(dict.fromkeys(found))


@contextmanager
def _panics_refused() -> Iterator[None]:
    """What goes wrong in the Rust of the parser comes as a BaseException, and would end the process."""
    try:
        yield
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise QueryError("the parser does not get along with it") from error


def _without_backquotes(found: re.Match[str]) -> str:
    """Raw strings as quoted ones: the parser looks for escapes in them, so that `\\d` would be refused.

    What this takes for a string need not be one to the parser. It then parses another text than the user meant, and
    that is what is written out: no bracket of it can open or close anything of ours.
    """
    text = found.group()
    return quoted(text[1:-1]) if text.startswith("`") else text


def _selectors(tree: Any) -> Iterator[tuple[grammar.VectorSelector, float]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop(0)
        match node:
            case grammar.VectorSelector():
                yield node, 0.0
            case grammar.MatrixSelector():
                yield node.vector_selector, node.range.total_seconds()
            case grammar.BinaryExpr():
                waiting[:0] = [node.lhs, node.rhs]
            case grammar.Call():
                waiting[:0] = node.args
            case grammar.AggregateExpr():
                waiting[:0] = [node.expr] if node.param is None else [node.param, node.expr]
            case grammar.SubqueryExpr():
                if node.offset is None and node.at is None:
                    waiting.insert(0, node.expr)
            case grammar.UnaryExpr() | grammar.ParenExpr():
                waiting.insert(0, node.expr)


@dataclass(frozen=True, slots=True)
class _Renderer:
    confinement: Confinement | None

    def text(self, node: Any, depth: int = 0) -> str:
        if depth > MAX_DEPTH:
            raise QueryError(f"nested deeper than {MAX_DEPTH}")
        match node:
            case grammar.NumberLiteral():
                return _number(node.val)
            case grammar.StringLiteral():
                return quoted(node.val)
            case grammar.VectorSelector():
                return self.selector(node) + _moved(node)
            case grammar.MatrixSelector():
                selector = node.vector_selector
                return f"{self.selector(selector)}[{_duration(node.range)}]{_moved(selector)}"
            case grammar.SubqueryExpr():
                step = "" if node.step is None else _duration(node.step)
                return f"{self.text(node.expr, depth + 1)}[{_duration(node.range)}:{step}]{_moved(node)}"
            case grammar.ParenExpr():
                return f"({self.text(node.expr, depth + 1)})"
            case grammar.UnaryExpr():
                return f"-{self.text(node.expr, depth + 1)}"
            case grammar.BinaryExpr():
                return self._binary(node, depth)
            case grammar.AggregateExpr():
                return self._aggregate(node, depth)
            case grammar.Call():
                return self._call(node, depth)
        raise QueryError(f"{type(node).__name__} is not supported")

    def selector(self, node: grammar.VectorSelector) -> str:
        """Name and matchers; a metric name that needs quotes is a matcher."""
        if node.matchers.or_matchers:
            raise QueryError("alternatives with 'or' between braces are not supported")
        bare = (
            node.name is not None and _METRIC_NAME.fullmatch(node.name) and not _KEYWORDS.fullmatch(node.name.lower())
        )
        matchers = [] if node.name is None or bare else [f"__name__={quoted(node.name)}"]
        matchers += [f"{_label(m.name)}{_word(_MATCHES, m.op)}{quoted(m.value)}" for m in node.matchers.matchers]
        if self.confinement is not None:
            own = f"{_label(self.confinement.label)}={quoted(self.confinement.namespace)}"
            self._check_namespace(node.matchers.matchers, self.confinement)
            matchers += [] if own in matchers else [own]
        name = node.name if bare else ""
        return f"{name}{{{', '.join(matchers)}}}" if matchers else str(name)

    def _check_namespace(self, matchers: Sequence[grammar.Matcher], confinement: Confinement) -> None:
        """Ours is added to the user's own matchers, so none can widen it; one that shuts it out is a mistake."""
        for matcher in matchers:
            equal = matcher.op == grammar.MatchOp.Equal and matcher.value != confinement.namespace
            if matcher.name == confinement.label and equal:
                raise QueryError(
                    f"asks for {matcher.name}={quoted(matcher.value)}; "
                    f"only series of {confinement.label}={quoted(confinement.namespace)} may be read from here"
                )

    def _binary(self, node: Any, depth: int) -> str:
        """A chain of operators is as deep as it is long on its left side, so that side is walked."""
        parts: list[str] = []
        while isinstance(node, grammar.BinaryExpr):
            operator = str(node.op)
            if operator not in _OPERATORS:
                raise QueryError(f"the operator {operator} is not supported")
            parts.append(f" {operator} {_matching(node.modifier)}{self.text(node.rhs, depth + 1)}")
            node = node.lhs
        return self.text(node, depth + 1) + "".join(reversed(parts))

    def _aggregate(self, node: grammar.AggregateExpr, depth: int) -> str:
        operator = str(node.op)
        if not _LABEL_NAME.fullmatch(operator):
            raise QueryError(f"the aggregation {operator} is not supported")
        grouping = ""
        if node.modifier is not None:
            word = "by" if node.modifier.type == grammar.AggModifierType.By else "without"
            grouping = f" {word} {_labels(node.modifier.labels)} "
        parameter = "" if node.param is None else f"{self.text(node.param, depth + 1)}, "
        return f"{operator}{grouping}({parameter}{self.text(node.expr, depth + 1)})"

    def _call(self, node: grammar.Call, depth: int) -> str:
        name = node.func.name
        if not _LABEL_NAME.fullmatch(name):
            raise QueryError(f"the function {name} is not supported")
        if name == "info" and self.confinement is not None:
            # It reads target_info of whatever job and instance its argument names, without any selector.
            raise QueryError("info() reads series of other namespaces")
        return f"{name}({', '.join(self.text(each, depth + 1) for each in node.args)})"


def _matching(modifier: grammar.BinModifier | None) -> str:
    """``bool on (a) group_left (b) ``, or nothing."""
    if modifier is None:
        return ""
    if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
        raise QueryError("fill modifiers are not supported")
    words = ["bool"] if modifier.return_bool else []
    if modifier.matching is not None:
        on = modifier.matching.type == grammar.LabelModifierType.Include
        words.append(f"{'on' if on else 'ignoring'} {_labels(modifier.matching.labels)}")
    if group := _word(_GROUPS, modifier.card):
        words.append(f"{group} {_labels(modifier.group_labels or [])}")
    return "".join(f"{word} " for word in words)


def _word(words: Sequence[tuple[object, str]], value: object) -> str:
    """What stands for a value; empty where nothing does."""
    return next((word for key, word in words if key == value), "")


def _labels(names: Sequence[str]) -> str:
    return f"({', '.join(map(_label, names))})"


def _label(name: str) -> str:
    return name if _LABEL_NAME.fullmatch(name) else quoted(name)


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return repr(value).replace("inf", "Inf").removesuffix(".0")


def _moved(node: Any) -> str:
    """``@ …`` and ``offset …``."""
    text = ""
    if node.at is not None:
        text += f" @ {_word(_ENDS, node.at.type) or _instant(node.at)}"
    if node.offset is not None:
        text += f" offset {_duration(node.offset)}"
    return text


def _instant(at: grammar.AtModifier) -> str:
    """From the modifier's own text, ``@ 1609746000.123``: to ask for its time makes the parser panic before 1970."""
    seconds = str(at).removeprefix("@ ")
    if not re.fullmatch(r"[0-9]+\.[0-9]{3}", seconds) or float(seconds) == 0.0:
        raise QueryError("the time after @ must lie after 1970")
    return seconds


def _duration(length: timedelta | None) -> str:
    """In the largest unit that holds it whole: ``90s``, ``5m``, ``1500ms``."""
    assert length is not None
    milliseconds = round(length / timedelta(milliseconds=1))
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
