"""Which fields of a spec this version accepts and does not act on: said aloud, in a condition of the object itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcloud_autoscale.api.conditions import FIELDS_HONOURED
from kcloud_autoscale.api.v1alpha1 import CostPolicy, PowerPolicy, WorkloadOptimizer
from kcloud_autoscale.domain.decision import ConditionFact

_WITHOUT_EFFECT: Mapping[type, tuple[str, ...]] = {
    WorkloadOptimizer: ("costConstraints.preferSpot", "powerConstraints.preferGreen", "placementPolicy"),
    CostPolicy: ("spotInstancePolicy", "alertThresholds"),
    PowerPolicy: ("powerEfficiencyTarget", "greenEnergyPolicy", "powerSchedulingPolicy", "powerAlertThresholds"),
}


def without_effect(item: WorkloadOptimizer | CostPolicy | PowerPolicy) -> tuple[str, ...]:
    """Paths of the fields that are set and change nothing yet, as in ``spec.placementPolicy``."""
    spec = item.spec.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
    return tuple(f"spec.{path}" for path in _WITHOUT_EFFECT[type(item)] if _is_set(spec, path))


def fields_honoured(item: WorkloadOptimizer | CostPolicy | PowerPolicy) -> ConditionFact:
    """True when every field that is set does what it says; else False, with the names of those that do not."""
    idle = without_effect(item)
    if not idle:
        return ConditionFact(FIELDS_HONOURED, True, "AllInEffect", "every field that is set is in effect")
    return ConditionFact(FIELDS_HONOURED, False, "NotInEffect", f"this version does not act on {', '.join(idle)}")


def _is_set(spec: Mapping[str, Any], path: str) -> bool:
    value: Any = spec
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return bool(value)
