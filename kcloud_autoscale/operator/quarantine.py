"""One workload that breaks the tick must not stop the others: it is found, set aside for a while, and named."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kcloud_autoscale.domain.observation import Observation
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.state import WorkloadState
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.tick import DemandForecaster, FleetState, tick

logger = logging.getLogger(__name__)

# Then it is tried again: what broke it may have passed, and a new spec deserves a new chance anyway.
SET_ASIDE_SECONDS = 600.0


@dataclass(slots=True)
class Quarantine:
    """Workloads that are left out of the tick, with the spec that broke it, until when, and why."""

    _inside: dict[WorkloadKey, tuple[int, float, str]] = field(default_factory=dict)

    def without(self, policy: FleetPolicy, now_seconds: float) -> FleetPolicy:
        """The policy without those who are set aside. Their last orders stand: nothing is scaled."""
        for key, (generation, until_seconds, _) in list(self._inside.items()):
            workload = policy.workloads.get(key)
            if workload is None or workload.generation != generation or now_seconds >= until_seconds:
                del self._inside[key]
        if not self._inside:
            return policy
        return replace(policy, workloads={key: one for key, one in policy.workloads.items() if key not in self._inside})

    def reasons(self) -> Mapping[WorkloadKey, str]:
        """Who is set aside, and why."""
        return {key: reason for key, (_, _, reason) in self._inside.items()}

    def find(
        self,
        observation: Observation,
        policy: FleetPolicy,
        states: Mapping[WorkloadKey, WorkloadState],
        new_forecaster: Callable[[], DemandForecaster],
    ) -> None:
        """Tick each workload alone, on its own copy of what the fleet's tick had, and set aside those that fail."""
        now_seconds = observation.at_seconds
        for key, workload in policy.workloads.items():
            alone = replace(policy, workloads={key: workload}, shared_caps=())
            state = FleetState(new_forecaster())
            if key in states:
                state.workloads[key] = states[key]
            try:
                tick(observation, alone, state, now_seconds)
            except Exception as error:
                logger.exception("%s breaks the tick and is set aside for %g s.", key, SET_ASIDE_SECONDS)
                reason = f"{type(error).__name__}: {error}"
                self._inside[key] = (workload.generation, now_seconds + SET_ASIDE_SECONDS, reason)
