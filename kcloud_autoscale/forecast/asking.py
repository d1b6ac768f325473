"""Workloads that asked for a model: which fits they need now, and what becomes of those that are made."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from kcloud_autoscale.domain.series import AskedModel, DemandHistory
from kcloud_autoscale.forecast.fitting import Fit, Fitter, Wanted
from kcloud_autoscale.forecast.panel import Panel
from kcloud_autoscale.forecast.recurrence import PastFit
from kcloud_autoscale.forecast.rehearsal import Rehearsal

NOT_YET = "it has not been fitted yet"
DAYS_FITTED = 7

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class Asking(Generic[Key]):
    """What is known of one of them beside its row.

    Attributes:
        key: Who.
        model: What it asked for.
        rehearsal: Fits for the days before it was taught.
        refusal: Why the last fit failed; empty after one that did not.
    """

    key: Key
    model: str
    rehearsal: Rehearsal
    refusal: str = ""

    def wanted(self, panel: Panel, row: int) -> list[tuple[int, Wanted]]:
        """Fits to be made, each with the last step that the present one knows: those furthest behind go first."""
        state = panel.state
        behind, due = int(state.next_cutoff[row]), int(state.fit_due[row])
        if self.rehearsal.wanted:
            return [(behind, each) for each in self.rehearsal.wanted]
        if due <= behind:
            return []
        start = max(int(state.born[row]), due - DAYS_FITTED * panel.grid.day + 1)
        return [(behind, Wanted(str(self.key), self.model, start, due))]

    def take(self, panel: Panel, row: int, fit: Fit) -> None:
        """Keep a fit until the next refresh, or remember why there is none."""
        state, cutoff = panel.state, fit.wanted.cutoff
        self.refusal = fit.refusal
        if self.rehearsal.take(fit) or cutoff <= state.next_cutoff[row]:
            return
        if state.fit_due[row] == cutoff:
            state.fit_due[row] = -1
        if fit.values is not None:
            state.next_fit[row], state.next_cutoff[row] = fit.values, cutoff

    def said(self, panel: Panel, row: int) -> AskedModel:
        """For people."""
        fitted = bool(panel.state.fit[row, 0] > 0)
        return AskedModel(self.model, fitted, self.refusal or ("" if fitted else NOT_YET))


class Askers(Generic[Key]):
    """Those of a fleet that asked, by name. Where nobody did, nothing here costs more than a look at an empty table."""

    def __init__(self, home_of: Callable[[Key], tuple[Panel, int]], fitter: Fitter) -> None:
        """``home_of`` tells the panel and the row of a workload."""
        self._home_of, self._fitter = home_of, fitter
        self._of: dict[str, Asking[Key]] = {}

    def __bool__(self) -> bool:
        """Whether anybody asked."""
        return bool(self._of)

    def fit(self) -> None:
        """Take the fits that have been made, and have those made that are due."""
        wanted = [each for asking in self._of.values() for each in asking.wanted(*self._home_of(asking.key))]
        wanted.sort(key=lambda each: each[0])
        for fit in self._fitter([each for _, each in wanted], self._history_for):
            asking = self._of.get(fit.wanted.name)
            if asking is not None and asking.model == fit.wanted.model:
                asking.take(*self._home_of(asking.key), fit)

    def past_fits(self, name: str, model: str) -> tuple[PastFit, ...]:
        """What a workload's last days have been fitted to, as far as it has come."""
        asking = self._of.get(name)
        return tuple(asking.rehearsal.fits) if asking is not None and asking.model == model else ()

    def rehearsed(self, key: Key) -> bool:
        """Whether a workload is to be taught with the fits of its last days, and has not been."""
        asking = self._of.get(str(key)) if self._of else None
        return asking is not None and asking.rehearsal.to_teach

    def taught(self, key: Key, model: str, short: bool) -> None:
        """A workload that asks has just been taught; what it has been fitted to before is kept while it is fresh."""
        panel, row = self._home_of(key)
        clock, born, day = int(panel.state.clock[row]), int(panel.state.born[row]), panel.grid.day
        before = self._of.get(str(key))
        if before is not None and before.model == model and not before.rehearsal.stale(clock, day):
            before.rehearsal.taught = before.rehearsal.taught or before.rehearsal.to_teach
            return
        start = max(born, clock - DAYS_FITTED * day + 1)
        rehearsal = Rehearsal([]) if short else Rehearsal.of(str(key), model, start, clock, day)
        self._of[str(key)] = Asking(key, model, rehearsal)

    def forget(self, key: Key) -> None:
        """One that is gone, or asks no more."""
        self._of.pop(str(key), None)

    def said(self, key: Key) -> AskedModel | None:
        """What there is to say of the model that a workload asked for; None where it asked for none."""
        asking = self._of.get(str(key))
        return None if asking is None else asking.said(*self._home_of(key))

    def _history_for(self, wanted: Wanted) -> DemandHistory:
        """What a fit may rest on."""
        panel, row = self._home_of(self._of[wanted.name].key)
        return remembered(panel, row, wanted.start, wanted.cutoff)


def remembered(panel: Panel, row: int, first: int, last: int) -> DemandHistory:
    """Demand of the steps ``first .. last`` as the ring holds it, NaN where it does not."""
    signed = panel.ring.read(np.array([row]), np.array([first]), last - first + 1)[0].astype(np.float64)
    written = np.arange(first, last + 1) > panel.state.clock[row] - panel.ring.length
    values = np.where(np.signbit(signed) | ~written, np.nan, signed)
    return DemandHistory(first * panel.grid.step_seconds, panel.grid.step_seconds, values)
