"""Every forecaster by name. statsmodels is imported only when one of its models is asked for."""

from __future__ import annotations

from collections.abc import Callable

from kcloud_autoscale.forecast.base import Forecaster, PointModel
from kcloud_autoscale.forecast.calibrated import Calibrated, Schedule
from kcloud_autoscale.forecast.naive import ExponentialAverage, LastValue, SeasonalNaive
from kcloud_autoscale.forecast.online import OnlineEnsemble

NAIVE: dict[str, Callable[[], PointModel]] = {
    "last-value": LastValue,
    "ewma": ExponentialAverage,
    "seasonal-naive": SeasonalNaive,
}
STATISTICAL = ("autoreg", "ets", "holt-winters", "sarimax", "stl")
NAMES: tuple[str, ...] = ("online-ensemble", *NAIVE, *STATISTICAL)


def make_forecaster(name: str, step_seconds: float, horizon: int, refit_seconds: float = 3_600.0) -> Forecaster:
    """A fresh forecaster of windows of ``horizon`` steps; point models are fitted every ``refit_seconds``.

    Raises:
        ValueError: There is none of that name; the message lists them.
    """
    if name == "online-ensemble":
        return OnlineEnsemble(step_seconds, horizon)
    if name not in NAMES:
        raise ValueError(f"no forecaster {name!r}; there are {', '.join(NAMES)}")
    return Calibrated(point_model(name), step_seconds, Schedule(horizon, refit_seconds))


def point_model(name: str) -> PointModel:
    """A fresh point model: one of `NAIVE` or `STATISTICAL`."""
    return NAIVE[name]() if name in NAIVE else _statistical(name)


def _statistical(name: str) -> PointModel:
    """A model of statsmodels."""
    from kcloud_autoscale.forecast import statistical

    models: dict[str, Callable[[], PointModel]] = {
        "autoreg": statistical.AutoRegressionFourier,
        "ets": statistical.ErrorTrendSeasonal,
        "holt-winters": statistical.HoltWinters,
        "sarimax": statistical.SarimaxFourier,
        "stl": statistical.SeasonalTrendLoess,
    }
    return models[name]()
