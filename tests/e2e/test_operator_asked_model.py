"""A model that is asked for, on the real parts: fitted by its own process, told in the status, gone with the wish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
import pytest

from hack.cluster import Prometheus
from kcloud_autoscale.operator import fitter_main
from tests.e2e.world import World, eventually, optimizer

pytestmark = pytest.mark.e2e

Factory = Callable[..., tuple[World, Prometheus]]


def fitters(world: World) -> list[psutil.Process]:
    """The operator's processes that fit."""
    assert world.operator.process is not None
    children = psutil.Process(world.operator.process.pid).children()
    return [child for child in children if fitter_main.__name__ in child.cmdline()]


def test_a_model_that_is_asked_for_is_fitted_by_a_process_of_its_own_and_told(own_world: Factory):
    """A second is taken for ten minutes: 60 steps that ETS needs are seen within a minute, an hour is 6 s."""
    world, _ = own_world(TIME_SCALE="600", STEP_SECONDS="1", CYCLE_SECONDS="1")
    world.demand.loads["asking"] = world.demand.loads["plain"] = 20.0
    for name, given in (("asking", {"forecast": {"model": "ETS"}}), ("plain", {})):
        world.deploy(name)
        world.apply(optimizer(world.namespace, name, **given))

    def asked() -> dict[str, Any]:
        found: dict[str, Any] = world.status("asking").get("forecast", {}).get("asked", {})
        return found

    eventually(lambda: asked().get("model") == "ETS", 60, lambda: world.explain("asking"))
    assert asked()["fitted"] is False
    assert asked()["message"]
    eventually(lambda: asked().get("fitted"), 300, lambda: world.explain("asking"))
    assert "message" not in asked()
    assert 0.0 <= asked()["weight"] <= 1.0
    (fitter,) = fitters(world)
    assert "asked" not in world.status("plain")["forecast"]
    # Not asked for any more, the workload is forecast as everybody else.
    world.apply(optimizer(world.namespace, "asking"))
    eventually(lambda: "asked" not in world.status("asking").get("forecast", {}), 60, lambda: world.explain("asking"))
    assert world.operator.terminate() == 0
    fitter.wait(10)  # it ends with the operator
