from typing import Any

import pytest

from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.domain.decision import Decision, ScaleAction, ScaleOutcome, ScaleResult
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


def test_the_status_says_that_it_is_being_deleted():
    (fact,) = deletion.deleting(fleet_of(leaving()), LLM)
    assert (fact.type, fact.status, fact.reason) == ("Ready", True, "Deleting")
    assert deletion.deleting(fleet_of(optimizer(**RESTORE)), LLM) == ()


def decided(current: int | None, desired: int | None) -> Decision:
    return Decision("d1", LLM, DELETED_AT, current, desired)


def result(outcome: ScaleOutcome, to_replicas: int = 2) -> ScaleResult:
    target = TargetRef("apps/v1", "Deployment", "llm")
    return ScaleResult(ScaleAction(LLM, "d1", target, "t1", "7", 6, to_replicas, 1, 10, "Restored"), outcome)


@pytest.mark.parametrize(
    ("decision", "outcome", "after_seconds", "let_go"),
    [
        (decided(6, 2), result(ScaleOutcome.WRITTEN), 1.0, True),
        (decided(6, 2), result(ScaleOutcome.GONE), 1.0, True),
        (decided(6, 2), result(ScaleOutcome.STALE), 1.0, False),
        (decided(6, 2), result(ScaleOutcome.FAILED), 59.0, False),
        (decided(6, 2), result(ScaleOutcome.FAILED), 61.0, True),
        (decided(6, 9), result(ScaleOutcome.WRITTEN, 7), 1.0, False),  # the rest waits for room under a cap
        (decided(6, 9), None, 1.0, False),
        (decided(6, 9), None, 61.0, True),
        (decided(6, 6), None, 1.0, True),  # nothing to undo
        (decided(None, None), None, 1.0, True),  # nothing to undo it on
        (None, None, 1.0, False),  # set aside
    ],
)
async def test_the_object_is_let_go_when_it_is_undone_or_after_a_minute(
    decision: Decision | None, outcome: ScaleResult | None, after_seconds: float, let_go: bool
):
    rest = FakeRest({PATH: {"metadata": {}}})
    decisions = {LLM: decision} if decision else {}
    results = {LLM: outcome} if outcome else {}
    await deletion.release(rest, fleet_of(leaving()), decisions, results, DELETED_AT + after_seconds)
    assert finalizers(rest) == ([[]] if let_go else [])


@pytest.mark.parametrize(("body", "restoring"), [(leaving(), True), (deleted(optimizer(), FINALIZER), False)])
def test_only_restore_goes_back(body: dict[str, Any], restoring: bool):
    assert fleet_of(body).policy.workloads[LLM].restoring is restoring


async def test_an_object_that_cannot_be_understood_is_let_go():
    body = deleted(optimizer(autoScaling={"maxReplicas": -1}), FINALIZER)
    rest = FakeRest({PATH: {"metadata": {}}})
    await deletion.release(rest, fleet_of(body), {}, {}, DELETED_AT)
    assert finalizers(rest) == [[]]
