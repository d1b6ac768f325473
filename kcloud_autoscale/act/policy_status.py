"""Status of the cluster-wide policies: what their members cost and draw now, and whether the shared limit holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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


def policy_status(
    policy: CostPolicy | PowerPolicy,
    members: Iterable[WorkloadKey],
    accounts: Mapping[WorkloadKey, Account],
    previous: Mapping[str, Any],
    now_seconds: float,
) -> Json:
    """What the members cost or draw together, beside ``costPerHourLimit`` or ``maxPowerUsage``."""
    if isinstance(policy, CostPolicy):
        quantity, limit = _COST, policy.spec.cost_per_hour_limit
    else:
        quantity, limit = _POWER, policy.spec.max_power_usage
    readings = {key: quantity.of(accounts[key]) for key in sorted(members) if key in accounts}
    total, unknown = _sum(readings)
    used: dict[str, Any] = {} if unknown else {quantity.field: rounded(total)}
    status = quantity.status(
        phase=_phase(readings, total, limit),
        workloads=len(readings),
        violations=int(_exceeded(total, limit)),
        last_updated=datetime.fromtimestamp(int(now_seconds), UTC),
        observed_generation=policy.metadata.generation,
        **used,
    )
    facts = [
        _ready(readings),
        _known(quantity, unknown),
        _within(total, limit, unknown, quantity.unit),
        fields_honoured(policy),
    ]
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


def _exceeded(total: float, limit: float | None) -> bool:
    # A billionth is rounding of the sum.
    return limit is not None and total > limit * (1.0 + 1e-9)


def _phase(readings: Mapping[WorkloadKey, Reading], total: float, limit: float | None) -> Phase:
    if not readings:
        return "Suspended"
    return "Violated" if _exceeded(total, limit) else "Active"


def _ready(readings: Mapping[WorkloadKey, Reading]) -> ConditionFact:
    if not readings:
        return ConditionFact(READY, False, "NoWorkloads", "Its selectors match no WorkloadOptimizer.")
    return ConditionFact(READY, True, "Applied", f"It covers {len(readings)} WorkloadOptimizers.")


def _known(quantity: _Quantity, unknown: list[str]) -> ConditionFact:
    if not unknown:
        return ConditionFact(quantity.known, True, "Known", f"The {quantity.noun} of every workload is known.")
    named = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
    text = f"The {quantity.noun} of {len(unknown)} workloads is unknown: {named}."
    return ConditionFact(quantity.known, False, "Unknown", text)


def _within(total: float, limit: float | None, unknown: list[str], unit: str) -> ConditionFact:
    if limit is None:
        return ConditionFact(WITHIN_CAPS, True, "NoLimit", "It sets no limit on the sum.")
    if _exceeded(total, limit):
        excess = f"{total:.6g} {unit} is {total - limit:.4g} {unit} above the limit of {limit:g} {unit}."
        return ConditionFact(WITHIN_CAPS, False, "LimitExceeded", excess)
    if unknown:
        return ConditionFact(
            WITHIN_CAPS, None, "Unknown", f"At least {total:.6g} of {limit:g} {unit}; {len(unknown)} are unknown."
        )
    return ConditionFact(WITHIN_CAPS, True, "WithinLimit", f"{total:.6g} of {limit:g} {unit}.")


def _with_conditions(
    status: Json, previous: Mapping[str, Any], facts: list[ConditionFact], now_seconds: float, generation: int
) -> Json:
    status["conditions"] = merge_conditions(previous.get("conditions", []), facts, now_seconds, generation)
    return status
