"""When a forecast may be acted on."""

from __future__ import annotations

import numpy as np
import pytest

from kcloud_autoscale.forecast.fleet import FleetForecast
from kcloud_autoscale.forecast.select import judge, model_name, named_weights
from kcloud_autoscale.forecast.settings import EXPERTS, LEVELS, FleetSettings

STEP = 60.0


def forecast(
    known: int = 5_000,
    gap: int = 0,
    pinball: float = 1.0,
    naive: float = 2.0,
    covered: float = 0.95,
    scored: float = 2e3,
) -> FleetForecast[str]:
    scores = np.ones((1, 5, len(LEVELS)))
    scores[:, 0], scores[:, 1], scores[:, 2] = pinball, naive, covered
    return FleetForecast(
        keys=("w",),
        horizon_steps=np.array([5]),
        origin=np.array([9_000]),
        known=np.array([known]),
        gap=np.array([gap]),
        quantiles=np.ones((1, len(LEVELS))),
        weights=np.ones((1, len(EXPERTS) + 1, len(LEVELS))),
        scores=scores if scored else np.full_like(scores, np.nan),
        scored=np.array([scored]),
        asked=(None,),
    )


@pytest.mark.parametrize(
    ("given", "trusted", "reason"),
    [
        (forecast(), True, "Calibrated"),
        (forecast(known=1_439), True, "ColdStart"),
        (forecast(known=9), False, "TooLittleHistory"),
        (forecast(known=10, scored=0.0), True, "ColdStart"),
        (forecast(gap=5), True, "Calibrated"),
        (forecast(gap=6), False, "DemandUnknown"),
        (forecast(pinball=2.09), True, "Calibrated"),
        (forecast(pinball=2.11), False, "WorseThanLastValue"),
        (forecast(covered=0.88), True, "Calibrated"),
        (forecast(covered=0.86), False, "CoverageDrift"),
        # Twelve hours are 720 steps: before, scores do not judge.
        (forecast(pinball=9.0, covered=0.1, scored=700.0), True, "Calibrated"),
        (forecast(pinball=9.0, covered=0.1, scored=730.0), False, "WorseThanLastValue"),
    ],
)
def test_verdicts(given: FleetForecast[str], trusted: bool, reason: str) -> None:
    verdict = judge(given, STEP, FleetSettings())[0]
    assert (verdict.trusted, verdict.reason) == (trusted, reason)


def test_a_long_step_is_not_stale_before_two_were_missed() -> None:
    assert judge(forecast(gap=2), 1_800.0, FleetSettings())[0].reason == "Calibrated"
    assert judge(forecast(gap=3), 1_800.0, FleetSettings())[0].reason == "DemandUnknown"


def test_who_was_heard_is_named_loudest_first() -> None:
    heard = named_weights((0.2, 0.005, 0.0, 0.1, 0.695, 0.0, 0.0), None)
    assert heard == (("ridge", 0.695), ("last value", 0.2), ("short ridge", 0.1))
    assert model_name(heard) == "hedge(ridge 0.69, last value 0.20, short ridge 0.10)"


def test_the_model_that_was_asked_for_is_named_like_any_expert() -> None:
    assert named_weights((0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.75), "ETS") == (("ETS", 0.75), ("ridge", 0.25))
