"""The baseline lives in the same world: what limits us limits it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kcloud_autoscale.account.power import ReplicaPower
from kcloud_autoscale.account.room import REMEMBERED_SECONDS, SCHEDULING_SECONDS, Claim, rooms, seen_slots
from kcloud_autoscale.account.worth import Worth
from kcloud_autoscale.domain.observation import PodObservation, PodPhase, Pods, TargetObservation
from kcloud_autoscale.domain.policy import BudgetPeriod, Caps, CapUnit, CostScope, FleetPolicy, SharedCap
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.state import BaselineState, Ledger, PowerState, ScopeSpend, Slots
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from tests.builders.accounting import NOW, a_policy, some_pods

UNKNOWN = Missing(MissingReason.NO_DATA)
POWER = ReplicaPower(Sample(700.0, NOW), Sample(1_000.0, NOW), Sample(200.0, NOW), PowerState())
# On spot at 2 $/h, on demand at 5 $/h.
WORTH = Worth(Sample(2.0, NOW), Sample(5.0, NOW), POWER)
A, B, C = (WorkloadKey("ai", name) for name in "abc")
SPENDS: dict[str, ScopeSpend] = {}


def target(pods: Pods) -> TargetObservation:
    return TargetObservation(TargetRef("apps/v1", "Deployment", "llm"), "uid", "1", len(pods), pods)


def claim(wants: int, key: WorkloadKey = A, ledger: Ledger | None = None, **policy: Any) -> Claim:
    return Claim(a_policy(key=key, **policy), target(some_pods(3)), BaselineState(wants, wants), WORTH, ledger)


def room(*claims: Claim, **fleet: Any) -> dict[WorkloadKey, int]:
    return rooms(claims, FleetPolicy({each.policy.key: each.policy for each in claims}, **fleet), SPENDS, NOW)


def test_without_limits_there_is_room_for_all_it_wants():
    assert room(claim(24)) == {}


@pytest.mark.parametrize(
    ("caps", "fits"),
    [
        (Caps(max_usd_per_hour=22.0), 4),  # at the on-demand price of 5 $/h
        (Caps(max_watts=6_500.0), 6),  # at the upper quantile of the draw
        (Caps(max_usd_per_hour=22.0, max_watts=3_000.0), 3),
        (Caps(max_usd_per_hour=2.0), 1),  # minReplicas is never cut by money
        (Caps(budget_usd=1.0), 12),  # 1 $ in a minute is 60 $/h
    ],
)
def test_its_own_limits_are_the_workloads(caps: Caps, fits: int):
    assert room(claim(24, caps=caps)) == {A: fits}


def test_it_spends_the_budget_as_it_would_have_not_as_we_did():
    caps = Caps(budget_usd=100.0, budget_period=BudgetPeriod.TOTAL)
    ledger = Ledger(0.0, NOW, period_spent_usd=20.0, period_baseline_usd=100.0)
    assert room(claim(24, caps=caps, ledger=ledger)) == {A: 1}


def test_where_the_need_is_unknown_it_grows_no_more_than_we_do():
    unpriced = Claim(a_policy(caps=Caps(max_usd_per_hour=22.0)), target(some_pods(3)), BaselineState(24, 24),
                     Worth(UNKNOWN, UNKNOWN, POWER), None)  # fmt: skip
    assert room(unpriced)[unpriced.policy.key] == 3


def test_baselines_share_a_limit_by_priority_after_the_floors():
    # 60 $/h for 12 replicas at 5 $/h; 8 + 8 + 8 are wanted. Floors of 1, 2 and 1 first, then B, then A, then C.
    claims = [claim(8, A, priority=50), claim(8, B, priority=80, min_replicas=2), claim(8, C, priority=50)]
    cap = SharedCap("p/costPerHourLimit", CapUnit.USD_PER_HOUR, 60.0, frozenset({A, B, C}))
    assert room(*claims, shared_caps=(cap,)) == {A: 3, B: 8, C: 1}
    assert room(*claims, shared_caps=(SharedCap("p", CapUnit.USD_PER_HOUR, 120.0, frozenset({A, B, C})),)) == {}


def test_a_shared_budget_that_the_baselines_would_have_spent_is_spent_for_them():
    scope = CostScope("p", frozenset({A}), budget_usd=100.0)
    claims = (claim(8, A),)
    fleet = FleetPolicy({A: claims[0].policy}, cost_scopes=(scope,))
    assert rooms(claims, fleet, {"p": ScopeSpend(NOW, total_usd=30.0, baseline_total_usd=100.0)}, NOW) == {A: 1}
    assert rooms(claims, fleet, {"p": ScopeSpend(NOW, total_usd=30.0, baseline_total_usd=60.0)}, NOW) == {}


def waiting(since: float) -> PodObservation:
    return PodObservation(f"waiting-{since}", since, phase=PodPhase.PENDING)


def test_pods_that_wait_for_a_node_tell_that_the_cluster_is_full():
    pods = Pods([*some_pods(4), waiting(NOW - SCHEDULING_SECONDS)])
    assert seen_slots(None, target(pods), NOW) == Slots(4, NOW)
    full = Claim(a_policy(), target(pods), BaselineState(24, 24), WORTH, None)
    assert room(full) == {full.policy.key: 4}


def test_what_the_scheduler_or_a_quota_refuses_counts_at_once():
    told = replace(waiting(NOW - 1.0), unscheduled="0/4 nodes are available: 4 Insufficient nvidia.com/gpu")
    assert seen_slots(None, target(Pods([*some_pods(4), told])), NOW) == Slots(4, NOW)
    refused = replace(target(some_pods(3)), creation_refused="exceeded quota: gpus")
    assert seen_slots(None, refused, NOW) == Slots(3, NOW)


def test_a_pod_that_was_just_made_tells_nothing():
    assert seen_slots(None, target(Pods([*some_pods(4), waiting(NOW - 1.0)])), NOW) is None


def test_what_was_seen_stands_until_more_is_bound_or_for_a_day():
    seen = Slots(4, NOW)
    assert seen_slots(seen, target(some_pods(2)), NOW + 3_600.0) == seen
    assert seen_slots(seen, UNKNOWN, NOW + 3_600.0) == seen
    assert seen_slots(seen, target(some_pods(5)), NOW + 60.0) is None
    assert seen_slots(seen, target(some_pods(2)), NOW + REMEMBERED_SECONDS + 1.0) is None
