"""A forecaster for verbs that look once: nobody is forecast, so decisions are reactive."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kcloud_autoscale.domain.series import DemandHistory, Forecast
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.tick import ForecastRequest


class NoForecaster:
    """Knows nothing, learns nothing."""

    def seen_until(self) -> Mapping[WorkloadKey, float]:
        """Nothing has been seen."""
        return {}

    def to_reread(self) -> Collection[WorkloadKey]:
        """Nothing is wanted again."""
        return ()

    def learn(self, histories: Mapping[WorkloadKey, DemandHistory]) -> None:
        """Nothing is learned."""

    def forecast(self, requests: Sequence[ForecastRequest], now_seconds: float) -> Mapping[WorkloadKey, Forecast]:
        """No forecast of anything."""
        return {}

    def forget(self, keys: Sequence[WorkloadKey]) -> None:
        """Nothing was known."""
