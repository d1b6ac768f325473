"""Whole cycles of a fleet in this process: gather over HTTP from `hack.bench.sources`, then tick."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes.aio.client import ApiClient, Configuration

from hack.bench.child import tell
from hack.bench.clock import Spent, spent_since, started
from hack.bench.fleet import BEGIN_SECONDS, STEP_SECONDS, fleet_policy, histories
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.tick import FleetState, ForecastRequest, tick

# As the operator reads them: batches, so that no fleet's two weeks lie in memory at once.
TAUGHT_AT_ONCE = 512
SETTLE_SECONDS = 10.0
MOST_FIRST_CYCLES = 40


def main() -> None:
    """Print one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", type=int, required=True)
    parser.add_argument("--cycles", type=int, required=True)
    parser.add_argument("--days", type=float, default=14.0)
    args = parser.parse_args()
    with served(args.workloads) as url:
        asyncio.run(_measure(url, args.workloads, args.cycles, args.days))


@contextmanager
def served(workloads: int) -> Iterator[str]:
    """The sources' address while they run."""
    command = [sys.executable, "-m", "hack.bench.sources", "--workloads", str(workloads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


async def _measure(url: str, workloads: int, cycles: int, days: float) -> None:
    policy = fleet_policy(workloads)
    began = time.perf_counter()
    state = FleetState(taught(workloads, days))
    taught_seconds = time.perf_counter() - began
    async with ApiClient(Configuration(host=url)) as client:
        prometheus, informers = Prometheus(PrometheusSettings(url)), Informers(client)
        informers.start()
        if not await informers.wait_synced(120.0):
            raise TimeoutError(f"not listed: {informers.problems()}")
        looks = Looks(Gatherer(prometheus, informers, GatherSettings(days, SETTLE_SECONDS)), policy, state)
        # What a fresh operator still has to read: pairs of load and latency, for those whose capacity is learned.
        first = 0
        while first < 2 or (looks.learning and first < MOST_FIRST_CYCLES):
            await looks.once()
            first += 1
        warm = [await looks.once() for _ in range(cycles)]
        await informers.stop()
        prometheus.close()
    tell(
        {
            "workloads": workloads,
            "taught_seconds": taught_seconds,
            "first_cycles": first,
            "gather": [each[0] for each in warm],
            "tick": [each[1] for each in warm],
            "decided": looks.decided,
            "trusted": looks.trusted,
        }
    )


def taught(workloads: int, days: float) -> LiveForecaster:
    """A forecaster that knows so many days of each workload."""
    forecaster = LiveForecaster(STEP_SECONDS)
    pasts = list(histories(workloads, days).items())
    for at in range(0, len(pasts), TAUGHT_AT_ONCE):
        part = dict(pasts[at : at + TAUGHT_AT_ONCE])
        forecaster.learn(part)
        # The horizon that the tick will ask for: lead time, one cycle, and the age of the last step.
        forecaster.forecast([ForecastRequest(key, 150.0 + 2.0 * STEP_SECONDS, 0.95) for key in part], BEGIN_SECONDS)
    return forecaster


class Looks:
    """Cycles one minute apart, on a clock of their own.

    Attributes:
        learning: Workloads whose capacity is still to be read of.
        decided: Decisions of the last cycle with a count.
        trusted: Those that rest on a trusted forecast.
    """

    def __init__(self, gatherer: Gatherer, policy: FleetPolicy, state: FleetState) -> None:
        self._gatherer, self._policy, self._state = gatherer, policy, state
        self._now = BEGIN_SECONDS + SETTLE_SECONDS + 1.0
        self.learning = {key for key, each in policy.workloads.items() if each.capacity_per_replica is None}
        self.decided = self.trusted = 0

    async def once(self) -> tuple[Spent, Spent]:
        """What gathering and the tick took.

        Raises:
            RuntimeError: A source failed: what is measured then is not a cycle.
        """
        self._now += STEP_SECONDS
        began = started()
        observation = await self._gatherer.gather(self._policy, self._state.seen_until(), self._now)
        gathered = spent_since(began)
        if observation.problems:
            raise RuntimeError("; ".join(observation.problems))
        began = started()
        result = tick(observation, self._policy, self._state, self._now)
        ticked = spent_since(began)
        self._state = result.state
        self.learning -= {key for key, each in observation.workloads.items() if each.capacity_history}
        self.decided = sum(each.desired_replicas is not None for each in result.fleet.decisions)
        self.trusted = sum(bool(each.forecast and each.forecast.trusted) for each in result.fleet.decisions)
        return gathered, ticked


if __name__ == "__main__":
    main()
