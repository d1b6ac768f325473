"""What a process remembers of a workload over a cycle, with a fake API server and a fake Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, cast

import pytest

from kcloud_autoscale.act.events import EventWriter
from kcloud_autoscale.act.ledger_record import DeposedError, LedgerRecord
from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.act.scale import ScaleWriter
from kcloud_autoscale.act.status_writer import StatusWriter
from kcloud_autoscale.domain.decision import ScaleAction
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer
from kcloud_autoscale.observe.prometheus_response import PrometheusError
from kcloud_autoscale.operator import quarantine, reconcile
from kcloud_autoscale.operator.fitting import WorkerFitter
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.quarantine import SET_ASIDE_SECONDS
from kcloud_autoscale.operator.reconcile import Reconciler
from kcloud_autoscale.operator.record import Recorder
from kcloud_autoscale.operator.settings import load_settings
from kcloud_autoscale.operator.store import OPTIMIZERS, ObjectStore
from kcloud_autoscale.operator.teaching import WorkerTeacher
from tests.fakes.informers import filled_informers
from tests.fakes.prometheus import FakePrometheus
from tests.fakes.rest import FakeRest
from tests.unit.operator.objects import optimizer

LLM = WorkloadKey("ai", "llm")
NOW = 1_800_000_000.0


@pytest.fixture
def teacher() -> Iterator[WorkerTeacher]:
    """Its worker, if it comes to that, ends with the test."""
    made = WorkerTeacher(Metrics())
    yield made
    made.close()


def reconciler_of(body: dict[str, Any], teacher: WorkerTeacher, prometheus: FakePrometheus | None = None) -> Reconciler:
    settings = load_settings({"PROMETHEUS_URL": "http://prometheus"})
    store, rest, bucket, metrics = ObjectStore(), FakeRest(), TokenBucket(), Metrics()
    store.put(OPTIMIZERS, body)
    statuses = StatusWriter(rest, bucket, lambda ref: body, lambda ref, answer: None)
    record = LedgerRecord(rest, "kcloud-system", "operator", "pod")
    recorder = Recorder(statuses, EventWriter(rest, bucket, "operator", "pod"), metrics)
    gatherer = Gatherer(prometheus or FakePrometheus(), filled_informers(1, 3, name="llm"))
    scaler = ScaleWriter(rest, bucket, lambda: True)
    fitter = WorkerFitter(metrics)  # nobody asks: there is neither a process nor a thread
    return Reconciler(settings, store, gatherer, rest, scaler, record, recorder, metrics, teacher, fitter)


async def test_a_workload_that_was_set_aside_goes_on_from_its_status(
    monkeypatch: pytest.MonkeyPatch, teacher: WorkerTeacher
):
    # Found at 7, now at 3: whoever forgets the 7 takes the 3 for what was found.
    reconciler = reconciler_of({**optimizer(), "status": {"originalReplicas": 7}}, teacher)
    await reconciler.reconcile(NOW)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("float division by zero")

    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "tick", broken)
        patch.setattr(quarantine, "tick", broken)
        with pytest.raises(ZeroDivisionError):
            await reconciler.reconcile(NOW + 60.0)
    await reconciler.reconcile(NOW + 120.0)
    assert LLM not in reconciler._state.workloads
    await reconciler.reconcile(NOW + 60.0 + SET_ASIDE_SECONDS)

    assert reconciler._state.workloads[LLM].original_replicas == 7


def an_action() -> ScaleAction:
    return ScaleAction(
        LLM, "d1", TargetRef("apps/v1", "Deployment", "llm"), "uid-llm", "7", 3, 5, 1, 10, "ForecastNeed"
    )


async def test_nothing_is_scaled_for_the_first_time_before_its_original_count_is_on_record(teacher: WorkerTeacher):
    reconciler = reconciler_of(optimizer(), teacher)
    await reconciler.take_over(NOW)
    rest = cast(FakeRest, reconciler._rest)
    rest.refuse = lambda verb, path: RequestError(403, "Forbidden", "no") if "configmaps" in path else None
    await reconciler.reconcile(NOW)
    assert reconciler._metrics.ledger_failures._value.get() == 1.0
    assert not reconciler._is_adopted(an_action())
    rest.refuse = lambda verb, path: None
    await reconciler.reconcile(NOW + 60.0)
    assert reconciler._is_adopted(an_action())
    # Once it is there, a record that cannot be written holds nobody up.
    rest.refuse = lambda verb, path: RequestError(500, "InternalError", "no") if "configmaps" in path else None
    await reconciler.reconcile(NOW + 120.0)
    assert reconciler._is_adopted(an_action())


async def test_a_process_that_was_deposed_gives_its_cycle_up_before_it_acts(teacher: WorkerTeacher):
    reconciler = reconciler_of(optimizer(deletionPolicy="Restore"), teacher)
    await reconciler.take_over(NOW)
    rest = cast(FakeRest, reconciler._rest)
    await LedgerRecord(rest, "kcloud-system", "operator", "another").take_over(NOW)
    with pytest.raises(DeposedError, match="another has taken the record over"):
        await reconciler.reconcile(NOW)
    assert rest.written("PATCH") == []  # not even the finalizer


async def test_an_object_that_cannot_be_understood_stays_on_record_and_one_that_is_gone_does_not(
    teacher: WorkerTeacher,
):
    reconciler = reconciler_of(optimizer(), teacher)
    await reconciler.take_over(NOW)
    await reconciler.reconcile(NOW)
    broken = optimizer(autoScaling={"maxReplicas": -1})
    broken["metadata"] |= {"generation": 2, "resourceVersion": "6"}
    reconciler._store.put(OPTIMIZERS, broken)
    await reconciler.reconcile(NOW + 60.0)
    assert reconciler._record.written.workloads["uid-llm"].original_replicas == 3
    reconciler._store.drop(OPTIMIZERS, broken)
    await reconciler.reconcile(NOW + 120.0)
    assert reconciler._record.written.workloads == {}


async def test_time_that_was_set_is_not_paid(teacher: WorkerTeacher):
    reconciler = reconciler_of(optimizer(), teacher)
    await reconciler.take_over(NOW)
    await reconciler.reconcile(NOW)
    reconciler.start_over(86_400.0)
    await reconciler.reconcile(NOW + 86_460.0)
    ledger = reconciler._record.written.workloads["uid-llm"].ledger
    assert ledger is not None
    assert ledger.actual.replica_seconds == pytest.approx(3 * 60.0)


async def test_a_prometheus_that_is_away_is_logged_once_and_once_when_it_is_back(
    teacher: WorkerTeacher, caplog: pytest.LogCaptureFixture
):
    away: list[PrometheusError] = [PrometheusError("connection refused")]
    prometheus = FakePrometheus(refuse=lambda _: away[0] if away else None)
    reconciler = reconciler_of(optimizer(), teacher, prometheus)
    with caplog.at_level(logging.INFO, "kcloud_autoscale.operator.sources"):
        await reconciler.reconcile(NOW)
        await reconciler.reconcile(NOW + 60.0)
        away.clear()
        await reconciler.reconcile(NOW + 120.0)
    told = [record.getMessage() for record in caplog.records if "Prometheus" in record.getMessage()]
    assert len(told) == 2
    assert told[0].endswith("Prometheus does not answer: connection refused")
    assert told[1] == "No longer seen: Prometheus does not answer"
