"""Money and original counts outlive every process, whatever stands in a status and whatever the clocks say."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hack.chart import release
from hack.faketime import WrongClock
from kcloud_autoscale.act.ledger_chunks import decoded
from kcloud_autoscale.domain.record import WorkloadRecord
from tests.e2e.test_operator_deletion import is_gone
from tests.e2e.test_operator_faults import Factory
from tests.e2e.world import World, eventually, optimizer
from tests.integration.manifests import deployment

pytestmark = pytest.mark.e2e

DAY = 86_400.0
CYCLE_SECONDS = 2.0
# 360 $/h per GPU: 0.1 $ a second for each replica, so that seconds can be told by the money.
USD_PER_REPLICA_SECOND = 0.1


def priced(world: World, name: str, **constraints: object) -> None:
    """One replica is found, three serve 20 per second, at 0.3 $ a second; deletion is to restore the one."""
    world.apply({
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "CostPolicy",
        "metadata": {"name": world.namespace},
        "spec": {
            "monthlyBudget": 1e6,
            "resourceCostPolicy": {"gpuCostPerHour": 3_600 * USD_PER_REPLICA_SECOND},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
        },
    })  # fmt: skip
    world.demand.loads[name] = 20.0
    manifest = optimizer(world.namespace, name)
    manifest["spec"] |= {"resources": {"gpu": 1}, "deletionPolicy": "Restore", "costConstraints": constraints}
    world.apply(deployment(world.namespace, name, 1, "0s"), manifest)
    eventually(lambda: world.replicas(name) == 3, 30, lambda: world.explain(name))


def on_record(world: World, name: str) -> WorkloadRecord:
    found = world.cluster.kubectl.get("configmap", f"{release.NAME}-ledger-0", "-n", release.NAMESPACE)
    return decoded(found["binaryData"]["record"]).workloads[world.get(name)["metadata"]["uid"]]


def spent(world: World, name: str) -> float:
    ledger = on_record(world, name).ledger
    assert ledger is not None
    return ledger.spent_usd


def month_of_policy(world: World) -> float:
    found = world.cluster.kubectl.get("configmap", f"{release.NAME}-ledger-0", "-n", release.NAMESPACE)
    uid = world.cluster.kubectl.get("costpolicy", world.namespace)["metadata"]["uid"]
    return decoded(found["binaryData"]["record"]).spends[uid].month_usd


def exported(world: World, name: str) -> float:
    """0 before the end of the first cycle: it is on record a moment earlier."""
    series = f'kcloud_lifetime_actual_cost_usd{{name="{name}",namespace="{world.namespace}",'
    lines = world.operator.get("metrics", "/metrics")[1].splitlines()
    return float(next((line for line in lines if line.startswith(series)), "none 0.0").split()[1])


def forge(world: World, name: str) -> None:
    long_ago = "1970-01-01T00:00:00Z"
    status = {
        "originalReplicas": 40,
        "budget": {"spent": 0.0, "periodStartTime": long_ago},
        "savings": {"since": long_ago, "updated": long_ago, "spentUsd": 0.0, "actual": {"usd": 0.0}, "compared": {}},
    }
    words = ("patch", "wo", name, "-n", world.namespace, "--subresource=status", "--type=merge")
    world.cluster.kubectl(*words, "-p", json.dumps({"status": status}))


@pytest.fixture
def world(own_world: Factory) -> World:
    return own_world(CYCLE_SECONDS=f"{CYCLE_SECONDS:g}")[0]


def test_stops_kills_and_forged_statuses_lose_no_cent_and_no_count(world: World):
    """At 0.3 $ a second every second must be found again, and be paid once."""
    priced(world, "llm", budgetLimit=1e6)
    eventually(lambda: exported(world, "llm") > 0.5, 30, lambda: world.explain("llm"))
    started, before = time.monotonic(), spent(world, "llm")

    told = exported(world, "llm")
    assert world.operator.terminate() == 0
    # What was exported is on record, and no more than a cycle is missing.
    assert told - 1e-6 <= spent(world, "llm") <= told + 2.5 * CYCLE_SECONDS * 3 * USD_PER_REPLICA_SECOND
    assert world.status("llm")["budget"]["spent"] == pytest.approx(told, abs=CYCLE_SECONDS * 3 * USD_PER_REPLICA_SECOND)
    forge(world, "llm")

    # Killed in its first cycle, again and again: the one that gets through pays for all of them.
    for _ in range(2):
        world.operator.start()
        eventually(lambda: "holds the Lease" in world.operator.said(), 40, world.operator.said)
        world.operator.kill()
    world.operator.start()
    world.operator.wait_ready()

    def paid() -> bool:
        """All seconds at three replicas each, but for the cycle that runs."""
        due = (time.monotonic() - started) * 3 * USD_PER_REPLICA_SECOND
        return abs(spent(world, "llm") - before - due) < 2.5 * CYCLE_SECONDS * 3 * USD_PER_REPLICA_SECOND

    eventually(paid, 20, lambda: (spent(world, "llm"), before, time.monotonic() - started, world.operator.said()))
    eventually(lambda: world.status("llm")["budget"]["spent"] > before, 10, lambda: world.explain("llm"))
    assert world.status("llm")["originalReplicas"] == on_record(world, "llm").original_replicas == 1
    assert world.status("llm")["savings"]["estimatedUsd"] > 0.0
    assert month_of_policy(world) == pytest.approx(spent(world, "llm"), abs=2.0)

    world.cluster.kubectl("delete", "wo", "llm", "-n", world.namespace, "--timeout=20s")
    assert is_gone(world, "llm")
    assert world.replicas("llm") == 1
    world.cluster.kubectl("delete", "costpolicy", world.namespace)


def test_a_crash_loop_exhausts_a_budget_all_the_same(world: World):
    """No process ever comes to the end of a cycle that counts; the 3 $ are gone after 10 s of three replicas."""
    priced(world, "llm", budgetLimit=3.0)
    until = time.monotonic() + 10.0
    while time.monotonic() < until:
        world.operator.kill()
        world.operator.start()
        eventually(lambda: "holds the Lease" in world.operator.said(), 40, world.operator.said)
    world.operator.wait_ready()
    eventually(lambda: world.replicas("llm") == 1, 15, lambda: world.explain("llm"))
    assert world.status("llm")["budget"]["remaining"] == 0.0
    world.cluster.kubectl("delete", "costpolicy", world.namespace)


def test_a_wrong_clock_is_not_paid_and_cuts_nothing(own_world: Factory, tmp_path: Path):
    """A day ahead at 0.3 $ a second would be 25,920 $."""
    clock = WrongClock(tmp_path / "clock")
    clock.set_by(DAY)  # at the start
    world, _ = own_world(**clock.environment)
    priced(world, "llm", budgetLimit=1e6, budgetPeriod="Daily")
    eventually(lambda: spent(world, "llm") > 0.5, 30, lambda: world.explain("llm"))
    started, before = time.monotonic(), spent(world, "llm")

    def as_passed() -> bool:
        due = (time.monotonic() - started) * 3 * USD_PER_REPLICA_SECOND
        return abs(spent(world, "llm") - before - due) < 2.5 * CYCLE_SECONDS * 3 * USD_PER_REPLICA_SECOND

    for error in (0.0, -DAY):
        clock.set_by(error)
        time.sleep(2.5 * CYCLE_SECONDS)
        assert world.replicas("llm") == 3
        assert as_passed(), (error, spent(world, "llm") - before, time.monotonic() - started, world.operator.said())
    # Also while nothing runs.
    world.operator.kill()
    clock.set_by(DAY)
    world.operator.start()
    world.operator.wait_ready()
    eventually(as_passed, 20, lambda: (spent(world, "llm") - before, time.monotonic() - started, world.operator.said()))
    ledger = on_record(world, "llm").ledger
    assert ledger is not None
    assert ledger.period_spent_usd == pytest.approx(ledger.spent_usd)
    assert world.replicas("llm") == 3
    # Readings are as fresh as ever, by the clock they are dated by.
    world.demand.loads["llm"] = 42.0
    eventually(lambda: world.replicas("llm") > 3, 15, lambda: world.explain("llm"))
    assert "This machine's clock is +86400 s from the servers'; theirs stands." in world.operator.said()
    world.cluster.kubectl("delete", "costpolicy", world.namespace)
