"""The whole fleet's forecaster: which workload lives where, and one vectorised call for all of them.

Workloads of one horizon share *shelves*, panels of a fixed number of rows. Adding workloads fills free rows and then
opens another shelf, so nothing that exists is ever copied. Horizons are rounded up to a ladder, because every rung has
its own arrays.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from kcloud_autoscale.domain.series import AskedModel, DemandHistory
from kcloud_autoscale.forecast.asking import Askers, remembered
from kcloud_autoscale.forecast.fitting import Fitter, fitted_here
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.panel import Panel
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.refresh import refresh
from kcloud_autoscale.forecast.ring import FloatArray, IntArray
from kcloud_autoscale.forecast.rows import Rows, transplant
from kcloud_autoscale.forecast.settings import DAY_SECONDS, EXPERTS, LEVELS, FleetSettings, steps_in
from kcloud_autoscale.forecast.teach import Lesson, Teacher, taught_here
from kcloud_autoscale.forecast.warmup import first_step

# A cycle costs 3 to 4 ms per shelf and refreshed shelf before it costs anything per workload, and rows that were never
# used take no memory but for 2 kB: few large shelves, after a small one for those who have ten workloads.
SHELF_ROWS = (32, 1024)
WARM_UP_ROWS = 128

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True, eq=False)
class Shelf:
    """One panel, and the rows in which nobody lives."""

    panel: Panel
    free: list[int]


@dataclass(frozen=True, slots=True)
class Home:
    """Where a workload lives."""

    shelf: Shelf
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class FleetForecast(Generic[Key]):
    """Forecasts of several workloads, in the order they were asked for.

    Attributes:
        keys: Who was asked for and is known.
        horizon_steps: Shape (keys,), the horizon answered, at least the one asked for.
        origin: Shape (keys,), absolute index of the last step seen.
        known: Shape (keys,), steps with demand behind each.
        gap: Shape (keys,), steps since demand was last known.
        quantiles: Shape (keys, len(LEVELS)), load per second.
        weights: Shape (keys, len(EXPERTS) + 1, len(LEVELS)); the last are those of the model that was asked for.
        scores: Shape (keys, 5, len(LEVELS)): mean pinball of the ensemble and of calibrated last value, share
            covered, mean absolute error of the ensemble and of plain last value; NaN until something has matured.
        scored: Shape (keys,), decayed number of matured origins.
        asked: Per key, what there is to say of the model that was asked for; None where none was.
    """

    keys: tuple[Key, ...]
    horizon_steps: IntArray
    origin: IntArray
    known: IntArray
    gap: IntArray
    quantiles: FloatArray
    weights: FloatArray
    scores: FloatArray
    scored: FloatArray
    asked: tuple[AskedModel | None, ...]


class FleetForecaster(Generic[Key]):
    """Learns and forecasts the peak of the lead window for all workloads on one step length."""

    def __init__(
        self,
        step_seconds: float = 60.0,
        settings: FleetSettings | None = None,
        knowledge: Knowledge | None = None,
        teacher: Teacher = taught_here,
        fitter: Fitter = fitted_here,
    ) -> None:
        """An empty fleet on a grid of ``step_seconds``; without ``knowledge`` the priors by hand serve.

        Whole histories are learned by ``teacher`` and models that are asked for are fitted by ``fitter``; both may do
        it elsewhere, and the fitter later.
        """
        self.step_seconds = step_seconds
        self.layouts = Layouts(step_seconds, settings, knowledge)
        self.settings = self.layouts.settings
        self._teacher = teacher
        self._homes: dict[Key, Home] = {}
        self._shelves: dict[tuple[int, str | None], list[Shelf]] = {}
        self._askers: Askers[Key] = Askers(self.home_of, fitter)

    def __contains__(self, key: Key) -> bool:
        """Whether the workload has shown any demand yet."""
        return key in self._homes

    def __len__(self) -> int:
        """Workloads known."""
        return len(self._homes)

    def horizon_of(self, key: Key) -> int:
        """Steps of the window forecast for a workload."""
        return self._homes[key].shelf.panel.grid.horizon

    def model_of(self, key: Key) -> str | None:
        """The model a workload has asked for."""
        return self._homes[key].shelf.panel.model

    def home_of(self, key: Key) -> tuple[Panel, int]:
        """The panel and the row a workload lives in, for those who replay it in bulk."""
        home = self._homes[key]
        return home.shelf.panel, home.row

    def clock_of(self, key: Key) -> int:
        """Absolute index of the last step a workload has seen."""
        home = self._homes[key]
        return int(home.shelf.panel.state.clock[home.row])

    def warm_up(
        self,
        histories: Mapping[Key, DemandHistory],
        horizon_steps: Mapping[Key, int],
        models: Mapping[Key, str | None] | None = None,
    ) -> set[Key]:
        """Add workloads with all their history, or teach known ones anew; ``models`` are those that they ask for.

        Returns:
            Those that are taught. Left out are those without any demand, and those the teacher did not come to.
        """
        asked = models or {}
        taught = self._teach(histories, horizon_steps, asked)
        if taught and self._askers:  # for the rehearsals of those just taught; what else is due is for `fit`
            self._askers.fit()
            again = {key: histories[key] for key in taught if self.rehearsed(key)}
            if again:
                self._teach(again, horizon_steps, asked)
        return taught

    def fit(self) -> None:
        """Take the fits of models asked for that have been made, and have those made that are due."""
        self._askers.fit()

    def rehearsed(self, key: Key) -> bool:
        """Whether the model a workload asked for has been fitted to its last days, and it is to be taught with that."""
        return self._askers.rehearsed(key)

    def remove(self, keys: Iterable[Key]) -> None:
        """Forget workloads; their rows are used again."""
        for key in keys:
            self._askers.forget(key)
            self._vacate(key)

    def update(self, steps: Mapping[Key, Sequence[float] | FloatArray]) -> None:
        """Take the next steps of known workloads, NaN where nothing is known; as many as each has."""
        by_shelf: dict[int, tuple[Shelf, list[int], list[Sequence[float] | FloatArray]]] = {}
        for key, values in steps.items():
            home = self._homes[key]
            entry = by_shelf.setdefault(id(home.shelf), (home.shelf, [], []))
            entry[1].append(home.row)
            entry[2].append(values)
        for shelf, places, arrays in by_shelf.values():
            rows, lengths = np.array(places, dtype=np.int64), np.array([len(each) for each in arrays])
            most = int(lengths.max())
            going = np.arange(most)[None, :] < lengths[:, None]
            demand = np.full((len(rows), most), np.nan)
            demand[going] = np.concatenate(arrays)
            for step in range(most):
                left = going[:, step]
                self._step(shelf.panel, rows[left], demand[left, step])

    def predict(self, keys: Sequence[Key]) -> FleetForecast[Key]:
        """Forecasts at each workload's own last step; unknown workloads are left out."""
        known = tuple(key for key in keys if key in self._homes)
        by_shelf: dict[int, tuple[Shelf, list[int], list[int]]] = {}
        for position, key in enumerate(known):
            home = self._homes[key]
            entry = by_shelf.setdefault(id(home.shelf), (home.shelf, [], []))
            entry[1].append(position)
            entry[2].append(home.row)
        count, levels = len(known), len(LEVELS)
        answer = FleetForecast(
            keys=known,
            horizon_steps=np.zeros(count, dtype=np.int64),
            origin=np.zeros(count, dtype=np.int64),
            known=np.zeros(count, dtype=np.int64),
            gap=np.zeros(count, dtype=np.int64),
            quantiles=np.zeros((count, levels)),
            weights=np.zeros((count, len(EXPERTS) + 1, levels)),
            scores=np.full((count, 5, levels), np.nan),
            scored=np.zeros(count),
            asked=tuple(self._askers.said(key) for key in known) if self._askers else (None,) * count,
        )
        for shelf, found, places in by_shelf.values():
            state, panel = shelf.panel.state, shelf.panel
            positions, rows = np.array(found, dtype=np.int64), np.array(places, dtype=np.int64)
            answer.horizon_steps[positions] = panel.grid.horizon
            answer.origin[positions] = state.clock[rows]
            answer.known[positions] = state.known[rows]
            answer.gap[positions] = state.gap[rows]
            answer.quantiles[positions] = state.quantiles[rows]
            answer.weights[positions, : panel.experts] = state.weights[rows]
            answer.scored[positions] = state.score_weight[rows]
            seen = np.where(state.score_weight[rows] > 0, state.score_weight[rows], np.nan)
            answer.scores[positions] = state.scores[rows] / seen[:, None, None]
        return answer

    def remembered(self, key: Key) -> DemandHistory:
        """The last week of demand of a workload as its ring holds it."""
        panel, row = self.home_of(key)
        clock, born = int(panel.state.clock[row]), int(panel.state.born[row])
        return remembered(panel, row, max(born, clock - panel.ring.length + 1), clock)

    def _teach(
        self,
        histories: Mapping[Key, DemandHistory],
        horizon_steps: Mapping[Key, int],
        models: Mapping[Key, str | None],
    ) -> set[Key]:
        keys = {str(key): key for key in histories}
        taught: set[Key] = set()
        for lesson, rows in self._teacher(self.layouts, self._lessons(histories, horizon_steps, models)):
            taught |= self._settle([keys[name] for name in lesson.names], lesson, rows)
        return taught

    def _step(self, panel: Panel, rows: IntArray, demand: FloatArray) -> None:
        """One step of some rows of a panel, and the refresh of those whose turn it is."""
        panel.advance(rows, demand[:, None])
        due = rows[panel.due(rows)]
        if len(due):
            refresh(panel, due)

    def _lessons(
        self,
        histories: Mapping[Key, DemandHistory],
        horizon_steps: Mapping[Key, int],
        models: Mapping[Key, str | None],
    ) -> list[Lesson]:
        """Histories that can be taught together: of one horizon, one end, one kind and one model."""
        groups: dict[tuple[int, int, bool, str | None], list[Key]] = {}
        for key, history in histories.items():
            end = first_step(history) + len(history.values)
            short = len(history.values) * self.step_seconds <= self.settings.warm_up_refresh_seconds
            group = (self.layouts.horizon(horizon_steps[key]), end, short, models.get(key))
            groups.setdefault(group, []).append(key)
        lessons: list[Lesson] = []
        for (horizon, _, short, model), keys in groups.items():
            names = tuple(str(key) for key in keys)
            fits = () if model is None else tuple(self._askers.past_fits(name, model) for name in names)
            whole = Lesson(names, tuple(histories[key] for key in keys), horizon, short, model, fits)
            lessons += whole.split(WARM_UP_ROWS)
        return lessons

    def _settle(self, keys: Sequence[Key], lesson: Lesson, taught: Rows) -> set[Key]:
        """Move rows that have been taught onto shelves; those without demand are left where they are."""
        remaining = np.flatnonzero(taught.learned.born >= 0)
        settled = [keys[index] for index in remaining.tolist()]
        for key in settled:
            self._vacate(key)
        while len(remaining):
            shelf = self._shelf(lesson.horizon, lesson.model)
            source, remaining = remaining[: len(shelf.free)], remaining[len(shelf.free) :]
            rows = np.array([shelf.free.pop() for _ in source], dtype=np.int64)
            transplant(shelf.panel.rows, rows, taught, source)
            for row, index in zip(rows, source, strict=True):
                self._homes[keys[index]] = Home(shelf, int(row))
        for key in settled:
            if lesson.model is not None:
                self._askers.taught(key, lesson.model, lesson.short)
            else:
                self._askers.forget(key)
        return set(settled)

    def _vacate(self, key: Key) -> None:
        """Leave the row of a workload, if it has one, to others."""
        home = self._homes.pop(key, None)
        if home is not None:
            home.shelf.free.append(home.row)
            home.shelf.panel.ring.clear(np.array([home.row]))

    def _shelf(self, horizon: int, model: str | None) -> Shelf:
        """A shelf of the horizon and the model with a free row; opened when all are full."""
        shelves = self._shelves.setdefault((horizon, model), [])
        for shelf in shelves:
            if shelf.free:
                return shelf
        rows = SHELF_ROWS[min(len(shelves), len(SHELF_ROWS) - 1)]
        panel = self.layouts.panel(rows, horizon, blank=False, model=model)
        shelves.append(Shelf(panel, list(range(rows - 1, -1, -1))))
        return shelves[-1]


def horizon_steps(horizon_seconds: float, step_seconds: float) -> int:
    """Steps that cover a lead time: 301 s are 6 steps of 60 s. Not more than a day: there is no window beyond."""
    return min(max(1, math.ceil(horizon_seconds / step_seconds - 1e-9)), steps_in(DAY_SECONDS, step_seconds))
