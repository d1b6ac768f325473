"""A warm `tick` of one workload with two weeks behind it, many times over."""

from __future__ import annotations

import argparse

import numpy as np

from hack.bench.child import tell
from hack.bench.clock import spent_since, started
from hack.bench.cycle import taught
from hack.bench.fleet import BEGIN_SECONDS, PODS_EACH, STEP_SECONDS, demand, fleet_policy, keys
from kcloud_autoscale.domain.observation import (
    MetricObservation,
    NodeObservation,
    Observation,
    PodObservation,
    Pods,
    TargetObservation,
    WorkloadObservation,
)
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import TargetRef
from kcloud_autoscale.tick import FleetState, tick


def main() -> None:
    """Print one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=300)
    parser.add_argument("--days", type=float, default=14.0)
    args = parser.parse_args()
    policy, state = fleet_policy(1), FleetState(taught(1, args.days))
    spent = []
    for number in range(args.ticks + 20):
        observation = _seen(number)
        began = started()
        state = tick(observation, policy, state, observation.at_seconds).state
        spent.append(spent_since(began))
    tell({"tick": spent[20:]})


def _seen(number: int) -> Observation:
    """All that can be known, one minute after the other."""
    start = BEGIN_SECONDS + number * STEP_SECONDS
    now = start + STEP_SECONDS + 11.0
    key = keys(1)[0]
    load = demand(0, np.array([start + STEP_SECONDS]))
    pods = Pods(
        PodObservation(f"{key.name}-6d9f7c5b8-bbbb{letter}", 1_000.0, 1_150.0, "gpu-0") for letter in "bcd"[:PODS_EACH]
    )
    seen = WorkloadObservation(
        key,
        TargetObservation(TargetRef("apps/v1", "Deployment", key.name), "uid", "7", PODS_EACH, pods),
        demand=Sample(float(load[0]), now - 7.0),
        demand_history=DemandHistory(start, STEP_SECONDS, load),
        metrics=(MetricObservation("latency", Sample(0.3, now - 7.0)),),
        watts=Sample(430.0 * PODS_EACH, now),
        watts_per_pod={pod.name: 430.0 for pod in pods},
        accelerator_model="NVIDIA H100 80GB",
        replica_accelerators={"nvidia.com/gpu": 1},
    )
    node = NodeObservation("gpu-0", {}, Sample(24.0, now), Sample(2.9, now), {"nvidia.com/gpu": 8})
    return Observation(now, {key: seen}, {"gpu-0": node}, Sample(430.0, now))


if __name__ == "__main__":
    main()
