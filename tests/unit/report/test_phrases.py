from __future__ import annotations

import pytest

from kcloud_autoscale.report.phrases import amount, share


@pytest.mark.parametrize(
    ("value", "decimals", "words"),
    [
        (1234.56, 1, "1,234.6"),
        (1.0, 1, "1.0"),
        (0.0333, 1, "0.033"),  # a tenth would show 0.0
        (0.0, 2, "0.00"),
        (3e-7, 2, "3e-07"),
        (float("nan"), 3, "–"),
    ],
)
def test_two_digits_of_an_amount_are_always_shown(value: float, decimals: int, words: str):
    assert amount(value, decimals) == words


def test_one_step_of_forty_thousand_is_not_none():
    assert share(1 / 40_000, 2) == "0.0025%"
    assert share(0.25, 2) == "25.00%"
    assert share(float("nan"), 2) == "–"
