"""PromQL parsed, confined and written anew: the same question, nothing of the user's text."""

from __future__ import annotations

import promql_parser as grammar
import pytest

from kcloud_autoscale.api.promql import (
    MAX_QUERY_CHARACTERS,
    Confinement,
    QueryError,
    Selector,
    parse,
    present_selectors,
    quoted,
    render,
)

AI = Confinement("namespace", "ai")


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("sum(rate(a[1m])) # per second", "sum(rate(a[1m]))"),
        ("sum(rate(a[90s])) by (x, le)", "sum by (x, le) (rate(a[90s]))"),
        ("topk without () (3, a)", "topk without () (3, a)"),
        ("a[1h30m] offset -1m30s", "a[90m] offset -90s"),
        ("max_over_time(rate(a[1m500ms])[1d:] @ end())", "max_over_time(rate(a[60500ms])[1d:] @ end())"),
        ("max_over_time(a[10m:30s] offset 5m)", "max_over_time(a[10m:30s] offset 5m)"),
        ("a offset 5m @ 1609746000.123", "a @ 1609746000.123 offset 5m"),
        ("a + b * c ^ -d ^ 2 - -1", "a + b * c ^ -d ^ 2 - -1"),
        ("((a + b) * c)", "((a + b) * c)"),
        (
            "a / on(x,y) group_left(z) b > bool ignoring(x) c",
            "a / on (x, y) group_left (z) b > bool ignoring (x) c",
        ),
        ("a and b or c unless on() d atan2 e", "a and b or c unless on () d atan2 e"),
        (
            "histogram_quantile(.9, a) + 1e308 + 0x1F + NaN - Inf",
            "histogram_quantile(0.9, a) + 1e+308 + 31 + NaN - Inf",
        ),
        (r"""a{b="x\"y\\",c=~'it',d!~`\d+"`}""", r'a{b="x\"y\\", c=~"it", d!~"\\d+\""}'),
        ('{"a.b", "c d"="\u2028\\r\\n"}', '{__name__="a.b", "c d"="\u2028\\r\\n"}'),
        ('sum by ("a\\"b") (x)', r'sum by ("a\"b") (x)'),
        ("sum + start", '{__name__="sum"} + {__name__="start"}'),
        ('label_replace(a, "b", "$1", "c", `(.*)\\.x`)', r'label_replace(a, "b", "$1", "c", "(.*)\\.x")'),
        ('count_values("v", a)', 'count_values("v", a)'),
    ],
)
def test_a_query_is_written_anew_with_the_same_meaning(text: str, rendered: str):
    assert render(parse(text)) == rendered
    assert render(parse(rendered)) == rendered


@pytest.mark.parametrize(
    ("text", "confined"),
    [
        ("sum(rate(a[1m]))", 'sum(rate(a{namespace="ai"}[1m]))'),
        ("a{x=~'.*'} offset 5m", 'a{x=~".*", namespace="ai"} offset 5m'),
        ('{__name__=~".+"}', '{__name__=~".+", namespace="ai"}'),
        ('a{namespace=~".*"}', 'a{namespace=~".*", namespace="ai"}'),
        ('a{namespace!="ai"}', 'a{namespace!="ai", namespace="ai"}'),
        ('a{namespace="ai"}', 'a{namespace="ai"}'),
        (
            "a / on () b unless count(c[5m:1m]) > scalar(d)".replace("c[5m:1m]", "c"),
            'a{namespace="ai"} / on () b{namespace="ai"} unless count(c{namespace="ai"}) > scalar(d{namespace="ai"})',
        ),
        ("quantile(scalar(a), b)", 'quantile(scalar(a{namespace="ai"}), b{namespace="ai"})'),
        ("max_over_time(a[5m:1m])", 'max_over_time(a{namespace="ai"}[5m:1m])'),
        ("vector(1)", "vector(1)"),
    ],
)
def test_every_selector_is_confined_and_no_matcher_widens_it(text: str, confined: str):
    assert render(parse(text), AI) == confined


def test_the_label_and_the_namespace_are_quoted_like_everything_else():
    assert render(parse("a"), Confinement("k8s.ns", 'x"} or b{"')) == r'a{"k8s.ns"="x\"} or b{\""}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('a{namespace="web"}', 'asks for namespace="web"; only series of namespace="ai"'),
        ("info(a)", "info"),
        ('info(a, {b="c"})', "info"),
        ('a{b="c" or d="e"}', "alternatives"),
    ],
)
def test_what_cannot_be_confined_is_refused(text: str, why: str):
    with pytest.raises(QueryError, match=why.replace("(", r"\(")):
        render(parse(text), AI)


@pytest.mark.parametrize(
    "text",
    [
        "a) or (b",
        "(vector(1)) #\r), x or (vector(2)",
        "sum(a",
        "rollup_rate(a[5m])",
        "a offset (5m)",
        'a{b="\ud800"}',
        "a" * (MAX_QUERY_CHARACTERS + 1),
        "",
    ],
)
def test_what_the_grammar_does_not_know_is_refused_in_its_words(text: str):
    with pytest.raises(QueryError):
        parse(text)


@pytest.mark.parametrize("text", ["a @ -1", "(" * 100 + "a" + ")" * 100, "a + fill(0) b"])
def test_what_the_tree_cannot_carry_is_refused(text: str):
    with pytest.raises(QueryError):
        render(parse(text))


def test_a_long_chain_of_operators_is_no_depth():
    text = " + ".join(["a"] * 400)
    assert render(parse(text)) == text


def test_a_panic_of_the_parser_is_a_refusal(monkeypatch: pytest.MonkeyPatch):
    """It comes as a BaseException, which would end the process."""

    def panics(text: str) -> grammar.Expr:
        tree = original("a @ -1")
        assert isinstance(tree, grammar.VectorSelector)
        assert tree.at is not None
        tree.at.at  # noqa: B018 - the access panics
        return tree

    original = grammar.parse
    monkeypatch.setattr(grammar, "parse", panics)
    with pytest.raises(QueryError, match="does not get along"):
        parse("a")


@pytest.mark.parametrize(
    ("text", "selectors"),
    [
        ("sum(rate(a[2m]))", [Selector("a", 120.0)]),
        ('sum by (x) (rate(a{b="}"}[1m])) / c', [Selector('a{b="}"}', 60.0), Selector("c")]),
        ("max_over_time(rate(a[1m])[10m:30s])", [Selector("a", 60.0)]),
        ("a offset 5m + b", [Selector("b")]),
        ("rate(a[5m] @ end()) + b", [Selector("b")]),
        ("max_over_time(sum(a)[5m:] offset 1h)", []),
        ("a and on () b unless c or vector(0)", [Selector("a"), Selector("b"), Selector("c")]),
        ("a > bool 2 and a < Inf", [Selector("a")]),
        ("a - a", [Selector("a")]),
        ("quantile(scalar(a), b)", [Selector("a"), Selector("b")]),
        ("vector(1)", []),
    ],
)
def test_selectors_that_look_at_the_present(text: str, selectors: list[Selector]):
    assert list(present_selectors(parse(text))) == selectors


def test_selectors_are_confined_as_the_query_is():
    assert present_selectors(parse("rate(a[1m])"), AI) == (Selector('a{namespace="ai"}', 60.0),)


@pytest.mark.parametrize("value", ['"', "\\", "\n", "\r", "a\\", '\\"', "\x00", "`", "'"])
def test_a_quoted_string_ends_where_it_should(value: str):
    tree = parse(f"{quoted(value)}")
    assert isinstance(tree, grammar.StringLiteral)
    assert tree.val == value
