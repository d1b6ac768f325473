"""Conditions in the standard Kubernetes shape, and the names of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kcloud_autoscale.domain.decision import ConditionFact

# What each says when it is True. All but Conflict are True when all is well.
READY = "Ready"  # decided from current data, and acted on where the mode allows
TARGET_FOUND = "TargetFound"  # the target exists and can be scaled
CONFLICT = "Conflict"  # another autoscaler owns the target: hands off
METRICS_AVAILABLE = "MetricsAvailable"  # demand and every target metric are known and fresh
PRICE_KNOWN = "PriceKnown"  # a replica has a price
POWER_KNOWN = "PowerKnown"  # the draw of a replica is measured or can be estimated
DEVICES_KNOWN = "DevicesKnown"  # every extended resource of a replica is known to be an accelerator, or none
FORECAST_TRUSTED = "ForecastTrusted"  # decisions rest on the forecast; else they are reactive
WITHIN_CAPS = "WithinCaps"  # no hard limit is exceeded, minReplicas included
SCHEDULABLE = "Schedulable"  # every replica that is wanted finds a node
FIELDS_HONOURED = "FieldsHonoured"  # every field that is set is acted on by this version
STATUS_WRITTEN = "StatusWritten"  # the API server takes all of the status; absent while it always has

CONDITION_TYPES = (
    READY,
    TARGET_FOUND,
    CONFLICT,
    METRICS_AVAILABLE,
    PRICE_KNOWN,
    POWER_KNOWN,
    DEVICES_KNOWN,
    FORECAST_TRUSTED,
    WITHIN_CAPS,
    SCHEDULABLE,
    FIELDS_HONOURED,
    STATUS_WRITTEN,
)

_STATUS = {True: "True", False: "False", None: "Unknown"}
_MAX_MESSAGE = 4096
# One that lacks any of these would make the API server refuse the whole status.
_REQUIRED = {"type", "status", "reason", "message", "lastTransitionTime"}


def rfc3339(seconds: float) -> str:
    """Unix time as Kubernetes writes it: 0 is ``1970-01-01T00:00:00Z``. Parts of a second are dropped."""
    return datetime.fromtimestamp(int(seconds), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge_conditions(
    previous: Sequence[Mapping[str, Any]],
    facts: Iterable[ConditionFact],
    now_seconds: float,
    generation: int,
) -> list[dict[str, Any]]:
    """The conditions to write: what is known now, with the time at which each status last changed.

    A condition that nothing was said about stays as it was; foreign ones (of another controller) too. The order is
    that of `CONDITION_TYPES`, then by name, so that an unchanged status is written unchanged.

    Args:
        previous: ``status.conditions`` as last read.
        facts: What this cycle knows.
        now_seconds: Unix time, for those whose status changed.
        generation: ``metadata.generation`` of the spec the facts are about.
    """
    merged: dict[str, dict[str, Any]] = {old["type"]: dict(old) for old in previous if old.keys() >= _REQUIRED}
    for fact in facts:
        merged[fact.type] = _condition(fact, merged.get(fact.type), now_seconds, generation)
    rank = {name: position for position, name in enumerate(CONDITION_TYPES)}
    return [merged[name] for name in sorted(merged, key=lambda name: (rank.get(name, len(rank)), name))]


def _condition(
    fact: ConditionFact, old: Mapping[str, Any] | None, now_seconds: float, generation: int
) -> dict[str, Any]:
    status = _STATUS[fact.status]
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else rfc3339(now_seconds)
    return {
        "type": fact.type,
        "status": status,
        "reason": fact.reason or "Unknown",
        "message": fact.message[:_MAX_MESSAGE],
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }


def find_condition(conditions: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The condition of that type, or None."""
    return next((condition for condition in conditions if condition.get("type") == name), None)
