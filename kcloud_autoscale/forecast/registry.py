"""Every forecaster by name. statsmodels is imported only when one of its models is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kcloud_autoscale.domain.policy import MODELS
from kcloud_autoscale.forecast.base import Forecaster, PointModel
from kcloud_autoscale.forecast.calibrated import Calibrated, Schedule
from kcloud_autoscale.forecast.naive import ExponentialAverage, LastValue, SeasonalNaive
from kcloud_autoscale.forecast.online import OnlineEnsemble
from kcloud_autoscale.forecast.settings import FleetSettings

if TYPE_CHECKING:
    from kcloud_autoscale.forecast.statistical import Fitted

NAIVE: dict[str, Callable[[], PointModel]] = {
    "last-value": LastValue,
    "ewma": ExponentialAverage,
    "seasonal-naive": SeasonalNaive,
}
STATISTICAL = ("autoreg", "ets", "holt-winters", "sarimax", "stl")
ASKED = dict(zip(MODELS, STATISTICAL, strict=True))
ENSEMBLES: dict[str, str | None] = {
    "online-ensemble": None,
    **{f"online-ensemble+{name}": model for model, name in ASKED.items()},
}
"""The operator's own forecaster, alone and with each model that a workload may ask for beside it."""
NAMES: tuple[str, ...] = ("online-ensemble", *NAIVE, *STATISTICAL, *list(ENSEMBLES)[1:])


def make_forecaster(name: str, step_seconds: float, horizon: int, refit_seconds: float = 3_600.0) -> Forecaster:
    """A fresh forecaster of windows of ``horizon`` steps; models of statsmodels are fitted every ``refit_seconds``.

    Raises:
        ValueError: There is none of that name; the message lists them.
    """
    if name in ENSEMBLES:
        settings = FleetSettings(refit_seconds=refit_seconds)
        return OnlineEnsemble(step_seconds, horizon, settings, model=ENSEMBLES[name])
    if name not in NAMES:
        raise ValueError(f"no forecaster {name!r}; there are {', '.join(NAMES)}")
    return Calibrated(point_model(name), step_seconds, Schedule(horizon, refit_seconds))


def point_model(name: str) -> PointModel:
    """A fresh point model: one of `NAIVE` or `STATISTICAL`."""
    return NAIVE[name]() if name in NAIVE else _statistical(name)


def asked_model(name: str) -> Fitted:
    """A fresh model under the name by which workloads ask for it."""
    return _statistical(ASKED[name])


def _statistical(name: str) -> Fitted:
    """A model of statsmodels."""
    from kcloud_autoscale.forecast import statistical

    models: dict[str, Callable[[], Fitted]] = {
        "autoreg": statistical.AutoRegressionFourier,
        "ets": statistical.ErrorTrendSeasonal,
        "holt-winters": statistical.HoltWinters,
        "sarimax": statistical.SarimaxFourier,
        "stl": statistical.SeasonalTrendLoess,
    }
    return models[name]()
