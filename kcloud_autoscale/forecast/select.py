"""Whether a forecast may be acted on, and who was heard."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcloud_autoscale.forecast.fleet import FleetForecast
from kcloud_autoscale.forecast.settings import DAY_SECONDS, EXPERTS, LEVELS, FleetSettings

CALIBRATED = "Calibrated"
COLD_START = "ColdStart"
TOO_LITTLE_HISTORY = "TooLittleHistory"
DEMAND_UNKNOWN = "DemandUnknown"
WORSE_THAN_LAST_VALUE = "WorseThanLastValue"
COVERAGE_DRIFT = "CoverageDrift"

JUDGED_LEVEL = LEVELS.index(0.95)
STALE_SECONDS = 300.0
"""Five minutes without demand: the present, from which every expert starts, is then a guess."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether decisions may rest on a forecast, and the CamelCase reason."""

    trusted: bool
    reason: str


# In the order they are asked for: the first that holds is the verdict.
_VERDICTS = (
    Verdict(False, TOO_LITTLE_HISTORY),
    Verdict(False, DEMAND_UNKNOWN),
    Verdict(False, WORSE_THAN_LAST_VALUE),
    Verdict(False, COVERAGE_DRIFT),
    Verdict(True, COLD_START),
    Verdict(True, CALIBRATED),
)


def judge(forecast: FleetForecast[Any], step_seconds: float, settings: FleetSettings) -> list[Verdict]:
    """One verdict per workload of a fleet forecast.

    A workload is demoted to the reactive rule when, over the last days, even the calibrated ensemble lost more
    than calibrated last value would have, or the 0.95 quantile was missed far too often. Both need half a day of
    scores: a verdict on an hour would be noise.
    """
    known_seconds = forecast.known * step_seconds
    young, cold = known_seconds < settings.trusted_seconds, known_seconds < DAY_SECONDS
    stale = forecast.gap * step_seconds > max(STALE_SECONDS, 2.5 * step_seconds)
    enough = forecast.scored * step_seconds > 0.5 * DAY_SECONDS
    ensemble, last_value, covered = (forecast.scores[:, index, JUDGED_LEVEL] for index in range(3))
    with np.errstate(invalid="ignore"):
        worse = enough & (ensemble > settings.demotion_ratio * last_value)
        drifted = enough & (covered < LEVELS[JUDGED_LEVEL] - settings.coverage_slack)
    first = np.argmax([young, stale, worse, drifted, cold, np.ones_like(cold)], axis=0)
    return [_VERDICTS[index] for index in first.tolist()]


@functools.lru_cache(maxsize=32_768)
def named_weights(weights: tuple[float, ...], asked: str | None) -> tuple[tuple[str, float], ...]:
    """Experts with at least one per cent of the say, loudest first; ``asked`` is the model behind the last weight.

    Weights change only when a workload refreshes, so most of a fleet's names are those of the cycle before.
    """
    names = (*EXPERTS, asked or "")
    named = [(name, round(weight, 3)) for name, weight in zip(names, weights, strict=True) if weight >= 0.01]
    return tuple(sorted(named, key=lambda each: -each[1]))


@functools.lru_cache(maxsize=32_768)
def model_name(weights: tuple[tuple[str, float], ...]) -> str:
    """For people: ``hedge(ridge 0.71, last value 0.20)``."""
    return "hedge(" + ", ".join(f"{name} {weight:.2f}" for name, weight in weights) + ")"
