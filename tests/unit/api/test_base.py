from __future__ import annotations

import pytest

from kcloud_autoscale.api.base import LabelSelector, fully, parse_quantity
from kcloud_autoscale.api.selectors import matches


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("16", 16.0),
        (16, 16.0),
        ("500m", 0.5),
        ("0.5", 0.5),
        (".5", 0.5),
        ("64Gi", 64 * 2**30),
        ("1.5Ki", 1536.0),
        ("2k", 2000.0),
        ("3M", 3e6),
        ("1E", 1e18),
        ("1Ei", 2.0**60),
        ("1e3", 1000.0),
        ("12E2", 1200.0),
        ("250u", 0.00025),
        ("-1", -1.0),
    ],
)
def test_quantities(quantity, value):
    assert parse_quantity(quantity) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "16 cores", "64gi", "1KiB", "1e", "--1", "1\n"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


def test_the_end_of_a_pattern_is_the_end_of_the_text():
    assert fully("^a$").search("a")
    assert not fully("^a$").search("a\n")  # Python's own $ would take it, Go's does not


LABELS = {"team": "x", "tier": "gold"}


@pytest.mark.parametrize(
    ("selector", "matched"),
    [
        ({}, True),
        ({"matchLabels": {"team": "x"}}, True),
        ({"matchLabels": {"team": "x", "tier": "tin"}}, False),
        ({"matchLabels": {"zone": "a"}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["w", "x"]}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"team": "x"}, "matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
    ],
)
def test_selectors_match_as_in_kubernetes(selector, matched):
    assert matches(LabelSelector.model_validate(selector), LABELS) is matched


def test_no_selector_matches_everything():
    assert matches(None, {})
