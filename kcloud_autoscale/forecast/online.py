"""The fleet forecaster as a `Forecaster` of one series, so that it can stand beside the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.fleet import FleetForecaster
from kcloud_autoscale.forecast.intervals import SCORES
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import FleetSettings


class OnlineEnsemble:
    """Ridge, averages and last value under Hedge, calibrated: a fleet of one."""

    name = "online-ensemble"

    def __init__(
        self,
        step_seconds: float,
        horizon: int,
        settings: FleetSettings | None = None,
        knowledge: Knowledge | None = None,
        model: str | None = None,
    ) -> None:
        """Nothing learned yet; windows of ``horizon`` steps. ``model`` is fitted and heard beside the others."""
        self._fleet: FleetForecaster[str] = FleetForecaster(step_seconds, settings, knowledge)
        self._horizon, self._model, self._steps = horizon, model, 0

    def learn(self, values: FloatArray) -> None:
        """Take the next steps; the first known one begins the series."""
        for value in values:
            if self.name in self._fleet:
                self._fleet.update({self.name: [float(value)]})
                self._fleet.fit()
            else:
                step = self._fleet.step_seconds
                history = DemandHistory(self._steps * step, step, np.array([value], dtype=np.float64))
                self._fleet.warm_up({self.name: history}, {self.name: self._horizon}, {self.name: self._model})
            self._steps += 1

    def quantiles(self, levels: Sequence[float]) -> FloatArray:
        """Quantiles of the peak of the window after the last step."""
        answer = self._fleet.predict([self.name])
        if not answer.keys:
            return np.zeros(len(levels))
        return np.asarray(np.interp(ndtri(np.array(levels)), SCORES, answer.quantiles[0]))
