"""Our statements of Kubernetes HPA v2 against the HPA controller of kube-controller-manager itself.

All scenarios run side by side in one cluster. Of each, the controller's counts and those of `decide`, of the baselines
of `simulate` and of the reference that unit tests rest on must be the same after every sync.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hack.cluster import Cluster, HpaTiming, Node
from tests.integration.conformance.replay import Counts, decided, referred, simulated
from tests.integration.conformance.scenarios import ALL, DOWN_WINDOW_SECONDS, NOT_SIMULATED, OTHERWISE, SYNC_SECONDS
from tests.integration.conformance.script import Played
from tests.integration.conformance.stage import play

TIMEOUT_SECONDS = 300.0
NAMES = [scenario.name for scenario in ALL]


@dataclass(frozen=True)
class BrieflyTimed(HpaTiming):
    """Periods shortened alike, and leave to make more requests than the 20/s that do for a period of 15 s."""

    sync_seconds: float = SYNC_SECONDS
    downscale_stabilization_seconds: float = DOWN_WINDOW_SECONDS

    def flags(self) -> list[str]:
        return [*super().flags(), "--kube-api-qps=200", "--kube-api-burst=400"]


@pytest.fixture(scope="module")
def stage() -> Iterator[dict[str, Played]]:
    """Every scenario, played to its end."""
    with Cluster.start(nodes=[Node(f"node-{index}") for index in range(4)], hpa=BrieflyTimed()) as cluster:
        yield play(cluster, ALL, TIMEOUT_SECONDS)


def assert_same(ours: Counts, played: Played) -> None:
    shown = "\n".join(
        f"{index:3} {sync.at_seconds - played.syncs[0].at_seconds:6.2f} s {sync.phase.values} at {sync.world.replicas} "
        f"({sync.world.ready} ready): {real}{'' if real in our else f', and we say {our}'}"
        for index, (sync, real, our) in enumerate(zip(played.syncs, played.after, ours, strict=False))
    )
    assert all(real in our for real, our in zip(played.after, ours, strict=True)), shown
    assert sum(len(our) for our in ours) <= 1.2 * len(ours), f"too many syncs beside the end of a window\n{shown}"


# An optimizer always has a behavior, by default the documented one.
@pytest.mark.parametrize("name", [each.name for each in ALL if each.up is not None and each.name not in OTHERWISE])
def test_without_a_forecast_we_decide_as_the_hpa_controller_does(stage, name):
    assert_same(decided(stage[name]), stage[name])


@pytest.mark.parametrize(("name", "shown"), OTHERWISE.items())
def test_where_we_decide_otherwise_on_purpose(stage, name, shown):
    value, theirs, mine = shown
    played = stage[name]
    index = next(index for index, sync in enumerate(played.syncs) if sync.phase.values == (value,))

    assert (played.after[index], decided(played)[index]) == (theirs, {mine})


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_of_the_unit_tests_is_the_hpa_controller(stage, name):
    assert_same(referred(stage[name]), stage[name])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_SIMULATED])
def test_the_simulated_baseline_is_the_hpa_controller(stage, name):
    assert_same(simulated(stage[name]), stage[name])


@pytest.mark.parametrize("name", NAMES)
def test_no_change_of_the_count_is_missed(stage, name):
    counts = [stage[name].scenario.start, *stage[name].after]
    seen = [count for count, before in zip(counts, [None, *counts], strict=False) if count != before]

    assert [count for _, count in stage[name].counts][: len(seen)] == seen
