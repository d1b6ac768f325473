from __future__ import annotations

import pytest

from kcloud_autoscale.api.rules import Rule, cel_number, cel_string, when


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (50.0, "50"),
        (2500.5, "2500.5"),
        (100_000.0, "100000"),
        (1e6, "1e+06"),
        (1_500_000.0, "1.5e+06"),
        (123456789.125, "1.23456789125e+08"),
        (1_500_000, "1500000"),
        (0.0001, "0.0001"),
        (1e-9, "1e-09"),
        (-3.5, "-3.5"),
        (0.0, "0"),
    ],
)
def test_numbers_read_as_the_api_server_writes_them(number, text):
    # Each was printed by `'%s'.format([self.b])` on a real API server.
    assert cel_number(number) == text


def test_other_values_read_as_the_api_server_writes_them():
    assert cel_string(["b", "c"]) == '["b", "c"]'
    assert cel_string(True) == "true"
    assert cel_string("it's") == "it's"


RULE = Rule(
    cel="self.low <= self.high",
    check=when(lambda v: v["low"] > v["high"], "low", "high"),
    text="low {} % isn't below high {}",
    says=("self.low", "self.high"),
    field=".low",
)


def test_both_halves_say_the_same():
    assert RULE.message({"low": 1, "high": 2}) is None
    assert RULE.message({"low": 3, "high": 2.0}) == "low 3 % isn't below high 2"
    assert RULE.render() == {
        "rule": "self.low <= self.high",
        "message": "low % isn't below high",
        "messageExpression": "'low %s %% isn\\'t below high %s'.format([self.low, self.high])",
        "fieldPath": ".low",
    }
