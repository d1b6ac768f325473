"""Fits of the models that workloads ask for: a stretch of demand in, a packed recurrence or a refusal out.

Like a lesson, a fit knows nothing of who lives where, so it can be made in this process or in another one, now or some
cycles later: it is heard from the next refresh on, half an hour away at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.base import FitError
from kcloud_autoscale.forecast.panel import clean, forward_fill
from kcloud_autoscale.forecast.recurrence import LAGS, packed
from kcloud_autoscale.forecast.refresh import floor_of
from kcloud_autoscale.forecast.ring import SingleArray
from kcloud_autoscale.forecast.settings import DAY_SECONDS, steps_in
from kcloud_autoscale.forecast.warmup import first_step


@dataclass(frozen=True, slots=True)
class Wanted:
    """A fit to be made.

    Attributes:
        name: Of the workload.
        model: As the workload asked for it: ``AutoReg``, …
        start: Absolute step from which on demand may be used.
        cutoff: Absolute step of the last demand that may be used.
    """

    name: str
    model: str
    start: int
    cutoff: int


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What came of it.

    Attributes:
        wanted: What had been asked for.
        values: Packed; None where there is no fit.
        refusal: Why there is none, as the rest of "the model is silent: "; empty where there is one.
    """

    wanted: Wanted
    values: SingleArray | None
    refusal: str = ""


Fitter = Callable[[Sequence[Wanted], Callable[[Wanted], DemandHistory]], Iterable[Fit]]
"""Makes some of the fits that are wanted, most urgent first, or has made them meanwhile; asks for their histories only
when it comes to them. What it does not come to is wanted again the next time."""


def fit(wanted: Wanted, history: DemandHistory) -> Fit:
    """Fit one model; takes milliseconds to seconds, and loads statsmodels."""
    from kcloud_autoscale.forecast.registry import asked_model

    demand = clean(np.asarray(history.values, dtype=np.float64))
    known = np.flatnonzero(np.isfinite(demand))
    day = steps_in(DAY_SECONDS, history.step_seconds)
    model = asked_model(wanted.model)
    least = max(LAGS, model.needed(day))
    steps = len(demand) - int(known[0]) if len(known) else 0
    if steps < least:
        return Fit(wanted, None, f"it needs {least} steps of history, and there are {steps}")
    demand = forward_fill(demand[None, -steps:], demand[-steps:][:1])[0]
    floor = float(floor_of(demand[None, -2 * day :].astype(np.float32), np.ones(1))[0])
    try:
        model.fit(np.log(demand + floor), day)
    except FitError as error:
        return Fit(wanted, None, str(error))
    first = first_step(history) + len(history.values) - steps
    return Fit(wanted, packed(model.recurrence, floor, first))


def fitted_here(wanted: Sequence[Wanted], history_of: Callable[[Wanted], DemandHistory]) -> Iterable[Fit]:
    """The `Fitter` of this very process: all of them, at once."""
    for each in wanted:
        yield fit(each, history_of(each))
