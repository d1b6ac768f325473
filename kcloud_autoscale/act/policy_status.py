"""Status of the cluster-wide policies: what their members cost, spent and draw, and whether the shared limits hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from kcloud_autoscale.account.ledger import Account
from kcloud_autoscale.act.status import Json, dump, rounded
from kcloud_autoscale.api.conditions import POWER_KNOWN, PRICE_KNOWN, READY, WITHIN_CAPS, merge_conditions
from kcloud_autoscale.api.cost_policy import CostPolicyStatus
from kcloud_autoscale.api.effect import fields_honoured
from kcloud_autoscale.api.policies import PolicyStatus
from kcloud_autoscale.api.power_policy import PowerPolicyStatus
from kcloud_autoscale.api.v1alpha1 import CostPolicy, PowerPolicy
from kcloud_autoscale.domain.decision import ConditionFact
from kcloud_autoscale.domain.reading import Reading, Sample
from kcloud_autoscale.domain.state import ScopeSpend
from kcloud_autoscale.domain.workload import WorkloadKey

Phase = Literal["Active", "Suspended", "Violated"]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """What a kind of policy adds up over its members, how it is spoken of, and the status it is written to."""

    of: Callable[[Account], Reading]
    known: str
    noun: str
    unit: str
    status: type[PolicyStatus]
    field: str


_COST = _Quantity(lambda account: account.usd_per_hour, PRICE_KNOWN, "price", "$/h", CostPolicyStatus, "current_cost")
_POWER = _Quantity(lambda account: account.watts, POWER_KNOWN, "power", "W", PowerPolicyStatus, "current_power_usage")


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit of a policy and how much of it is used, as far as known."""

    name: str
    limit: float
    used: float
    unit: str

    @property
    def exceeded(self) -> bool:
        # A billionth is rounding of the sum.
        return self.used > self.limit * (1.0 + 1e-9)


def policy_status(
    policy: CostPolicy | PowerPolicy,
    members: Iterable[WorkloadKey],
    accounts: Mapping[WorkloadKey, Account],
    previous: Mapping[str, Any],
    now_seconds: float,
    spend: ScopeSpend | None = None,
) -> Json:
    """What the members cost, spent or draw together, beside each limit that the policy sets on it.

    Args:
        policy: Of either kind.
        members: The workloads it covers.
        accounts: Of this cycle.
        previous: Status as last read.
        now_seconds: Unix time of this cycle.
        spend: Of a CostPolicy; None before the first cycle that counts.
    """
    quantity = _COST if isinstance(policy, CostPolicy) else _POWER
    readings = {key: quantity.of(accounts[key]) for key in sorted(members) if key in accounts}
    total, unknown = _sum(readings)
    numbers: dict[str, Any] = {} if unknown else {quantity.field: rounded(total)}
    if isinstance(policy, CostPolicy):
        limits = _cost_limits(policy, total, spend)
        numbers |= _spent(limits, spend)
    else:
        limits = _limits(("maxPowerUsage", policy.spec.max_power_usage, total, "W"))
    status = quantity.status(
        phase=_phase(readings, limits),
        workloads=len(readings),
        violations=sum(limit.exceeded for limit in limits),
        last_updated=datetime.fromtimestamp(int(now_seconds), UTC),
        observed_generation=policy.metadata.generation,
        **numbers,
    )
    facts = [_ready(readings), _known(quantity, unknown), _within(limits, unknown), fields_honoured(policy)]
    return _with_conditions(dump(status), previous, facts, now_seconds, policy.metadata.generation)


def broken_policy_status(
    previous: Mapping[str, Any], reason: str, message: str, generation: int, now_seconds: float
) -> Json:
    """A policy that cannot be understood limits nothing, and says so."""
    fact = ConditionFact(READY, False, reason, f"this policy is not applied: {message}")
    status = {**previous, "phase": "Suspended", "observedGeneration": generation}
    return _with_conditions(status, previous, [fact], now_seconds, generation)


def _sum(readings: Mapping[WorkloadKey, Reading]) -> tuple[float, list[str]]:
    """The known part of the sum, and whose part is unknown."""
    known = [reading.value for reading in readings.values() if isinstance(reading, Sample)]
    return sum(known), [str(key) for key, reading in readings.items() if not isinstance(reading, Sample)]


def _limits(*given: tuple[str, float | None, float, str]) -> list[_Limit]:
    """Those that are set, of (name, limit, used, unit)."""
    return [_Limit(name, limit, used, unit) for name, limit, used, unit in given if limit is not None]


def _cost_limits(policy: CostPolicy, usd_per_hour: float, spend: ScopeSpend | None) -> list[_Limit]:
    spec = policy.spec
    return _limits(
        ("costPerHourLimit", spec.cost_per_hour_limit, usd_per_hour, "$/h"),
        ("budgetLimit", spec.budget_limit, spend.total_usd if spend else 0.0, "$"),
        ("monthlyBudget", spec.monthly_budget, spend.month_usd if spend else 0.0, "$"),
    )


def _spent(limits: Sequence[_Limit], spend: ScopeSpend | None) -> dict[str, Any]:
    """What has been spent, and how much of the budget that is the nearest to its end."""
    if spend is None:
        return {}
    budgets = [limit for limit in limits if limit.unit == "$"]
    numbers = {"current_spend": rounded(spend.total_usd), "monthly_spend": rounded(spend.month_usd)}
    if budgets:
        numbers["budget_utilization"] = rounded(max(100.0 * each.used / each.limit for each in budgets))
    return numbers


def _phase(readings: Mapping[WorkloadKey, Reading], limits: Sequence[_Limit]) -> Phase:
    if not readings:
        return "Suspended"
    return "Violated" if any(limit.exceeded for limit in limits) else "Active"


def _ready(readings: Mapping[WorkloadKey, Reading]) -> ConditionFact:
    if not readings:
        return ConditionFact(READY, False, "NoWorkloads", "Its selectors match no WorkloadOptimizer.")
    return ConditionFact(READY, True, "Applied", f"It covers {len(readings)} WorkloadOptimizers.")


def _known(quantity: _Quantity, unknown: list[str]) -> ConditionFact:
    if not unknown:
        return ConditionFact(quantity.known, True, "Known", f"The {quantity.noun} of every workload is known.")
    named = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
    text = (
        f"The {quantity.noun} of {len(unknown)} workloads is unknown: {named}. Each bounds only itself: "
        "it grows within an estimate from above, or not at all where nothing tells; the limit holds for all others."
    )
    return ConditionFact(quantity.known, False, "Unknown", text)


def _within(limits: Sequence[_Limit], unknown: list[str]) -> ConditionFact:
    if not limits:
        return ConditionFact(WITHIN_CAPS, True, "NoLimit", "It sets no limit on the sum.")
    exceeded = [limit for limit in limits if limit.exceeded]
    if exceeded:
        told = [f"{each.name}: {each.used:.6g} {each.unit} is {each.used - each.limit:.4g} {each.unit} above "
                f"the limit of {each.limit:g} {each.unit}" for each in exceeded]  # fmt: skip
        return ConditionFact(WITHIN_CAPS, False, "LimitExceeded", f"{'; '.join(told)}.")
    least = "at least " if unknown else ""
    told = [f"{each.name}: {least}{each.used:.6g} of {each.limit:g} {each.unit}" for each in limits]
    if unknown:
        return ConditionFact(WITHIN_CAPS, None, "Unknown", f"{'; '.join(told)}; {len(unknown)} are unknown.")
    return ConditionFact(WITHIN_CAPS, True, "WithinLimit", f"{'; '.join(told)}.")


def _with_conditions(
    status: Json, previous: Mapping[str, Any], facts: list[ConditionFact], now_seconds: float, generation: int
) -> Json:
    status["conditions"] = merge_conditions(previous.get("conditions", []), facts, now_seconds, generation)
    return status
