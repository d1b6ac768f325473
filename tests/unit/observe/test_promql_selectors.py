from __future__ import annotations

import pytest

from kcloud_autoscale.observe.promql_selectors import Selector, promql_selectors


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ("up", [Selector("up")]),
        ('sum(rate(requests_total{app="chat"}[2m]))', [Selector('requests_total{app="chat"}', 120.0)]),
        ('sum by (pod, le) (rate(x_bucket{le=~".+[5m]"}[1m30s]))', [Selector('x_bucket{le=~".+[5m]"}', 90.0)]),
        ("sum(rate(a[2m])) without (pod)", [Selector("a", 120.0)]),
        ("sum without (pod) (a) / on (app) group_left (zone) b", [Selector("a"), Selector("b")]),
        ('{__name__="a", app="x"}[5m]', [Selector('{__name__="a", app="x"}', 300.0)]),
        ("rate(a[5m]) + rate(a[5m]) + a", [Selector("a", 300.0), Selector("a")]),
        # At another time than now it tells nothing of the age of now.
        ("a offset 5m", []),
        ("rate(a[5m] offset 1d) / b", [Selector("b")]),
        ("rate(a[5m] @ end()) or c", [Selector("c")]),
        # A subquery looks through what stands inside it.
        ("max_over_time(sum(rate(a[1m]))[1h:30s])", [Selector("a", 60.0)]),
        ("max_over_time(a[1h:30s])", [Selector("a", 3_600.0)]),
        ("a and on () b unless c or vector(0)", [Selector("a"), Selector("b"), Selector("c")]),
        ("a > bool 2 and a < Inf", [Selector("a")]),
        ("histogram_quantile(0.9, sum(rate(ns:x_bucket[5m])) by (le)) # of [1m]", [Selector("ns:x_bucket", 300.0)]),
        ("scalar(a) * 1.5e3 ^ 0x1f", [Selector("a")]),
        ("topk(1, by_name{x='by (y)'}) ", [Selector("by_name{x='by (y)'}")]),
        ("vector(1)", []),
        ("time() - timestamp(a)", [Selector("a")]),
        ("", []),
        # What is no PromQL is for the server to say; it must only end.
        ("sum(rate(a[5m", [Selector("a", 300.0)]),
        ("}{", [Selector("{")]),
    ],
)  # fmt: skip
def test_selectors_are_found_with_how_far_they_look_back(promql: str, expected: list[Selector]):
    assert list(promql_selectors(promql)) == expected
