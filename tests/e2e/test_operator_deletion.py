"""Deleting an optimizer leaves nothing behind, and its count as its owner asked."""

import pytest

from hack.cluster import ClusterError
from tests.e2e.world import World, eventually, optimizer

pytestmark = pytest.mark.e2e


def is_gone(world: World, name: str) -> bool:
    try:
        world.get(name)
    except ClusterError as error:
        return "NotFound" in str(error)
    return False


def scaled_up(world: World, name: str, policy: str) -> None:
    world.demand.loads[name] = 20.0
    world.deploy(name)
    manifest = optimizer(world.namespace, name)
    manifest["spec"]["deletionPolicy"] = policy
    world.apply(manifest)
    # ceil(20 / 7) = 3
    eventually(lambda: world.replicas(name) == 3, 20, lambda: world.explain(name))


def test_keep_leaves_the_count_and_no_trace(world: World):
    scaled_up(world, "kept", "Keep")
    assert "finalizers" not in world.get("kept")["metadata"]
    assert f'namespace="{world.namespace}"' in world.operator.get("metrics", "/metrics")[1]
    world.cluster.kubectl("delete", "wo", "kept", "-n", world.namespace, "--timeout=5s")
    eventually(lambda: is_gone(world, "kept"), 5)
    eventually(lambda: f'namespace="{world.namespace}"' not in world.operator.get("metrics", "/metrics")[1], 10)
    deployment = world.cluster.kubectl.get("deployment", "kept", "-n", world.namespace)
    assert deployment["spec"]["replicas"] == 3
    assert "finalizers" not in deployment["metadata"]
    assert not [key for key in deployment["metadata"].get("annotations", {}) if "kcloud" in key]


def test_restore_sets_the_count_found_at_adoption(world: World):
    scaled_up(world, "restored", "Restore")
    assert world.get("restored")["metadata"]["finalizers"] == ["kcloud.io/restore-replicas"]
    world.cluster.kubectl("delete", "wo", "restored", "-n", world.namespace, "--timeout=15s")
    assert is_gone(world, "restored")
    assert world.replicas("restored") == 1
    eventually(lambda: "its original count of 1 is restored" in world.operator.log.read_text(), 5)
    assert "mode Off" not in world.operator.log.read_text()


def test_restore_does_not_wait_for_a_target_that_is_gone(world: World):
    scaled_up(world, "orphan", "Restore")
    world.cluster.kubectl("delete", "deployment", "orphan", "-n", world.namespace)
    world.cluster.kubectl("delete", "wo", "orphan", "-n", world.namespace, "--timeout=15s")
    assert is_gone(world, "orphan")


def test_the_finalizer_goes_when_nothing_is_to_be_restored_any_more(world: World):
    scaled_up(world, "changed", "Restore")
    patch = '{"spec": {"deletionPolicy": "Keep"}}'
    world.cluster.kubectl("patch", "wo", "changed", "-n", world.namespace, "--type=merge", "-p", patch)
    eventually(lambda: "finalizers" not in world.get("changed")["metadata"], 10)
