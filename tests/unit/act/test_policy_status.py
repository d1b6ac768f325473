from collections.abc import Mapping
from typing import Any

from kcloud_autoscale.account.ledger import Account, Running
from kcloud_autoscale.act.policy_status import broken_policy_status, policy_status
from kcloud_autoscale.api.resolve import parse
from kcloud_autoscale.api.v1alpha1 import CostPolicy, PowerPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.state import ScopeSpend
from kcloud_autoscale.domain.workload import WorkloadKey
from tests.unit.act.outcomes import NOW, account

A, B = WorkloadKey("ai", "a"), WorkloadKey("ai", "b")
UNKNOWN = Missing(MissingReason.NO_DATA, "nobody exports a price")


def running(usd_per_replica: float | None, watts: float) -> Account:
    """Two replicas."""
    price = UNKNOWN if usd_per_replica is None else Sample(usd_per_replica, NOW)
    return account(actual=Running(2, 2, price, Sample(watts, NOW)))


def manifest(kind: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "team", "uid": "u", "generation": 3},
        "spec": spec,
    }


def cost(limit: float, accounts: Mapping[WorkloadKey, Account]) -> dict[str, Any]:
    policy = parse(manifest("CostPolicy", costPerHourLimit=limit))
    assert isinstance(policy, CostPolicy)
    return policy_status(policy, accounts, accounts, {}, NOW)


def condition(status: Mapping[str, Any], kind: str) -> tuple[str, str]:
    found = next(one for one in status["conditions"] if one["type"] == kind)
    return found["status"], found["message"]


def test_members_are_summed_beside_the_limit():
    status = cost(40.0, {A: running(5.0, 1.0), B: running(10.0, 1.0)})
    assert (status["phase"], status["currentCost"], status["workloads"]) == ("Active", 30.0, 2)  # 2 * 5 + 2 * 10
    assert (status["violations"], status["observedGeneration"]) == (0, 3)
    assert condition(status, "WithinCaps") == ("True", "costPerHourLimit: 30 of 40 $/h.")


def test_a_limit_that_is_exceeded_says_by_how_much():
    status = cost(25.0, {A: running(5.0, 1.0), B: running(10.0, 1.0)})
    assert (status["phase"], status["violations"]) == ("Violated", 1)
    assert condition(status, "WithinCaps") == ("False", "costPerHourLimit: 30 $/h is 5 $/h above the limit of 25 $/h.")


def test_an_unknown_price_is_not_zero():
    status = cost(40.0, {A: running(5.0, 1.0), B: running(None, 1.0)})
    assert "currentCost" not in status
    known, text = condition(status, "PriceKnown")
    assert known == "False"
    assert text.startswith("The price of 1 workloads is unknown: ai/b. Each bounds only itself")
    assert condition(status, "WithinCaps") == ("Unknown", "costPerHourLimit: at least 10 of 40 $/h; 1 are unknown.")


def test_budgets_stand_beside_what_was_spent_of_them():
    policy = parse(manifest("CostPolicy", budgetLimit=1000, monthlyBudget=200))
    accounts = {A: running(5.0, 1.0)}
    status = policy_status(policy, accounts, accounts, {}, NOW, ScopeSpend(NOW, 750.0, NOW, 90.0))
    assert (status["currentSpend"], status["monthlySpend"], status["budgetUtilization"]) == (750.0, 90.0, 75.0)
    told = "budgetLimit: 750 of 1000 $; monthlyBudget: 90 of 200 $."
    assert (status["phase"], condition(status, "WithinCaps")) == ("Active", ("True", told))

    status = policy_status(policy, accounts, accounts, {}, NOW, ScopeSpend(NOW, 750.0, NOW, 210.0))
    assert (status["phase"], status["violations"], status["budgetUtilization"]) == ("Violated", 1, 105.0)
    assert condition(status, "WithinCaps")[1] == "monthlyBudget: 210 $ is 10 $ above the limit of 200 $."


def test_what_is_spent_is_told_without_a_budget_too():
    policy = parse(manifest("CostPolicy", costPerHourLimit=40))
    status = policy_status(policy, [], {}, {}, NOW, ScopeSpend(NOW, 750.0, NOW, 90.0))
    assert (status["currentSpend"], "budgetUtilization" in status) == (750.0, False)


def test_a_policy_that_covers_nothing_is_suspended():
    status = cost(40.0, {})
    assert (status["phase"], condition(status, "Ready")[0]) == ("Suspended", "False")


def test_power_is_summed_alike():
    policy = parse(manifest("PowerPolicy", maxPowerUsage=1000))
    assert isinstance(policy, PowerPolicy)
    accounts = {A: running(1.0, 700.0), B: running(1.0, 400.0)}
    status = policy_status(policy, accounts, accounts, {}, NOW)
    assert (status["currentPowerUsage"], status["phase"]) == (1100.0, "Violated")


def test_a_policy_that_cannot_be_understood_says_that_it_limits_nothing():
    status = broken_policy_status({"workloads": 4}, "InvalidSpec", "spec.x is unknown", 2, NOW)
    assert status["phase"] == "Suspended"
    assert condition(status, "Ready") == ("False", "this policy is not applied: spec.x is unknown")
