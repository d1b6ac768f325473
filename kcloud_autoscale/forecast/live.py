"""The fleet's forecaster as one tick sees it: demand histories in, domain forecasts out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from kcloud_autoscale.domain.series import DemandHistory, Forecast
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.answers import ForecastRequest, domain_forecasts
from kcloud_autoscale.forecast.fitting import Fitter, fitted_here
from kcloud_autoscale.forecast.fleet import FleetForecaster, horizon_steps
from kcloud_autoscale.forecast.layouts import still_fits
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.reread import Rereading
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import FleetSettings
from kcloud_autoscale.forecast.teach import Teacher, taught_here
from kcloud_autoscale.forecast.warmup import first_step, merged


class LiveForecaster:
    """Feeds a `FleetForecaster` from demand histories and answers in domain terms.

    A history waits until it can be taught as a whole: that of a new workload for the first forecast asked for, when
    its horizon is known; one after a gap longer than the refresh of a warm-up, with what is remembered from before it;
    and one that is read again because the horizon no longer fits, because another model is asked for, or because that
    model has been fitted to its last days. That workload is forecast as before meanwhile, and says so. Teaching it from
    the week it remembers would be quicker and lose half of what it has learned: a daily kick must have been seen often.
    """

    def __init__(
        self,
        step_seconds: float = 60.0,
        settings: FleetSettings | None = None,
        time_scale: float = 1.0,
        knowledge: Knowledge | None = None,
        teacher: Teacher = taught_here,
        fitter: Fitter = fitted_here,
    ) -> None:
        """An empty fleet; histories must come on a grid of ``step_seconds``.

        ``knowledge`` is what a bundle says of workloads in general. ``time_scale`` is for rehearsals: at 10 a "day"
        is 8,640 real seconds, and 6 s steps are learned as minutes. ``teacher`` learns whole histories; who is not
        taught has no forecast, and its history waits. ``fitter`` fits the models that are asked for; without a fit such
        a model is silent, and nothing waits for it.
        """
        self.fleet: FleetForecaster[WorkloadKey] = FleetForecaster(
            step_seconds * time_scale, settings, knowledge, teacher, fitter
        )
        self.step_seconds, self.time_scale = step_seconds, time_scale
        self._waiting: dict[WorkloadKey, DemandHistory] = {}
        self._seen_until: dict[WorkloadKey, float] = {}
        self._rereading: Rereading[WorkloadKey] = Rereading()

    def seen_until(self) -> Mapping[WorkloadKey, float]:
        """For each workload fed so far the Unix time up to which it is known."""
        return self._seen_until

    def to_reread(self) -> Collection[WorkloadKey]:
        """Workloads whose whole history is wanted once more, in the next look."""
        return self._rereading.asked

    def learn(self, histories: Mapping[WorkloadKey, DemandHistory]) -> None:
        """Feed what is new. Steps seen before are skipped, steps left out are unknown.

        Raises:
            ValueError: A history is on another grid.
        """
        steps: dict[WorkloadKey, FloatArray] = {}
        for key, history in histories.items():
            if history.step_seconds != self.step_seconds:
                raise ValueError(f"{key}: step of {history.step_seconds} s where {self.step_seconds} s is meant")
            if len(history.values):
                new = self._take(key, history)
                if len(new):
                    steps[key] = new
                self._seen_until[key] = max(history.end_seconds, self._seen_until.get(key, -np.inf))
        self.fleet.update(steps)

    def forecast(self, requests: Sequence[ForecastRequest], now_seconds: float) -> Mapping[WorkloadKey, Forecast]:
        """Forecasts for all requests at once; a workload without any demand yet, or not taught yet, is absent."""
        wanted = {request.key: horizon_steps(request.horizon_seconds, self.step_seconds) for request in requests}
        models = {request.key: request.model for request in requests}
        ready = {key: self._waiting[key] for key in wanted if key in self._waiting}
        for key in self.fleet.warm_up(ready, wanted, models):
            del self._waiting[key]
        self.fleet.fit()
        self._rereading.ask([key for key, steps in wanted.items() if not self._fits(key, steps, models[key])])
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
        self._rereading.forget(keys)
        for key in keys:
            self._waiting.pop(key, None)
            self._seen_until.pop(key, None)

    def _take(self, key: WorkloadKey, history: DemandHistory) -> FloatArray:
        """The steps the fleet is fed with at once; what is to be taught as a whole is kept until then."""
        scaled = DemandHistory(
            history.start_seconds * self.time_scale, self.fleet.step_seconds, np.asarray(history.values, np.float64)
        )
        new = _after(self.fleet.clock_of(key), scaled) if key in self.fleet else np.empty(0)
        late = len(new) * self.fleet.step_seconds > self.fleet.settings.warm_up_refresh_seconds
        if late or key in self._waiting or key in self._rereading.asked or key not in self.fleet:
            self._waiting[key] = self._joined(key, scaled)
        if late:
            self.fleet.remove([key])
        return new[:0] if late else new

    def _joined(self, key: WorkloadKey, history: DemandHistory) -> DemandHistory:
        """The history with all that is known of the workload before."""
        known = self._waiting.get(key)
        if known is None and key in self.fleet:
            known = self.fleet.remembered(key)
        return history if known is None else merged(known, history)

    def _fits(self, key: WorkloadKey, steps: int, model: str | None) -> bool:
        """Whether a workload's horizon and experts may stay, or are about to be changed anyway."""
        if key not in self.fleet or key in self._waiting:
            return True
        same_experts = self.fleet.model_of(key) == model and not self.fleet.rehearsed(key)
        return same_experts and still_fits(self.fleet.horizon_of(key), steps)


def _after(clock: int, history: DemandHistory) -> FloatArray:
    """The values past step ``clock``, with NaN for steps between that were never delivered."""
    start = first_step(history)
    if start <= clock:
        return history.values[clock + 1 - start :]
    return np.concatenate([np.full(start - clock - 1, np.nan), history.values])
