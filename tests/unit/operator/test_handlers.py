import pytest

from kcloud_autoscale.operator.handlers import FINALIZER, _keeper, kopf_settings, slim
from kcloud_autoscale.operator.store import OPTIMIZERS, ObjectStore
from tests.unit.operator.objects import optimizer


def test_kopf_does_not_know_our_finalizer():
    """It takes off one of its own name wherever it has no deletion handler; ours must stay."""
    assert kopf_settings().persistence.finalizer != FINALIZER


def test_an_api_server_may_be_away_for_ten_minutes():
    backoffs = kopf_settings().networking.error_backoffs
    assert not isinstance(backoffs, float | int)
    assert sum(backoffs) > 600.0


def test_managed_fields_are_not_kept():
    body = optimizer()
    body["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    assert "managedFields" not in slim(body)["metadata"]
    assert slim(body)["spec"] == body["spec"]


@pytest.mark.parametrize(("kind", "names"), [(None, ["llm"]), ("ADDED", ["llm"]), ("DELETED", [])])
async def test_events_keep_the_store_current(kind: str | None, names: list[str]):
    store, told = ObjectStore(), []
    store.put(OPTIMIZERS, optimizer())
    keep = _keeper(store, OPTIMIZERS, lambda: told.append("changed"), lambda: told.append("watched"))
    body = optimizer(priority=60)
    body["metadata"] |= {"generation": 2, "resourceVersion": "6"}
    await keep(event={"type": kind, "object": body})
    assert told == ["watched", "changed"]
    assert [found["metadata"]["name"] for found in store.of(OPTIMIZERS)] == names
