from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.account.score import optimization_score
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample

UNKNOWN = Missing(MissingReason.NO_DATA)


def sample(value: float) -> Reading:
    return Sample(value, 0.0)


@pytest.mark.parametrize(
    ("demand", "ready", "replicas", "least", "actual_usd", "least_usd", "expected"),
    [
        (45.0, 5, 5, 1, 6.88, 6.88, 1.0),  # exactly what is needed
        (45.0, 6, 6, 1, 6.88, 6.88, 5 / 6),  # one too many
        (45.0, 4, 4, 1, 6.88, 6.88, 40 / 45),  # one too few: 40 of 45 served
        (45.0, 4, 6, 1, 6.88, 6.88, 40 / 45 * 5 / 6),  # two still starting: late and paid for
        (45.0, 6, 6, 1, 6.88, 2.752, 5 * 2.752 / (6 * 6.88)),  # spot would have done
        (0.0, 3, 3, 3, 6.88, 6.88, 1.0),  # idle at the floor: nothing cheaper is allowed
        (0.0, 3, 3, 1, 6.88, 6.88, 1 / 3),
        (0.0, 0, 0, 0, 6.88, 6.88, 1.0),
        (45.0, 0, 0, 0, 6.88, 6.88, 0.0),
    ],
)
def test_hand_worked(
    demand: float, ready: int, replicas: int, least: int, actual_usd: float, least_usd: float, expected: float
):
    got = optimization_score(sample(demand), 10.0, ready, replicas, least, sample(actual_usd), sample(least_usd))
    assert got == pytest.approx(expected)


def test_an_unknown_price_cancels():
    assert optimization_score(sample(45.0), 10.0, 6, 6, 1, UNKNOWN, UNKNOWN) == pytest.approx(5 / 6)


def test_unknown_demand_or_capacity_is_an_unknown_score():
    assert optimization_score(UNKNOWN, 10.0, 6, 6, 1, sample(1.0), sample(1.0)) is None
    assert optimization_score(sample(1.0), None, 6, 6, 1, sample(1.0), sample(1.0)) is None


@given(st.floats(0.0, 1e6), st.integers(0, 100), st.integers(0, 100), st.integers(0, 20), st.floats(0.0, 99.0))
def test_it_lies_between_nought_and_one(demand: float, ready: int, starting: int, least: int, usd: float):
    got = optimization_score(sample(demand), 10.0, ready, ready + starting, least, sample(usd), sample(3.0))
    assert got is not None
    assert 0.0 <= got <= 1.0
