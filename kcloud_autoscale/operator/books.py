"""From record to state and back: what a fleet remembers of money and counts, whoever runs the cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from kcloud_autoscale.account.ledger import Account
from kcloud_autoscale.api.v1alpha1 import CostPolicy
from kcloud_autoscale.domain.reading import value_or_none
from kcloud_autoscale.domain.record import FleetRecord, WorkloadRecord, workload_record
from kcloud_autoscale.domain.state import ScopeSpend, WorkloadState
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.gaps import LEAST_GAP_SECONDS
from kcloud_autoscale.operator.fleet import Fleet
from kcloud_autoscale.operator.restore import restored_spend, restored_state
from kcloud_autoscale.operator.store import COST_POLICIES, OPTIMIZERS, Body, ObjectStore
from kcloud_autoscale.tick import FleetState, TickResult


@dataclass(slots=True)
class Books:
    """Gives new workloads and policies what is on record of them, and puts the fleet on record again.

    Attributes:
        store: Objects that are there, understood or not.
        namespaces: Served; empty for all.
    """

    store: ObjectStore
    namespaces: tuple[str, ...] = ()
    _uids: dict[WorkloadKey, str] = field(default_factory=dict)
    _policy_uids: dict[str, str] = field(default_factory=dict)

    def forget(self) -> None:
        """The state is blank: everything begins with the record again."""
        self._uids.clear()
        self._policy_uids.clear()

    def open(self, fleet: Fleet, record: FleetRecord, state: FleetState, now_seconds: float) -> None:
        """New workloads begin with what is on record of them; a successor of the same name with its own.

        So does one that was set aside meanwhile: the tick has forgotten it.
        """
        for key, policy in fleet.policy.workloads.items():
            if self._uids.get(key) != policy.uid or key not in state.workloads:
                if state.workloads.pop(key, None) is not None:
                    state.forecaster.forget([key])
                state.workloads[key] = restored_state(record, policy, fleet.status_of(key), now_seconds)
                self._uids[key] = policy.uid
        for key in self._uids.keys() - fleet.policy.workloads.keys():
            del self._uids[key]
        self._open_policies(fleet, record, state, now_seconds)

    def gaps(self, state: FleetState, until_seconds: float) -> dict[WorkloadKey, float]:
        """When each gap began that is long enough to be looked up, Unix seconds."""
        begins = {
            key: one.ledger.updated_seconds
            for key, one in state.workloads.items()
            if one.gap is not None and one.ledger is not None
        }
        return {key: begin for key, begin in begins.items() if until_seconds - begin >= LEAST_GAP_SECONDS}

    def fill(self, state: FleetState, observed: Mapping[WorkloadKey, tuple[float, float]]) -> None:
        """Note what Prometheus knows of gaps: mean replicas, and the part of the gap it has them of."""
        for key, (replicas, fraction) in observed.items():
            one = state.workloads[key]
            if one.gap is not None:
                gap = replace(one.gap, observed_replicas=replicas, observed_fraction=fraction)
                state.workloads[key] = replace(one, gap=gap)

    def uid_of(self, key: WorkloadKey) -> str:
        """Of the optimizer whose state is open; empty where none is."""
        return self._uids.get(key, "")

    def close(self, ticked: TickResult, previous: FleetRecord) -> FleetRecord:
        """The record after a tick; what was not ticked stays as it was, what is gone is dropped."""
        state = ticked.state
        present = {str(body["metadata"]["uid"]) for body in self.store.of(OPTIMIZERS)}
        workloads = {
            uid: one for uid, one in previous.workloads.items() if uid in present or self._is_elsewhere(one.namespace)
        }
        for key, account in ticked.accounts.items():
            workloads[self._uids[key]] = _on_record(key, state.workloads[key], account)
        policies = {str(body["metadata"]["uid"]) for body in self.store.of(COST_POLICIES)}
        spends: dict[str, ScopeSpend] = {uid: one for uid, one in previous.spends.items() if uid in policies}
        spends |= {uid: state.spends[name] for name, uid in self._policy_uids.items() if name in state.spends}
        return FleetRecord(previous.since_seconds, workloads, spends)

    def _is_elsewhere(self, namespace: str) -> bool:
        """Where this process does not look, so that it cannot tell what is gone."""
        return bool(self.namespaces) and namespace not in self.namespaces

    def _open_policies(self, fleet: Fleet, record: FleetRecord, state: FleetState, now_seconds: float) -> None:
        bodies = {policy.metadata.name: body for policy, body, _ in fleet.policies if isinstance(policy, CostPolicy)}
        for name, body in bodies.items():
            uid = str(body["metadata"]["uid"])
            if self._policy_uids.get(name) != uid:
                status = body.get("status", {})
                created = _created_seconds(body)
                state.spends[name] = restored_spend(record, uid, created, status, now_seconds)
        self._policy_uids = {name: str(body["metadata"]["uid"]) for name, body in bodies.items()}


def _on_record(key: WorkloadKey, state: WorkloadState, account: Account) -> WorkloadRecord:
    running = account.actual
    if running is None:
        return workload_record(key, state, None, None)
    return workload_record(key, state, running.replicas, value_or_none(running.usd_per_replica_hour))


def _created_seconds(body: Body) -> float:
    created = body["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(created).timestamp() if created else 0.0
