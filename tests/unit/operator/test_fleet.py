from typing import Any

import pytest

from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from kcloud_autoscale.operator.fleet import Fleet, FleetReader
from kcloud_autoscale.operator.handlers import FINALIZER
from kcloud_autoscale.operator.settings import load_settings
from kcloud_autoscale.operator.store import COST_POLICIES, NAMESPACES, OPTIMIZERS, ObjectStore
from tests.unit.operator.objects import cost_policy, deleted, optimizer

LLM = WorkloadKey("ai", "llm")
SETTINGS = load_settings({"PROMETHEUS_URL": "http://prometheus", "CYCLE_SECONDS": "30"})


def read(*optimizers: dict[str, Any], labels: dict[str, str] | None = None) -> Fleet:
    store = ObjectStore()
    for body in optimizers:
        store.put(OPTIMIZERS, body)
    store.put(COST_POLICIES, cost_policy(40.0))
    store.put(NAMESPACES, {"metadata": {"name": "ai", "uid": "n", "labels": labels or {}}})
    return FleetReader(SETTINGS).read(store)


def test_objects_and_settings_become_one_policy():
    fleet = read(optimizer(), labels={"team": "a"})
    assert fleet.policy.workloads[LLM].max_replicas == 10
    assert fleet.policy.cycle_seconds == 30.0
    (cap,) = fleet.policy.shared_caps
    assert (cap.limit, cap.members) == (40.0, frozenset({LLM}))


def test_a_policy_covers_only_the_namespaces_it_selects():
    assert read(optimizer(), labels={"team": "b"}).policy.shared_caps == ()


def test_what_cannot_be_understood_is_named_and_leaves_the_others_alone():
    bad = optimizer("bad", autoScaling={"minReplicas": 5, "maxReplicas": 2})
    fleet = read(optimizer(), bad)
    assert set(fleet.policy.workloads) == {LLM}
    ((body, message),) = fleet.invalid
    assert body["metadata"]["name"] == "bad"
    assert "5" in message
    assert "maxReplicas" in message


def test_a_deleted_optimizer_is_out_unless_its_replicas_are_to_be_restored():
    assert read(deleted(optimizer(), "foreign.io/finalizer")).policy.workloads == {}
    held = read(deleted(optimizer(deletionPolicy="Restore"), FINALIZER))
    assert held.policy.workloads[LLM].mode is Mode.OFF


def test_an_object_is_parsed_once_per_change_of_its_spec(monkeypatch: pytest.MonkeyPatch):
    parsed = []
    from kcloud_autoscale.operator import fleet as module

    real = module.parse
    monkeypatch.setattr(module, "parse", lambda body: parsed.append(body) or real(body))
    store, reader = ObjectStore(), FleetReader(SETTINGS)
    body = optimizer()
    store.put(OPTIMIZERS, body)
    reader.read(store)
    written = {**body, "metadata": {**body["metadata"], "resourceVersion": "6"}, "status": {"replicas": 2}}
    store.put(OPTIMIZERS, written)
    assert reader.read(store).status_of(LLM) == {"replicas": 2}
    assert len(parsed) == 1
    changed = {**written, "metadata": {**written["metadata"], "resourceVersion": "7", "generation": 2}}
    store.put(OPTIMIZERS, changed)
    reader.read(store)
    assert len(parsed) == 2
