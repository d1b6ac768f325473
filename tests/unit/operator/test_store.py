from typing import Any

from kcloud_autoscale.operator.store import OPTIMIZERS, ObjectStore


def body(name: str = "llm", version: int = 1, uid: str = "u1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "ai", "name": name, "uid": uid, "resourceVersion": str(version), **metadata}}


def test_only_what_people_decide_is_news():
    store = ObjectStore()
    assert store.put(OPTIMIZERS, body(generation=1))
    assert not store.put(OPTIMIZERS, body(version=2, generation=1))  # its status was written
    assert store.put(OPTIMIZERS, body(version=3, generation=2))
    assert store.put(OPTIMIZERS, body(version=4, generation=2, labels={"team": "a"}))
    assert store.put(OPTIMIZERS, body(version=5, generation=2, labels={"team": "a"}, deletionTimestamp="now"))


def test_an_older_version_never_replaces_a_newer_one():
    store = ObjectStore()
    store.put(OPTIMIZERS, body(version=10, generation=2))
    assert not store.put(OPTIMIZERS, body(version=9, generation=1))
    assert store.of(OPTIMIZERS)[0]["metadata"]["generation"] == 2


def test_the_end_of_a_predecessor_does_not_take_its_successor_along():
    store = ObjectStore()
    store.put(OPTIMIZERS, body(version=10, uid="new"))
    assert not store.drop(OPTIMIZERS, body(version=9, uid="old"))
    assert store.drop(OPTIMIZERS, body(version=11, uid="new"))
    assert store.of(OPTIMIZERS) == []


def test_a_fresh_list_heals_a_lost_deletion():
    store = ObjectStore()
    store.put(OPTIMIZERS, body("a"))
    store.put(OPTIMIZERS, body("b"))
    assert store.replace(OPTIMIZERS, [body("b")])
    assert [item["metadata"]["name"] for item in store.of(OPTIMIZERS)] == ["b"]
    assert not store.replace(OPTIMIZERS, [body("b")])
