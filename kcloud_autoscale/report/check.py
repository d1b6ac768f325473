"""What is believed of each workload, and on whose word: for programs (JSON) and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcloud_autoscale.account.devices import HeldCards, held_cards
from kcloud_autoscale.domain.accelerator import accelerator_table
from kcloud_autoscale.domain.capacity import Capacity, CapacityAtLeast
from kcloud_autoscale.domain.decision import Decision
from kcloud_autoscale.domain.observation import (
    NodeObservation,
    Observation,
    TargetObservation,
    WorkloadObservation,
)
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import AtLeast, BoundedReading, Missing, Sample
from kcloud_autoscale.report.phrases import table

Json = dict[str, Any]
_CONDITIONS_THAT_DOUBT = ("MetricsAvailable", "PriceKnown", "PowerKnown", "DevicesKnown", "TargetFound")


def workload_check(policy: WorkloadPolicy, observation: Observation, decision: Decision, owner: str = "") -> Json:
    """Everything that is believed of one workload, as one JSON object.

    Args:
        policy: What its optimizer says.
        observation: Of the cycle.
        decision: Of one tick on it.
        owner: Chain of owners above the target, topmost last; empty where nobody owns it.
    """
    seen, now = observation.workloads[policy.key], observation.at_seconds
    return {
        "workload": str(policy.key),
        "target": _target(seen, owner),
        "devices": _devices(policy, seen, observation.nodes),
        "usdPerReplicaHour": _reading(decision.usd_per_replica_hour, now),
        "wattsPerReplica": _reading(decision.watts_per_replica, now),
        "demandPerSecond": _reading(seen.demand, now),
        "metrics": [{"type": each.name, **_reading(each.total, now)} for each in seen.metrics],
        "capacityPerReplica": _capacity(decision.capacity),
        "leadTimeSeconds": {"value": decision.lead_time_seconds, "source": decision.lead_time_source},
        "conflict": {"status": seen.conflict is not None, "by": seen.conflict},
        "decision": _decision(decision),
        "doubts": _doubts(decision),
    }


def _target(seen: WorkloadObservation, owner: str) -> Json:
    target = seen.target
    if not isinstance(target, TargetObservation):
        return {"missing": target.reason.value, "message": target.message}
    return {
        "kind": target.ref.kind,
        "name": target.ref.name,
        "apiVersion": target.ref.api_version,
        "owner": owner or None,
        "replicas": target.desired_replicas,
        "readyReplicas": target.ready_replicas,
        "pods": len(target.pods),
        "podsPerReplica": 1,
    }


def _devices(policy: WorkloadPolicy, seen: WorkloadObservation, nodes: Mapping[str, NodeObservation]) -> list[Json]:
    held = held_cards(policy, seen, _node(seen, nodes), accelerator_table())
    return [] if isinstance(held, Missing) else [_device(each) for each in held]


def _device(held: HeldCards) -> Json:
    return {
        "resource": held.resource,
        "count": held.units,
        "cards": round(held.cards, 6),
        "model": held.model.name if held.model is not None else None,
    }


def _node(seen: WorkloadObservation, nodes: Mapping[str, NodeObservation]) -> NodeObservation:
    names = seen.target.pods.nodes if isinstance(seen.target, TargetObservation) else ()
    return next((nodes[name] for name in names if name in nodes), NodeObservation(""))


def _reading(reading: BoundedReading | None, now_seconds: float) -> Json:
    if isinstance(reading, Sample):
        return {
            "value": reading.value,
            "source": reading.source or None,
            "ageSeconds": round(reading.age_seconds(now_seconds), 1),
        }
    if isinstance(reading, AtLeast):
        age = round(max(0.0, now_seconds - reading.at_seconds), 1)
        return {"atLeast": reading.value, "source": reading.source or None, "ageSeconds": age,
                "reason": reading.reason.value, "message": reading.message}  # fmt: skip
    if reading is None:
        return {"missing": "NoData", "message": ""}
    return {"missing": reading.reason.value, "message": reading.message}


def _capacity(capacity: Capacity | None) -> Json:
    if capacity is None:
        return {"value": None, "source": "unknown"}
    kind = "atLeast" if isinstance(capacity, CapacityAtLeast) else "value"
    return {kind: capacity.per_replica, "source": capacity.source}


def _decision(decision: Decision) -> Json:
    return {
        "from": decision.current_replicas,
        "to": decision.desired_replicas,
        "reason": decision.final_reason,
        "steps": [
            {"stage": each.stage.value, "before": each.before, "after": each.after, "reason": each.reason,
             "message": each.message}
            for each in decision.steps
        ],
    }  # fmt: skip


def _doubts(decision: Decision) -> list[str]:
    doubts = [
        f"{fact.type}: {fact.message}"
        for fact in decision.conditions
        if fact.status is False and fact.type in _CONDITIONS_THAT_DOUBT
    ]
    price = decision.usd_per_replica_hour
    if isinstance(price, Sample) and "doubted" in price.source:
        doubts.append(f"PriceKnown: {price.source}")
    return doubts


def as_text(checks: Sequence[Json]) -> str:
    """One block per workload."""
    return "\n\n".join(_block(each) for each in checks)


def _block(check: Json) -> str:
    target, decision = check["target"], check["decision"]
    rows = [("target", _told_target(target))]
    rows += [("device", _told_device(each)) for each in check["devices"]] or [("device", "none")]
    rows += [
        ("price of a replica", _told(check["usdPerReplicaHour"], "$/h")),
        ("draw of a replica", _told(check["wattsPerReplica"], "W")),
        ("demand", _told(check["demandPerSecond"], "per second")),
        *((each["type"], _told(each, "")) for each in check["metrics"]),
        ("a replica serves", _told_known(check["capacityPerReplica"], "per second")),
        ("lead time", _told_known(check["leadTimeSeconds"], "s")),
        ("conflict", check["conflict"]["by"] or "nobody else scales it"),
        ("decision", f"{decision['from']} -> {decision['to']}  {decision['reason']}"),
        *((f"  {step['stage']}", _told_step(step)) for step in decision["steps"]),
        *(("doubt", each) for each in check["doubts"]),
    ]
    return "\n".join([check["workload"], *table(rows)])


def _told_target(target: Json) -> str:
    if "missing" in target:
        return f"{target['missing']}: {target['message']}"
    owned = f", owned by {target['owner']}" if target["owner"] else ""
    return (
        f"{target['kind']} {target['name']}{owned}: {target['readyReplicas']} of {target['replicas']} replicas ready, "
        f"{target['pods']} pods"
    )


def _told_device(device: Json) -> str:
    model = device["model"] or "an unknown model"
    return f"{device['count']:g} {device['resource']}: {device['cards']:.4g} cards of {model}"


def _told(reading: Json, unit: str) -> str:
    if "missing" in reading:
        return f"{reading['missing']}: {reading['message']}"
    source = f"  ({reading['source']}, {reading['ageSeconds']:g} s old)" if reading["source"] else ""
    least = "at least " if "atLeast" in reading else ""
    return f"{least}{reading.get('atLeast', reading.get('value')):.6g} {unit}{source}".replace(" \x20(", "  (")


def _told_known(known: Json, unit: str) -> str:
    if "atLeast" in known:
        return f"at least {known['atLeast']:.6g} {unit}  ({known['source']})"
    return "not known" if known["value"] is None else f"{known['value']:.6g} {unit}  ({known['source']})"


def _told_step(step: Json) -> str:
    return f"{step['before']} -> {step['after']}  {step['reason']}  {step['message']}".rstrip()
