"""What the fleet's forecaster costs in this process: teaching a history, then a cycle of learn and predict."""

from __future__ import annotations

import argparse

import numpy as np

from hack.bench.child import tell
from hack.bench.clock import Spent, spent_since, started, timed
from hack.bench.fleet import BEGIN_SECONDS, SHAPES, STEP_SECONDS, demand, histories, keys
from kcloud_autoscale.domain.series import DemandHistory, FloatArray
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.fleet import FleetForecaster
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.tick import ForecastRequest

HORIZON_SECONDS = 300.0
TAUGHT_AT_ONCE = 512


def main() -> None:
    """Print one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", type=int, required=True)
    parser.add_argument("--days", type=float, default=14.0)
    parser.add_argument("--step-seconds", type=float, default=STEP_SECONDS)
    parser.add_argument("--cycles", type=int, default=60)
    args = parser.parse_args()
    forecaster = LiveForecaster(args.step_seconds)
    taught = _teach(forecaster, args.workloads, args.days)
    fleet = _Fleet(forecaster, args.workloads)
    # Two cycles of each kind fill the caches; then both kinds in turn, on the same fleet.
    cycles = [(fleet.vectorised(), fleet.whole()) for _ in range(args.cycles + 2)][2:]
    tell(
        {
            "workloads": args.workloads,
            "days": args.days,
            "taught": taught,
            "vectorised": [each[0] for each in cycles],
            "whole": [each[1] for each in cycles],
        }
    )


def _teach(forecaster: LiveForecaster, workloads: int, days: float) -> Spent:
    """Time to learn every workload's history, in batches as the operator reads them."""
    steps = round(HORIZON_SECONDS / forecaster.step_seconds)
    pasts = list(histories(workloads, days, forecaster.step_seconds).items())
    batches = [dict(pasts[at : at + TAUGHT_AT_ONCE]) for at in range(0, len(pasts), TAUGHT_AT_ONCE)]
    total = (0.0, 0.0)
    for batch in batches:
        spent = timed(lambda batch=batch: _learn_whole(forecaster, batch, steps))  # type: ignore[misc]
        total = (total[0] + spent[0], total[1] + spent[1])
    return total


def _learn_whole(forecaster: LiveForecaster, batch: dict[WorkloadKey, DemandHistory], steps: int) -> None:
    horizon_seconds = steps * forecaster.step_seconds
    forecaster.learn(batch)
    forecaster.forecast([ForecastRequest(key, horizon_seconds, 0.95) for key in batch], BEGIN_SECONDS)


class _Fleet:
    """One step further each time."""

    def __init__(self, forecaster: LiveForecaster, workloads: int) -> None:
        self._live, self._keys = forecaster, keys(workloads)
        self._requests = [ForecastRequest(key, HORIZON_SECONDS, 0.95) for key in self._keys]
        self._start = BEGIN_SECONDS

    def vectorised(self) -> Spent:
        """Arrays in, arrays out: the forecaster itself."""
        fleet: FleetForecaster[WorkloadKey] = self._live.fleet
        values = self._next_step()
        steps = {key: values[index] for index, key in enumerate(self._keys)}

        def cycle() -> None:
            fleet.update(steps)
            fleet.predict(self._keys)

        return timed(cycle)

    def whole(self) -> Spent:
        """As the tick calls it: histories in, a `Forecast` with its verdict per workload out."""
        start, values = self._start, self._next_step()
        step = self._live.step_seconds
        pieces = {key: DemandHistory(start, step, values[index]) for index, key in enumerate(self._keys)}
        began = started()
        self._live.learn(pieces)
        found = self._live.forecast(self._requests, start + step)
        spent = spent_since(began)
        if len(found) != len(self._keys):
            raise RuntimeError(f"{len(found)} forecasts of {len(self._keys)}")
        return spent

    def _next_step(self) -> list[FloatArray]:
        """Demand of the step that begins at `_start`, shape (1,) each; the next call is about the next step."""
        self._start += self._live.step_seconds
        shapes = [demand(shape, np.array([self._start])) for shape in range(SHAPES)]
        return [shapes[index % SHAPES] for index in range(len(self._keys))]


if __name__ == "__main__":
    main()
