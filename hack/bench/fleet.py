"""The fleet the speed bench measures: who is in it, what it asks for, and what its load is at any time."""

from __future__ import annotations

from functools import cache

import numpy as np

from hack.load.chance import Floats
from hack.load.demand import DemandShape
from kcloud_autoscale.domain.policy import (
    CapUnit,
    DemandSource,
    FleetPolicy,
    MetricKind,
    MetricTarget,
    ReplicaResources,
    SharedCap,
    WorkloadPolicy,
)
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey

NAMESPACE = "ai"
STEP_SECONDS = 60.0
# A Monday at noon. Nothing here asks the clock: every run sees the same load.
BEGIN_SECONDS = 1_800_014_400.0
PODS_EACH = 3
SHAPES = 64
# One workload in eight has its capacity learned from its latency, as most users will begin.
LEARNING_EVERY = 8


def name_of(index: int) -> str:
    """Of the Deployment and its optimizer: ``w00042``."""
    return f"w{index:05d}"


def keys(workloads: int) -> list[WorkloadKey]:
    """All optimizers of a fleet."""
    return [WorkloadKey(NAMESPACE, name_of(index)) for index in range(workloads)]


def fleet_policy(workloads: int) -> FleetPolicy:
    """Serving workloads on vLLM metrics with a latency objective; half of them share a power cap."""
    policies = {key: _policy(key, index) for index, key in enumerate(keys(workloads))}
    sharing = frozenset(list(policies)[::2])
    cap = SharedCap("PowerPolicy half", CapUnit.WATTS, 2_000.0 * len(sharing), sharing)
    return FleetPolicy(policies, shared_caps=(cap,), cycle_seconds=STEP_SECONDS, step_seconds=STEP_SECONDS)


def _policy(key: WorkloadKey, index: int) -> WorkloadPolicy:
    return WorkloadPolicy(
        key,
        uid=f"uid-{key.name}",
        target=TargetRef("apps/v1", "Deployment", key.name),
        priority=index % 101,
        max_replicas=20,
        targets=(MetricTarget("latency", MetricKind.VALUE, 0.5, quantile=0.95),),
        demand=DemandSource("vllm"),
        capacity_per_replica=None if index % LEARNING_EVERY == 0 else 20.0,
        resources=ReplicaResources(accelerators=(("nvidia.com/gpu", 1),)),
        created_seconds=BEGIN_SECONDS - 86_400.0,
    )


@cache
def _shape(shape: int) -> DemandShape:
    rng = np.random.default_rng(shape)
    return DemandShape(
        level_per_second=float(rng.uniform(20.0, 60.0)),
        daily_fraction=float(rng.uniform(0.1, 0.6)),
        peak_hour=float(rng.uniform(0.0, 24.0)),
        noise_fraction=float(rng.uniform(0.02, 0.2)),
        noise_seconds=60.0,
        bursts_per_day=float(rng.uniform(0.0, 6.0)),
        seed=shape,
    )


def demand(index: int, times_seconds: Floats) -> Floats:
    """Load per second of a workload; there are 64 different ones."""
    return _shape(index % SHAPES).sample(times_seconds)


def histories(workloads: int, days: float, step_seconds: float = STEP_SECONDS) -> dict[WorkloadKey, DemandHistory]:
    """Each workload's past up to `BEGIN_SECONDS`; equal ones share their memory."""
    steps = round(days * 86_400.0 / step_seconds)
    start = BEGIN_SECONDS - steps * step_seconds
    ends = start + step_seconds * np.arange(1, steps + 1, dtype=np.float64)
    pasts = [DemandHistory(start, step_seconds, demand(shape, ends)) for shape in range(min(SHAPES, workloads))]
    return {key: pasts[index % SHAPES] for index, key in enumerate(keys(workloads))}
