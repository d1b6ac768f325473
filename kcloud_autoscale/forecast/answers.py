"""What a fleet forecast means to those who asked: one domain forecast per request, with its verdict and its scores."""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Protocol

from scipy.special import ndtri

from kcloud_autoscale.domain.series import Forecast, LiveScores, interpolated
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.fleet import FleetForecast, Key
from kcloud_autoscale.forecast.intervals import SCORES
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.select import JUDGED_LEVEL, judge, model_name, named_weights
from kcloud_autoscale.forecast.settings import LEVELS, FleetSettings


class ForecastRequest(Protocol):
    """What is asked for: whose peak, over how long a window, at which level, and with which model beside the others."""

    @property
    def key(self) -> WorkloadKey: ...

    @property
    def horizon_seconds(self) -> float: ...

    @property
    def level(self) -> float: ...

    @property
    def model(self) -> str | None: ...


def read_curve(quantiles: Sequence[float], level: float) -> float:
    """The quantile at any level, between those kept linearly in normal scores; clamped to the outermost."""
    return interpolated(_score(level), _SCORES, quantiles)


_SCORES = tuple(SCORES.tolist())


@functools.lru_cache(maxsize=1024)
def _score(level: float) -> float:
    return float(ndtri(level))


def domain_forecasts(
    answer: FleetForecast[Key],
    requests: Mapping[Key, ForecastRequest],
    step_seconds: float,
    settings: FleetSettings,
    time_scale: float = 1.0,
) -> dict[Key, Forecast]:
    """The same answers as `Forecast`, one per key."""
    verdicts = judge(answer, step_seconds * time_scale, settings)
    quantiles, weights = answer.quantiles.tolist(), answer.weights[:, :, JUDGED_LEVEL].tolist()
    scores = live_scores(answer.scores, answer.scored)
    origins, known = ((answer.origin + 1) * step_seconds).tolist(), (answer.known * step_seconds).tolist()
    longest = (answer.horizon_steps * step_seconds).tolist()
    forecasts: dict[Key, Forecast] = {}
    for index, key in enumerate(answer.keys):
        request, verdict = requests[key], verdicts[index]
        levels, values = _with_level(quantiles[index], request.level)
        asked = answer.asked[index]
        heard = named_weights(tuple(weights[index]), None if asked is None else asked.model)
        forecasts[key] = Forecast(
            model=model_name(heard),
            origin_seconds=origins[index],
            horizon_seconds=min(request.horizon_seconds, longest[index]),
            levels=levels,
            values=values,
            trusted=verdict.trusted,
            reason=verdict.reason,
            history_seconds=known[index],
            weights=heard,
            scores=scores[index],
            asked=asked,
        )
    return forecasts


def _with_level(quantiles: list[float], level: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The kept levels and the one asked for, ascending."""
    if level in LEVELS or not LEVELS[0] < level < LEVELS[-1]:
        return LEVELS, tuple(quantiles)
    at, levels = _place(level)
    return levels, (*quantiles[:at], read_curve(quantiles, level), *quantiles[at:])


@functools.lru_cache(maxsize=1024)
def _place(level: float) -> tuple[int, tuple[float, ...]]:
    """Where a level belongs among those kept, and all of them with it."""
    at = bisect_right(LEVELS, level)
    return at, (*LEVELS[:at], level, *LEVELS[at:])


def live_scores(scores: FloatArray, scored: FloatArray) -> list[LiveScores | None]:
    """Of each workload: coverage and pinball loss at the judged level, and the absolute error of the median.

    Args:
        scores: Shape (keys, 5, len(LEVELS)), as in `FleetForecast`.
        scored: Shape (keys,).
    """
    rows = zip(
        scores[:, :3, JUDGED_LEVEL].tolist(), scores[:, 3:, LEVELS.index(0.5)].tolist(), scored.tolist(), strict=True
    )
    return [_scores(at_level, errors, windows) for at_level, errors, windows in rows]


def _scores(at_level: list[float], errors: list[float], windows: float) -> LiveScores | None:
    (ensemble, last_value, covered), (error, naive_error) = at_level, errors
    if not math.isfinite(ensemble):
        return None
    mase = error / naive_error if naive_error > 0.0 else 1.0 if error == 0.0 else math.inf
    return LiveScores(LEVELS[JUDGED_LEVEL], covered, ensemble, last_value, mase, windows)
