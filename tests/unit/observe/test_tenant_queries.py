"""What tenants may ask, and that none of 10,000 hostile texts touches a neighbour."""

from __future__ import annotations

from typing import Any

import promql_parser as grammar
import pytest

from kcloud_autoscale.api.promql import Confinement, parse, render
from kcloud_autoscale.observe.query_batching import joined
from kcloud_autoscale.observe.tenant_queries import (
    ALLOW_ALL,
    ENFORCE_NAMESPACE,
    TenantQueries,
    TenantQuery,
    TenantQueryRules,
    admitted,
)
from tests.builders.hostile_queries import hostile_queries

NEIGHBOURS = [
    admitted(f'sum(rate(requests_total{{app="{app}"}}[2m])) # of {app}', "team-a", ENFORCE_NAMESPACE)
    for app in ("first", "last")
]


def test_by_default_a_query_reads_its_own_namespace():
    query = admitted('sum(demo_load{workload="llm"})', "team-a", TenantQueryRules())
    assert query.text == 'sum(demo_load{workload="llm", namespace="team-a"})'
    assert [each.text for each in query.selectors] == ['demo_load{workload="llm", namespace="team-a"}']
    assert (query.refused, query.joinable) == ("", True)


def test_the_label_of_the_namespace_is_a_setting():
    rules = TenantQueryRules(namespace_label="exported_namespace")
    assert admitted("a", "team-a", rules).text == 'a{exported_namespace="team-a"}'


def test_what_cannot_be_parsed_cannot_be_confined_and_is_refused_in_the_parsers_words():
    query = admitted("rollup_rate(a[5m])", "team-a", ENFORCE_NAMESPACE)
    assert "unknown function with name 'rollup_rate'" in query.refused
    assert "tenantQueries: enforceNamespace" in query.refused


def test_where_all_may_be_read_a_dialect_is_asked_as_it_stands_and_alone():
    query = admitted("rollup_rate(a[5m])", "team-a", ALLOW_ALL)
    assert query == TenantQuery("team-a", "rollup_rate(a[5m])", joinable=False)
    assert admitted("a #\r", "team-a", ALLOW_ALL) == TenantQuery("team-a", "a")


def test_where_presets_only_are_wanted_no_query_is_asked():
    query = admitted("vector(1)", "team-a", TenantQueryRules(TenantQueries.DENY))
    assert "tenantQueries: deny" in query.refused


@pytest.mark.parametrize("rules", [ENFORCE_NAMESPACE, ALLOW_ALL], ids=lambda rules: rules.mode)
def test_none_of_ten_thousand_hostile_texts_reaches_its_neighbours(rules: TenantQueryRules):
    """Joined between two others, each stays one operand of the chain, and theirs are what they were."""
    sent = 0
    for text in hostile_queries(10_000):
        query = admitted(text, "team-a", rules)
        if query.refused or not query.joinable:
            continue
        sent += 1
        first, middle, last = _operands(parse(joined([NEIGHBOURS[0], query, NEIGHBOURS[1]], "kcloud_query_tag")))
        assert render(first) == _tagged(NEIGHBOURS[0].text, 0), text
        assert render(last) == _tagged(NEIGHBOURS[1].text, 2), text
        assert render(middle) == _tagged(query.text, 1), text
        if rules is ENFORCE_NAMESPACE:
            _check_confined(query.text)
    assert sent > 1_500, "the texts are so broken that they prove nothing"


def _tagged(text: str, place: int) -> str:
    return f'label_replace(({text}), "kcloud_query_tag", "{place}", "", "")'


def _operands(tree: Any) -> list[Any]:
    """Of the chain of ``or`` that the three are joined to."""
    assert isinstance(tree, grammar.BinaryExpr)
    assert isinstance(tree.lhs, grammar.BinaryExpr)
    return [tree.lhs.lhs, tree.lhs.rhs, tree.rhs]


def _check_confined(text: str) -> None:
    """Each selector matches its namespace exactly: rendering with the confinement has nothing to add."""
    selectors: list[grammar.VectorSelector] = []

    def note(node: grammar.Expr) -> None:
        if isinstance(node, grammar.VectorSelector):
            selectors.append(node)
        if isinstance(node, grammar.MatrixSelector):
            selectors.append(node.vector_selector)

    tree = parse(text)
    grammar.walk(tree, note)
    for selector in selectors:
        own = [m for m in selector.matchers.matchers if m.name == "namespace" and m.op == grammar.MatchOp.Equal]
        assert [m.value for m in own] == ["team-a"], text
    assert render(tree, Confinement("namespace", "team-a")) == text
