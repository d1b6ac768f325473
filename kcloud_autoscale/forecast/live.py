"""The fleet's forecaster as one tick sees it: demand histories in, domain forecasts out."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from kcloud_autoscale.domain.series import DemandHistory, Forecast, interpolated
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.fleet import FleetForecast, FleetForecaster, Key, horizon_steps
from kcloud_autoscale.forecast.intervals import SCORES
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.select import JUDGED_LEVEL, judge, model_name, named_weights
from kcloud_autoscale.forecast.settings import LEVELS, FleetSettings
from kcloud_autoscale.forecast.warmup import first_step


class ForecastRequest(Protocol):
    """What is asked for: whose peak, over how long a window, at which level."""

    @property
    def key(self) -> WorkloadKey: ...

    @property
    def horizon_seconds(self) -> float: ...

    @property
    def level(self) -> float: ...


class LiveForecaster:
    """Feeds a `FleetForecaster` from demand histories and answers in domain terms.

    A workload is taught when its horizon is first known, that is at the first forecast asked for it; until then its
    history waits. A catch-up longer than the refresh of a warm-up is taught anew instead of step by step.
    """

    def __init__(
        self,
        step_seconds: float = 60.0,
        settings: FleetSettings | None = None,
        time_scale: float = 1.0,
        knowledge: Knowledge | None = None,
    ) -> None:
        """An empty fleet; histories must come on a grid of ``step_seconds``.

        ``knowledge`` is what a bundle says of workloads in general. ``time_scale`` is for rehearsals: at 10 a "day"
        is 8,640 real seconds, and 6 s steps are learned as minutes.
        """
        self.fleet: FleetForecaster[WorkloadKey] = FleetForecaster(step_seconds * time_scale, settings, knowledge)
        self.step_seconds, self.time_scale = step_seconds, time_scale
        self._waiting: dict[WorkloadKey, DemandHistory] = {}
        self._seen_until: dict[WorkloadKey, float] = {}

    def seen_until(self) -> Mapping[WorkloadKey, float]:
        """For each workload fed so far the Unix time up to which it is known; the rest need their whole history."""
        return self._seen_until

    def learn(self, histories: Mapping[WorkloadKey, DemandHistory]) -> None:
        """Feed what is new. Steps seen before are skipped, steps left out are unknown.

        Raises:
            ValueError: A history is on another grid.
        """
        steps: dict[WorkloadKey, FloatArray] = {}
        for key, history in histories.items():
            if history.step_seconds != self.step_seconds:
                raise ValueError(f"{key}: step of {history.step_seconds} s where {self.step_seconds} s is meant")
            if not len(history.values):
                continue
            scaled = DemandHistory(
                history.start_seconds * self.time_scale, self.fleet.step_seconds, np.asarray(history.values, np.float64)
            )
            if key not in self.fleet:
                self._waiting[key] = _joined(self._waiting.get(key), scaled)
            else:
                new = _after(self.fleet.clock_of(key), scaled)
                if len(new):
                    steps[key] = new
            self._seen_until[key] = max(history.end_seconds, self._seen_until.get(key, -np.inf))
        long = int(self.fleet.settings.warm_up_refresh_seconds / self.fleet.step_seconds)
        self._teach_again({key: values for key, values in steps.items() if len(values) > long})
        self.fleet.update({key: values for key, values in steps.items() if len(values) <= long})

    def forecast(self, requests: Sequence[ForecastRequest], now_seconds: float) -> Mapping[WorkloadKey, Forecast]:
        """Forecasts for all requests at once; a workload without any demand yet is absent."""
        wanted = {request.key: horizon_steps(request.horizon_seconds, self.step_seconds) for request in requests}
        ready = {key: self._waiting.pop(key) for key in wanted if key in self._waiting}
        self.fleet.warm_up(ready, wanted)
        for key, history in ready.items():
            if key not in self.fleet:
                self._waiting[key] = history
        self.fleet.move({key: steps for key, steps in wanted.items() if key in self.fleet})
        answer = self.fleet.predict([request.key for request in requests])
        return domain_forecasts(
            answer,
            {request.key: request for request in requests},
            self.step_seconds,
            self.fleet.settings,
            self.time_scale,
        )

    def forget(self, keys: Sequence[WorkloadKey]) -> None:
        """Drop workloads that are gone."""
        self.fleet.remove(keys)
        for key in keys:
            self._waiting.pop(key, None)
            self._seen_until.pop(key, None)

    def _teach_again(self, late: Mapping[WorkloadKey, FloatArray]) -> None:
        """After a long gap: what is remembered and what came since, as one history."""
        histories, horizons = {}, {}
        for key, values in late.items():
            past = self.fleet.remembered(key)
            histories[key] = DemandHistory(past.start_seconds, past.step_seconds, np.concatenate([past.values, values]))
            horizons[key] = self.fleet.horizon_of(key)
        self.fleet.warm_up(histories, horizons)


def _after(clock: int, history: DemandHistory) -> FloatArray:
    """The values past step ``clock``, with NaN for steps between that were never delivered."""
    start = first_step(history)
    if start <= clock:
        return history.values[clock + 1 - start :]
    return np.concatenate([np.full(start - clock - 1, np.nan), history.values])


def _joined(earlier: DemandHistory | None, later: DemandHistory) -> DemandHistory:
    """Two histories as one; where both speak the later one counts."""
    if earlier is None:
        return later
    new = _after(first_step(earlier) + len(earlier.values) - 1, later)
    return DemandHistory(earlier.start_seconds, earlier.step_seconds, np.concatenate([earlier.values, new]))


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
    scores = answer.scores[:, :, JUDGED_LEVEL].tolist()
    origins, known = ((answer.origin + 1) * step_seconds).tolist(), (answer.known * step_seconds).tolist()
    longest = (answer.horizon_steps * step_seconds).tolist()
    forecasts: dict[Key, Forecast] = {}
    for index, key in enumerate(answer.keys):
        request, verdict = requests[key], verdicts[index]
        levels, values = _with_level(quantiles[index], request.level)
        heard = named_weights(tuple(weights[index]))
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
            scores=_named_scores(scores[index]),
        )
    return forecasts


def _with_level(quantiles: list[float], level: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The kept levels and the one asked for, ascending."""
    if level in LEVELS or not LEVELS[0] < level < LEVELS[-1]:
        return LEVELS, tuple(quantiles)
    value = read_curve(quantiles, level)
    at = next(index for index, kept in enumerate(LEVELS) if kept > level)
    return (*LEVELS[:at], level, *LEVELS[at:]), (*quantiles[:at], value, *quantiles[at:])


def _named_scores(scores: list[float]) -> tuple[tuple[str, float], ...]:
    """Live errors at the judged level; empty until something has matured."""
    ensemble, last_value, covered, error, naive_error = scores
    if not math.isfinite(ensemble):
        return ()
    named = [("pinball", ensemble), ("pinball_last_value", last_value), ("coverage", covered)]
    if naive_error > 0:
        named.append(("error_ratio", error / naive_error))
    return tuple(named)
