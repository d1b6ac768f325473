"""Forecasts of a whole history in bulk, for simulation: what the live forecaster would have said at every step.

The parameters of a workload change only at its refreshes, so a block between two of them is one set of array
operations instead of thirty. A month at one minute takes about a second, and the numbers are those of `LiveForecaster`
fed one step at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.domain.series import AskedModel, DemandHistory, Forecast
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.answers import ForecastRequest, domain_forecasts
from kcloud_autoscale.forecast.fleet import FleetForecast, FleetForecaster, horizon_steps
from kcloud_autoscale.forecast.layouts import rung, still_fits
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.refresh import refresh
from kcloud_autoscale.forecast.reread import Rereading
from kcloud_autoscale.forecast.ring import BoolArray, FloatArray, IntArray
from kcloud_autoscale.forecast.settings import EXPERTS, LEVELS, FleetSettings
from kcloud_autoscale.forecast.warmup import first_step

# Answers put into words at once: one by one they cost more than all the rest of a step.
_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Forecasts of one workload at consecutive origins.

    Attributes:
        first: Absolute index of the first origin.
        horizon: Steps of the window forecast.
        quantiles: Shape (origins, len(LEVELS)), load per second.
        known, gap: Shape (origins,), steps with demand so far, and since demand was last known.
        version: Shape (origins,), index into the next three: they change when the workload refreshes.
        weights: Shape (refreshes, len(EXPERTS) + 1, len(LEVELS)).
        scores: Shape (refreshes, 5, len(LEVELS)), as in `FleetForecast`.
        scored: Shape (refreshes,).
        asked: What there was to say of the model that was asked for, at each refresh.
        model: Which it was.
    """

    first: int
    horizon: int
    quantiles: FloatArray
    known: IntArray
    gap: IntArray
    version: IntArray
    weights: FloatArray
    scores: FloatArray
    scored: FloatArray
    asked: tuple[AskedModel | None, ...]
    model: str | None

    def answers(self, begin: int, count: int) -> FleetForecast[int]:
        """Some of the answers as the fleet gives them, at the origins with the indices from ``begin`` on."""
        taken = slice(begin, min(begin + count, len(self.quantiles)))
        origin, version = self.first + np.arange(taken.start, taken.stop), self.version[taken]
        return FleetForecast(
            keys=tuple(origin.tolist()),
            horizon_steps=np.full(len(origin), self.horizon),
            origin=origin,
            known=self.known[taken],
            gap=self.gap[taken],
            quantiles=self.quantiles[taken],
            weights=self.weights[version],
            scores=self.scores[version],
            scored=self.scored[version],
            asked=tuple(self.asked[at] for at in version.tolist()),
        )


def replay(
    key: WorkloadKey,
    history: DemandHistory,
    horizon_seconds: float,
    taught_steps: int,
    settings: FleetSettings | None = None,
    knowledge: Knowledge | None = None,
    model: str | None = None,
) -> Replay:
    """What `LiveForecaster` says at every step of ``history`` from ``taught_steps - 1`` on.

    Args:
        key: Decides at which phase the workload refreshes, as it does live.
        history: Everything, past and to come; a forecast at step t rests on the steps up to t only.
        horizon_seconds: Length of the window whose peak is forecast.
        taught_steps: The first so many steps are learned at once, as an operator does that starts with a history.
            With zero, or without any demand among them, the workload starts with its first known step.
        settings: The defaults if None.
        knowledge: From a bundle, if there is one.
        model: To be heard beside the built-in experts; it is fitted in this process.
    """
    step, values = history.step_seconds, history.values
    fleet: FleetForecaster[WorkloadKey] = FleetForecaster(step, settings, knowledge)
    known = np.flatnonzero(np.isfinite(values) & (values >= 0))
    begin = first_step(history)
    wanted = horizon_steps(horizon_seconds, step)
    if not len(known):
        return _nothing(begin, wanted, model)
    taught = max(taught_steps, int(known[0]) + 1)
    fleet.warm_up({key: DemandHistory(history.start_seconds, step, values[:taught])}, {key: wanted}, {key: model})
    return _walk(fleet, key, values[taught:])


def _walk(fleet: FleetForecaster[WorkloadKey], key: WorkloadKey, values: FloatArray) -> Replay:
    """Advance in blocks from refresh to refresh, keeping what would have been answered."""
    panel, row = fleet.home_of(key)
    state, rows = panel.state, np.array([row])
    now, gap = fleet.predict([key]), int(state.gap[row])
    quantiles, weights = [now.quantiles], [now.weights[0]]
    scores, scored, version = [now.scores[0]], [now.scored[0]], [np.zeros(1, dtype=np.int64)]
    asked = [now.asked[0]]
    at = 0
    while at < len(values):
        until = int(panel.steps_until_due(rows, state.clock[rows] + 1)[0]) + 1
        count = min(until, len(values) - at)
        quantiles.append(panel.advance(rows, values[None, at : at + count])[0])
        version.append(np.full(count, len(weights) - 1))
        at += count
        if count == until:
            refresh(panel, rows)
            fleet.fit()
            now = fleet.predict([key])
            asked.append(now.asked[0])
            weights.append(now.weights[0])
            scores.append(now.scores[0])
            scored.append(now.scored[0])
            version[-1][-1] += 1  # live, the answer at a refresh step is given after the refresh
    first = int(state.clock[row]) - len(values)
    seen = np.isfinite(values) & (values >= 0)
    known = int(state.known[row]) - int(seen.sum()) + np.concatenate([[0], np.cumsum(seen)])
    return Replay(
        first=first,
        horizon=panel.grid.horizon,
        quantiles=np.concatenate(quantiles),
        known=known,
        gap=_gaps(gap, seen),
        version=np.concatenate(version),
        weights=np.stack(weights),
        scores=np.stack(scores),
        scored=np.array(scored),
        asked=tuple(asked),
        model=panel.model,
    )


def _gaps(before: int, seen: BoolArray) -> IntArray:
    """Steps since demand was last known, at the origin before ``seen`` and at each of its steps."""
    at = np.arange(1, len(seen) + 1)
    last = np.maximum.accumulate(np.where(seen, at, -before))
    return np.concatenate([[before], at - last])


def _nothing(first: int, wanted: int, model: str | None) -> Replay:
    """No demand at all: no origin to forecast from."""
    levels = len(LEVELS)
    empty = np.zeros(0, dtype=np.int64)
    return Replay(
        first=first,
        horizon=rung(wanted),
        quantiles=np.zeros((0, levels)),
        known=empty,
        gap=empty,
        version=empty,
        weights=np.zeros((0, len(EXPERTS) + 1, levels)),
        scores=np.zeros((0, 5, levels)),
        scored=np.zeros(0),
        asked=(),
        model=model,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Forecasts at consecutive origins, as they were asked for."""

    replay: Replay
    request: ForecastRequest
    forecasts: Mapping[int, Forecast]


@functools.lru_cache(maxsize=1024)
def _fits(horizon: int, horizon_seconds: float, step_seconds: float) -> bool:
    """Whether a horizon of steps may stay; the same is asked at every step."""
    return still_fits(horizon, horizon_steps(horizon_seconds, step_seconds))


class ReplayedForecaster:
    """Answers like a `LiveForecaster`, from forecasts made in bulk of histories known beforehand.

    What it is fed only says how far it may look: the answer at step t is the one that rests on the steps up to t.
    A horizon that no longer fits is kept until the next steps come, as live, where the whole history is read again for
    it; then the workload is taught anew all that has been seen of it.
    """

    def __init__(
        self,
        histories: Mapping[WorkloadKey, DemandHistory],
        taught_steps: int = 0,
        settings: FleetSettings | None = None,
        knowledge: Knowledge | None = None,
    ) -> None:
        """Replay ``histories``, the first ``taught_steps`` of each learned at once."""
        self._histories, self._taught = histories, taught_steps
        self._settings, self._knowledge = settings or FleetSettings(), knowledge
        self._seen_until: dict[WorkloadKey, float] = {}
        self._replays: dict[WorkloadKey, Replay] = {}
        self._blocks: dict[WorkloadKey, _Block] = {}
        self._rereading: Rereading[WorkloadKey] = Rereading()
        self._reread: set[WorkloadKey] = set()

    def seen_until(self) -> Mapping[WorkloadKey, float]:
        """For each workload fed so far the Unix time up to which it may be looked at."""
        return self._seen_until

    def to_reread(self) -> Collection[WorkloadKey]:
        """None: every history is known beforehand."""
        return ()

    def learn(self, histories: Mapping[WorkloadKey, DemandHistory]) -> None:
        """Move on to the end of each history."""
        for key, history in histories.items():
            if key in self._rereading.asked and len(history.values):
                self._reread.add(key)
            self._seen_until[key] = max(history.end_seconds, self._seen_until.get(key, -np.inf))

    def forecast(self, requests: Sequence[ForecastRequest], now_seconds: float) -> Mapping[WorkloadKey, Forecast]:
        """Forecasts for all requests; a workload not fed or without any demand yet is absent."""
        forecasts: dict[WorkloadKey, Forecast] = {}
        misfits: list[WorkloadKey] = []
        for request in requests:
            if request.key not in self._seen_until:
                continue
            known = self._replay_for(request)
            if not self._fits(request, known):
                misfits.append(request.key)
            at = self._at(request.key, known)
            if 0 <= at < len(known.quantiles):
                forecasts[request.key] = self._said(request, known, at)
        self._rereading.ask(misfits)
        return forecasts

    def forget(self, keys: Sequence[WorkloadKey]) -> None:
        """Drop workloads that are gone."""
        self._rereading.forget(keys)
        for key in keys:
            self._seen_until.pop(key, None)
            self._replays.pop(key, None)
            self._blocks.pop(key, None)
            self._reread.discard(key)

    def _replay_for(self, request: ForecastRequest) -> Replay:
        """The replay that is valid now: the first one, or one with all that has been seen taught at once."""
        key, known = request.key, self._replays.get(request.key)
        if known is not None and key not in self._reread and (self._fits(request, known) or self._at(key, known) >= 0):
            return known
        taught = self._steps_seen(key) if key in self._reread else self._taught
        known = replay(
            key,
            self._histories[key],
            request.horizon_seconds,
            taught,
            self._settings,
            self._knowledge,
            request.model,
        )
        self._replays[key] = known
        self._reread.discard(key)
        return known

    def _fits(self, request: ForecastRequest, known: Replay) -> bool:
        step_seconds = self._histories[request.key].step_seconds
        return known.model == request.model and _fits(known.horizon, request.horizon_seconds, step_seconds)

    def _steps_seen(self, key: WorkloadKey) -> int:
        history = self._histories[key]
        return round((self._seen_until[key] - history.start_seconds) / history.step_seconds)

    def _at(self, key: WorkloadKey, known: Replay) -> int:
        """Index of the origin that is the last step fed; negative before there was any demand."""
        return first_step(self._histories[key]) + self._steps_seen(key) - 1 - known.first

    def _said(self, request: ForecastRequest, known: Replay, at: int) -> Forecast:
        """The answer at one origin, from a block of answers put into words at once."""
        said, origin = self._blocks.get(request.key), known.first + at
        if said is None or said.replay is not known or said.request != request or origin not in said.forecasts:
            answers = known.answers(at, _BLOCK)
            step_seconds = self._histories[request.key].step_seconds
            forecasts = domain_forecasts(answers, dict.fromkeys(answers.keys, request), step_seconds, self._settings)
            said = self._blocks[request.key] = _Block(known, request, forecasts)
        return said.forecasts[origin]
