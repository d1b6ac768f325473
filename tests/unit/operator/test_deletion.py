from typing import Any

import pytest

from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.act.scale import ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.observation import Observation, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.operator import deletion
from kcloud_autoscale.operator.fleet import Fleet, FleetReader
from kcloud_autoscale.operator.handlers import FINALIZER
from kcloud_autoscale.operator.settings import load_settings
from kcloud_autoscale.operator.store import OPTIMIZERS, ObjectStore
from tests.fakes.rest import FakeRest
from tests.unit.operator.objects import deleted, optimizer

LLM = WorkloadKey("ai", "llm")
PATH = "/apis/kcloud.io/v1alpha1/namespaces/ai/workloadoptimizers/llm"
DELETED_AT = 1_767_312_000.0  # 2026-01-02T00:00:00Z
RESTORE = {"deletionPolicy": "Restore"}


def fleet_of(body: dict[str, Any]) -> Fleet:
    store = ObjectStore()
    store.put(OPTIMIZERS, body)
    return FleetReader(load_settings({"PROMETHEUS_URL": "http://prometheus"})).read(store)


def seen(replicas: int | None, conflict: str | None = None) -> Observation:
    target = (
        Missing(MissingReason.NO_DATA)
        if replicas is None
        else TargetObservation(TargetRef("apps/v1", "Deployment", "llm"), "t1", "7", replicas)
    )
    return Observation(DELETED_AT, {LLM: WorkloadObservation(LLM, target, conflict)})


def leaving() -> dict[str, Any]:
    return deleted(optimizer(**RESTORE), FINALIZER)


def finalizers(rest: FakeRest) -> list[list[str]]:
    return [body["metadata"]["finalizers"] for body in rest.written("PATCH")]


async def test_the_finalizer_is_put_on_where_there_will_be_something_to_undo():
    rest = FakeRest({PATH: {"metadata": {}}})
    assert await deletion.hold(rest, fleet_of(optimizer(**RESTORE))) == frozenset()
    assert finalizers(rest) == [[FINALIZER]]
    assert rest.written("PATCH")[0]["metadata"]["resourceVersion"] == "5"


async def test_it_is_taken_off_where_nothing_is_to_be_restored_any_more_and_foreign_ones_stay():
    body = optimizer()
    body["metadata"]["finalizers"] = ["foreign.io/x", FINALIZER]
    rest = FakeRest({PATH: {"metadata": {}}})
    await deletion.hold(rest, fleet_of(body))
    assert finalizers(rest) == [["foreign.io/x"]]


async def test_nothing_is_scaled_before_the_finalizer_is_on():
    rest = FakeRest()
    rest.refuse = lambda verb, path: RequestError(409, "Conflict", "changed")
    assert await deletion.hold(rest, fleet_of(optimizer(**RESTORE))) == frozenset({LLM})


def test_the_way_back_leads_to_the_count_found_at_adoption():
    action = deletion.restore_action(fleet_of(leaving()), LLM, seen(6), 2)
    assert action is not None
    assert (action.from_replicas, action.to_replicas, action.target_uid) == (6, 2, "t1")


@pytest.mark.parametrize(
    ("body", "observation", "original"),
    [
        (leaving(), seen(2), 2),  # nothing to undo
        (leaving(), seen(None), 2),  # nothing to undo it on
        (leaving(), seen(6), None),  # never seen
        (leaving(), seen(6, conflict="HorizontalPodAutoscaler llm"), 2),  # somebody else's count
        (deleted(optimizer(), FINALIZER), seen(6), 2),  # Keep, meanwhile
    ],
)
def test_otherwise_the_count_stays(body: dict[str, Any], observation: Observation, original: int | None):
    assert deletion.restore_action(fleet_of(body), LLM, observation, original) is None


def test_the_status_says_that_it_is_being_deleted():
    (fact,) = deletion.deleting(fleet_of(leaving()), LLM)
    assert (fact.type, fact.status, fact.reason) == ("Ready", True, "Deleting")
    assert deletion.deleting(fleet_of(optimizer(**RESTORE)), LLM) == ()


def result(outcome: ScaleOutcome) -> ScaleResult:
    action = deletion.restore_action(fleet_of(leaving()), LLM, seen(6), 2)
    assert action is not None
    return ScaleResult(action, outcome)


@pytest.mark.parametrize(
    ("outcome", "after_seconds", "let_go"),
    [
        (ScaleOutcome.WRITTEN, 1.0, True),
        (ScaleOutcome.GONE, 1.0, True),
        (ScaleOutcome.STALE, 1.0, False),
        (ScaleOutcome.FAILED, 59.0, False),
        (ScaleOutcome.FAILED, 61.0, True),
        (None, 1.0, True),
    ],
)
async def test_the_object_is_let_go_when_it_is_undone_or_after_a_minute(
    outcome: ScaleOutcome | None, after_seconds: float, let_go: bool
):
    rest = FakeRest({PATH: {"metadata": {}}})
    results = {LLM: result(outcome) if outcome else None}
    await deletion.release(rest, fleet_of(leaving()), results, DELETED_AT + after_seconds)
    assert finalizers(rest) == ([[]] if let_go else [])


async def test_an_object_that_cannot_be_understood_is_let_go():
    body = deleted(optimizer(autoScaling={"maxReplicas": -1}), FINALIZER)
    rest = FakeRest({PATH: {"metadata": {}}})
    await deletion.release(rest, fleet_of(body), {}, DELETED_AT)
    assert finalizers(rest) == [[]]
