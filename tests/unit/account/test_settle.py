from __future__ import annotations

from dataclasses import replace

import pytest

from kcloud_autoscale.account.ledger import Account, savings
from kcloud_autoscale.account.power import ReplicaPower
from kcloud_autoscale.account.settle import Past, settle
from kcloud_autoscale.account.worth import Worth
from kcloud_autoscale.domain.observation import NOT_ASKED, PodObservation, PodPhase, WorkloadObservation
from kcloud_autoscale.domain.policy import Caps, FleetPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.state import DecisionState, PowerState, WorkloadState
from tests.builders.accounting import KEY, NOW, a_policy, seen, some_pods

POLICY = a_policy(caps=Caps(budget_usd=100.0))
POWER = ReplicaPower(
    Sample(1_000.0, NOW), Sample(1_300.0, NOW), Sample(200.0, NOW), PowerState((1_000.0,), 0.0, 1_000.0)
)
SPOT, ON_DEMAND = Sample(4.0, NOW), Sample(10.0, NOW)
WORTH = Worth(SPOT, ON_DEMAND, POWER)
NEW = WorkloadState(DecisionState(NOW))


def at_minute(minute: int, state: WorkloadState, workload: WorkloadObservation) -> tuple[Account, WorkloadState]:
    account, baseline = settle(
        Past(POLICY, workload, state, 10.0, 120.0),
        WORTH,
        NOT_ASKED,
        FleetPolicy({KEY: POLICY}),
        NOW + 60.0 * minute,
    )
    return account, replace(state, baseline=baseline, ledger=account.ledger)


def test_two_minutes_beside_the_shadow():
    # 42/s: five replicas of ours against HPA's six, at spot prices against on demand.
    account, state = at_minute(0, NEW, seen(some_pods(5), 42.0))
    assert account.baseline is None  # it decides now, and runs from now
    assert state.baseline.replicas == 6
    account, state = at_minute(1, state, seen(some_pods(5), 42.0))
    assert account.actual is not None
    assert account.baseline is not None
    assert account.usd_per_hour == Sample(20.0, NOW)
    assert account.watts == Sample(5_000.0, NOW)
    assert (account.baseline.replicas, account.baseline.watts) == (6, Sample(5_200.0, NOW))
    # A minute of 6 x 10 $/h against 5 x 4 $/h
    assert savings(account.ledger).usd == pytest.approx((60.0 - 20.0) / 60.0)
    assert savings(account.ledger).joules == pytest.approx(200.0 * 60.0)
    assert account.score == pytest.approx(1.0)
    assert account.budget is not None
    assert account.budget.spent_usd == pytest.approx(20.0 / 60.0)


def test_a_pod_on_its_way_out_is_paid_for_and_a_failed_one_is_not():
    pods = (
        *some_pods(3),
        PodObservation("leaving", 0.0, 60.0, "n1", deleting=True),
        PodObservation("failed", 0.0, None, "n1", phase=PodPhase.FAILED),
    )
    account, _ = at_minute(0, NEW, seen(pods, 42.0))
    assert account.actual is not None
    assert (account.actual.replicas, account.actual.ready_replicas) == (4, 3)


def test_an_unknown_target_is_an_unknown_account():
    gone = WorkloadObservation(KEY, Missing(MissingReason.NO_DATA, "no Deployment llm"), demand=Sample(42.0, NOW))
    account, _ = at_minute(0, NEW, gone)
    assert isinstance(account.usd_per_hour, Missing)
    assert isinstance(account.watts, Missing)
    assert account.score is None
    assert account.budget is None
