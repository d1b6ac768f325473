"""Which workload has an optimizer: two kinds may share a name."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from kcloud_autoscale.cli.recommend_targets import absent_namespaces, named_targets, read_optimizers
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.reader import Json, ReadError
from tests.fakes.informers import filled_informers

DEPLOYMENT = TargetRef("apps/v1", "Deployment", "twin")
STATEFUL_SET = TargetRef("apps/v1", "StatefulSet", "twin")
TWINS = [("ai", STATEFUL_SET), ("ai", DEPLOYMENT)]
KEY, OTHER_KEY = WorkloadKey("ai", "twin"), WorkloadKey("ai", "twin-statefulset")


class CannedReader:
    """Answers each path with the same object; any other path is not there."""

    def __init__(self, answers: Mapping[str, Json]) -> None:
        self.answers = answers

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        if path not in self.answers:
            raise ReadError(404, f"{path}: HTTP 404")
        return self.answers[path]


def informers_of(*optimizers: Json) -> Informers:
    """One Deployment ``ai/twin`` and these optimizers."""
    informers = filled_informers(1, 1, name="twin")
    informers.reader = CannedReader({"/apis/kcloud.io/v1alpha1/workloadoptimizers": {"items": list(optimizers)}})  # type: ignore[assignment]
    return informers


def optimizer(name: str, **spec: Any) -> Json:
    return {"metadata": {"namespace": "ai", "name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("given", "scaled"),
    [
        (optimizer("twin"), DEPLOYMENT),
        (optimizer("twin", targetRef={"kind": "StatefulSet", "name": "twin"}), STATEFUL_SET),
        (optimizer("o", targetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "twin"}), DEPLOYMENT),
        (optimizer("gone"), None),
    ],
)
def test_an_optimizer_scales_what_it_names_or_what_has_its_name(given: Json, scaled: TargetRef | None) -> None:
    found = asyncio.run(read_optimizers(informers_of(given), ()))
    assert found == {WorkloadKey("ai", given["metadata"]["name"]): scaled}


def test_a_stateful_set_of_its_own_name_is_found_where_there_is_no_deployment() -> None:
    informers = informers_of(optimizer("twin"))
    deployments = informers._scalables["Deployment"][""].objects
    moved = replace(deployments.pop(("ai", "twin")), ref=STATEFUL_SET)
    informers._scalables["StatefulSet"][""].objects["ai", "twin"] = moved
    assert asyncio.run(read_optimizers(informers, ())) == {KEY: STATEFUL_SET}


def test_without_the_crd_there_is_no_optimizer() -> None:
    assert asyncio.run(read_optimizers(informers_of(), ("elsewhere",))) == {}


def test_twins_get_a_name_each() -> None:
    assert named_targets(TWINS, {}) == {KEY: DEPLOYMENT, OTHER_KEY: STATEFUL_SET}
    # An optimizer of that name scales the StatefulSet: a manifest for the Deployment must not replace it.
    assert named_targets(TWINS, {KEY: STATEFUL_SET}) == {
        WorkloadKey("ai", "twin-deployment"): DEPLOYMENT,
        KEY: STATEFUL_SET,
    }


def test_a_namespace_that_does_not_exist_is_named() -> None:
    reader = CannedReader({"/api/v1/namespaces/ai": {}})
    assert asyncio.run(absent_namespaces(reader, ("ai", "a/i"))) == ("a/i",)  # type: ignore[arg-type]
    assert asyncio.run(absent_namespaces(reader, ())) == ()  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"there is no namespace ia and no a1$"):
        asyncio.run(absent_namespaces(reader, ("ia", "a1")))  # type: ignore[arg-type]


def test_whoever_may_not_look_at_a_namespace_goes_on() -> None:
    class Forbidden(CannedReader):
        async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
            raise ReadError(403, f"{path}: HTTP 403")

    assert asyncio.run(absent_namespaces(Forbidden({}), ("ai",))) == ()  # type: ignore[arg-type]
