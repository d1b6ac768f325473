"""What knowledge of other workloads is worth to a new one: scores of ten minutes of history, with it and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.fleet import FleetForecaster
from kcloud_autoscale.forecast.losses import coverage, pinball
from kcloud_autoscale.forecast.priors import Knowledge
from kcloud_autoscale.forecast.ring import FloatArray
from kcloud_autoscale.forecast.settings import LEVELS, steps_in

JUDGED = LEVELS.index(0.95)
COLD_SECONDS = 600.0
MOST_STARTS = 2_000


@dataclass(frozen=True, slots=True)
class ColdScore:
    """How workloads of ten minutes are forecast in one cell.

    Attributes:
        step_seconds, horizon: The cell.
        starts: Workloads begun.
        pinball_ratio: 0.95 pinball loss over that of the bare last value.
        coverage: Of the 0.95 quantile.
    """

    step_seconds: float
    horizon: int
    starts: int
    pinball_ratio: float
    coverage: float


def cold_score(demand: FloatArray, step_seconds: float, horizon: int, knowledge: Knowledge | None) -> ColdScore:
    """Begin workloads all over the series (series, steps), show each ten minutes, and judge its next window."""
    length = steps_in(COLD_SECONDS, step_seconds, least=2)
    apart = max(length + horizon, demand.size // MOST_STARTS)
    pieces = np.concatenate(
        [
            series[start : start + length + horizon][None]
            for series in demand
            for start in range(0, len(series) - length - horizon + 1, apart)
        ]
    )
    fleet: FleetForecaster[int] = FleetForecaster(step_seconds, knowledge=knowledge)
    histories = {row: DemandHistory(0.0, step_seconds, piece[:length]) for row, piece in enumerate(pieces)}
    fleet.warm_up(histories, dict.fromkeys(histories, horizon))
    said = fleet.predict(list(histories)).quantiles[:, JUDGED]
    actual, present = pieces[:, length:].max(axis=1), pieces[:, length - 1]
    naive = float(pinball(actual, present, LEVELS[JUDGED]).mean())
    ours = float(pinball(actual, said, LEVELS[JUDGED]).mean())
    return ColdScore(step_seconds, horizon, len(pieces), ours / naive if naive > 0 else 1.0, coverage(actual, said))


def scores_csv(scores: Sequence[ColdScore]) -> str:
    """A line per cell."""
    lines = [
        f"{each.step_seconds:g},{each.horizon},{each.starts},{each.pinball_ratio:.4f},{each.coverage:.4f}"
        for each in scores
    ]
    return "\n".join(["step_seconds,horizon_steps,starts,pinball_ratio,coverage", *lines]) + "\n"
