"""Two optimizers on one target would pull it to and fro: the older one serves, the others stand back."""

from __future__ import annotations

from dataclasses import replace

from kcloud_autoscale.domain.observation import Observation, TargetObservation
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.workload import Mode, WorkloadKey


def mark_rivals(observation: Observation, policy: FleetPolicy) -> Observation:
    """The observation with a conflict noted on every optimizer whose target an older one scales already.

    Only optimizers that would scale compete: one in Recommend or Off may look at what another scales.
    """
    owners: dict[str, WorkloadPolicy] = {}
    for key, seen in observation.workloads.items():
        workload = policy.workloads.get(key)
        if workload is None or workload.mode is not Mode.AUTO or not isinstance(seen.target, TargetObservation):
            continue
        owner = owners.get(seen.target.uid)
        if owner is None or _age(workload) < _age(owner):
            owners[seen.target.uid] = workload
    rivals: dict[WorkloadKey, str] = {}
    for key, seen in observation.workloads.items():
        workload = policy.workloads.get(key)
        if workload is None or workload.mode is not Mode.AUTO or not isinstance(seen.target, TargetObservation):
            continue
        owner = owners[seen.target.uid]
        if owner.key != key and seen.conflict is None:
            rivals[key] = f"WorkloadOptimizer {owner.key.name}"
    if not rivals:
        return observation
    marked = {key: replace(observation.workloads[key], conflict=name) for key, name in rivals.items()}
    return replace(observation, workloads={**observation.workloads, **marked})


def _age(workload: WorkloadPolicy) -> tuple[float, str]:
    return workload.created_seconds, workload.key.name
