"""One gradient-boosting model for all workloads: it knows how load behaves in general, and speaks for the young.

It is trained offline by scikit-learn (`train`), and kept as plain arrays of trees: nothing of scikit-learn is needed to
ask it, and nothing in a bundle can run. It sees the same features as the ridge, in units of the workload's own
volatility, and says the 0.5 and 0.95 quantile of the rise from the present to the peak of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kcloud_autoscale.forecast.features import NAMES
from kcloud_autoscale.forecast.intervals import SCORES
from kcloud_autoscale.forecast.ring import FloatArray, IntArray
from kcloud_autoscale.forecast.settings import LEVELS, Grid

EXTRA_NAMES: tuple[str, ...] = ("log_age_minutes", "log_step_seconds", "log_horizon_steps")
FIRST_CALENDAR = NAMES.index("day_sin_1")
FARTHEST = 50.0
"""Features beyond 50 spreads are all alike."""

GROWN_UP_SECONDS = 4 * 3_600.0
HALF_SAY_SECONDS = 1_200.0
"""Measured: at ten minutes the model is 3 % sharper than the workload's own shrunk ridge, at two hours no longer."""


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """An ensemble of binary trees; node 0 of each is its root, a leaf points to itself.

    Attributes:
        feature: Shape (trees, nodes), which feature a node asks.
        threshold: Shape (trees, nodes); at or below goes left.
        left, right: Shape (trees, nodes).
        value: Shape (trees, nodes), what a leaf adds.
        baseline: What is said before any tree.
        depth: Longest way from root to leaf.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    value: FloatArray
    baseline: float
    depth: int

    def predict(self, rows: FloatArray) -> FloatArray:
        """Sum over the trees, shape (rows,), for features of shape (rows, features)."""
        trees = np.arange(len(self.feature))
        node = np.zeros((len(rows), len(trees)), dtype=np.int64)
        each = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            goes_left = rows[each, self.feature[trees, node]] <= self.threshold[trees, node]
            node = np.where(goes_left, self.left[trees, node], self.right[trees, node])
        return np.asarray(self.baseline + self.value[trees, node].sum(axis=1))


def trees_of(model: Any) -> Trees:
    """The trees of a fitted `HistGradientBoostingRegressor` without categories or missing values."""
    nodes = [iteration[0].nodes for iteration in model._predictors]
    width = max(len(each) for each in nodes)
    shape = (len(nodes), width)
    feature, left = np.zeros(shape, dtype=np.int64), np.tile(np.arange(width), (len(nodes), 1))
    right, threshold, value = left.copy(), np.zeros(shape), np.zeros(shape)
    depth = 0
    for index, each in enumerate(nodes):
        inner = np.flatnonzero(each["is_leaf"] == 0)
        feature[index, inner] = each["feature_idx"][inner]
        threshold[index, inner] = each["num_threshold"][inner]
        left[index, inner], right[index, inner] = each["left"][inner], each["right"][inner]
        value[index, : len(each)] = np.where(each["is_leaf"] != 0, each["value"], 0.0)
        depth = max(depth, int(each["depth"].max()))
    return Trees(feature, threshold, left, right, value, float(np.ravel(model._baseline_prediction)[0]), depth)


@dataclass(frozen=True, slots=True, eq=False)
class Boosted:
    """Median and 0.95 quantile of the rise to the peak, in spreads."""

    median: Trees
    upper: Trees

    def curve(self, rows: FloatArray, present: FloatArray, spread: FloatArray) -> FloatArray:
        """Quantile curves (rows, levels) of the log peak, straight in normal scores through the two it knows."""
        middle = self.median.predict(rows)
        reach = np.maximum(self.upper.predict(rows) - middle, 0.0)
        shape = SCORES / SCORES[LEVELS.index(0.95)]
        return np.asarray(present[:, None] + spread[:, None] * (middle[:, None] + reach[:, None] * shape))


def boosted_rows(features: FloatArray, spread: FloatArray, age_steps: IntArray, grid: Grid) -> FloatArray:
    """What the model looks at, shape (rows, features + 3).

    Args:
        features: Shape (rows, features), as the ridge sees them.
        spread: Shape (rows,), the unit of all differences.
        age_steps: Shape (rows,), steps of history behind each.
        grid: Step and horizon.
    """
    rows = np.empty((len(features), len(NAMES) + len(EXTRA_NAMES)))
    rows[:, : len(NAMES)] = features
    rows[:, 1:FIRST_CALENDAR] = np.clip(features[:, 1:FIRST_CALENDAR] / spread[:, None], -FARTHEST, FARTHEST)
    rows[:, 11:13] = np.log(np.maximum(features[:, 11:13], 1e-4))
    rows[:, -3] = np.log1p(age_steps * grid.step_seconds / 60.0)
    rows[:, -2] = np.log(grid.step_seconds)
    rows[:, -1] = np.log(grid.horizon)
    return rows


def say_of_the_model(age_seconds: FloatArray) -> FloatArray:
    """Its share of the say: all of it at birth, half after twenty minutes, none after four hours.

    ``1 / (1 + age / 20 min)`` shifted to reach zero: at 20 min (1/2 - 1/13) / (12/13) = 0.458.
    """
    end = 1.0 / (1.0 + GROWN_UP_SECONDS / HALF_SAY_SECONDS)
    share = (1.0 / (1.0 + np.maximum(age_seconds, 0.0) / HALF_SAY_SECONDS) - end) / (1.0 - end)
    return np.asarray(np.maximum(share, 0.0))
