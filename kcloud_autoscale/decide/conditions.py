"""What a tick knows about a workload, as facts for its status conditions. The usual ones are one object each."""

from __future__ import annotations

import functools

from kcloud_autoscale.decide.counting import excess
from kcloud_autoscale.decide.guard import (
    CONFLICT,
    FALLBACK,
    NOTHING,
    OFF,
    PAUSED,
    RESTORED,
    UNKNOWN,
    Control,
    Guarded,
)
from kcloud_autoscale.decide.plan import Plan
from kcloud_autoscale.decide.refusal import not_scaled
from kcloud_autoscale.decide.slots import UNSCHEDULABLE
from kcloud_autoscale.domain.capacity import CapacityAtLeast
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import CapState, ConditionFact
from kcloud_autoscale.domain.reading import Missing, Reading
from kcloud_autoscale.domain.replica_devices import unknown_resources
from kcloud_autoscale.domain.series import Forecast
from kcloud_autoscale.domain.state import WriteRefusal

_FOUND = ConditionFact("TargetFound", True, "Found", "the target exists and can be scaled")
_NO_CONFLICT = ConditionFact("Conflict", False, "NoOther", "no other autoscaler scales the target")
_METRICS = ConditionFact("MetricsAvailable", True, "Available", "demand and every target metric are known and fresh")
_CAPACITY_UNKNOWN = ConditionFact(
    "MetricsAvailable",
    False,
    "CapacityUnknown",
    "demand is known, but neither the capacity of a replica nor a target metric: no count follows from it",
)
_PRICED = ConditionFact("PriceKnown", True, "Priced", "a replica has a price")
_POWERED = ConditionFact("PowerKnown", True, "Known", "the draw of a replica is known")
_DEVICES = ConditionFact("DevicesKnown", True, "Known", "every extended resource of a replica is known")
_NO_CAPS = ConditionFact("WithinCaps", True, "NoCaps", "no hard limit is set")
_WITHIN = ConditionFact("WithinCaps", True, "WithinCaps", "every hard limit holds")
_NO_FORECAST = ConditionFact("ForecastTrusted", False, "NoForecast", "nobody has forecast this workload yet; reactive")
_DISABLED = ConditionFact("ForecastTrusted", False, "Disabled", "forecasting is switched off; reactive")
_NO_CAPACITY = ConditionFact(
    "ForecastTrusted", False, "CapacityUnknown", "no count follows from a load until a replica's capacity is known"
)
_CAPACITY_AT_LEAST = ConditionFact(
    "ForecastTrusted",
    False,
    "CapacityAtLeast",
    "every load seen so far met the objective: how much more a replica serves is not known, and the metrics decide",
)
_READY = ConditionFact("Ready", True, "Decided", "decided from current data")
_READY_ADVICE = ConditionFact("Ready", True, "Recommended", "decided from current data; mode Recommend writes nothing")
_READY_OFF = ConditionFact("Ready", True, OFF, "mode Off: observed, never scaled")
_READY_PAUSED = ConditionFact("Ready", True, PAUSED, "scaled to 0 by hand: paused until somebody sets it to 1")

_READY_NOTHING = ConditionFact(
    "Ready", True, NOTHING, "there is nothing to scale up on: the count is held within its bounds and limits"
)
_NOTHING_ASKED = ConditionFact(
    "MetricsAvailable", True, NOTHING, "no demand source and no target metric is set, so none is missing"
)

_SCHEDULABLE = ConditionFact("Schedulable", True, "Scheduled", "no replica is refused a node")

_ABOUT_A_TARGET = (
    "Conflict",
    "MetricsAvailable",
    "PriceKnown",
    "PowerKnown",
    "DevicesKnown",
    "ForecastTrusted",
    "WithinCaps",
    "Schedulable",
)
_UNKNOWN_WITHOUT_TARGET = tuple(
    ConditionFact(name, None, "TargetNotFound", "not known without a target") for name in _ABOUT_A_TARGET
)


def facts_without_target(missing: Missing) -> tuple[ConditionFact, ...]:
    """Nothing can be decided; the message says what was looked for."""
    text = missing.message or "the target was not found"
    return (
        ConditionFact("Ready", False, "TargetNotFound", text),
        ConditionFact("TargetFound", False, missing.reason.value, text),
        *_UNKNOWN_WITHOUT_TARGET,
    )


def facts(plan: Plan) -> tuple[ConditionFact, ...]:
    """All conditions of a workload whose target is known."""
    case, guarded = plan.case, plan.guarded
    return (
        _ready(plan),
        _FOUND,
        _NO_CONFLICT if case.seen.conflict is None else _conflict(case.seen.conflict),
        _metrics(guarded),
        _known("PriceKnown", case.usd_per_replica_hour, _PRICED),
        _known("PowerKnown", case.watts_per_replica, _POWERED),
        _devices(case),
        _forecast(case),
        _within_caps(plan),
        _schedulable(plan) or _SCHEDULABLE,
    )


def _ready(plan: Plan) -> ConditionFact:
    guarded = plan.guarded
    if guarded.hold_reason in (UNKNOWN, FALLBACK, CONFLICT):
        return ConditionFact("Ready", False, guarded.hold_reason, guarded.step.message)
    short = _schedulable(plan)
    if short is not None and guarded.control is not Control.HANDS_OFF:
        return ConditionFact("Ready", False, short.reason, short.message)
    if guarded.control is Control.HANDS_OFF:
        return _READY_OFF if guarded.hold_reason == OFF else _READY_PAUSED
    if plan.refusal is not None:
        return _not_written(plan, plan.refusal)
    if guarded.hold_reason == NOTHING and guarded.control is Control.ACT:
        return _READY_NOTHING
    return _READY if guarded.control is Control.ACT else _READY_ADVICE


def _not_written(plan: Plan, refusal: WriteRefusal) -> ConditionFact:
    text = not_scaled(plan.target.ref, refusal.from_replicas, refusal.to_replicas, refusal.message)
    return ConditionFact("Ready", False, f"Scale{refusal.outcome}", text)


def _schedulable(plan: Plan) -> ConditionFact | None:
    """What is known to be refused a node, or kept back for that reason; None when nothing is."""
    slots = plan.slots
    if slots.reason:
        text = f"{slots.waiting} of {plan.current} replicas wait: {slots.words}"
        return ConditionFact("Schedulable", False, slots.reason, text)
    wanted = _wanted(plan)
    if slots.state.schedulable is None or wanted <= slots.state.schedulable:
        return None
    text = f"{slots.placed} of {wanted} replicas find a node, the rest is kept back: {slots.words}"
    return ConditionFact("Schedulable", False, UNSCHEDULABLE, text)


def _wanted(plan: Plan) -> int:
    """What the load needs within the bounds of the spec, however slowly the count may rise to it."""
    needed = plan.uncapped if plan.sized is None else max(plan.uncapped, plan.sized.wanted)
    return min(needed, plan.case.policy.max_replicas)


def _conflict(other: str) -> ConditionFact:
    return ConditionFact("Conflict", True, "OtherAutoscaler", f"{other} scales the same target; hands off")


def _metrics(guarded: Guarded) -> ConditionFact:
    unknown = guarded.signals.unknown
    if guarded.control is Control.HANDS_OFF or guarded.step.reason == RESTORED:
        reason = guarded.hold_reason or guarded.step.reason
        return ConditionFact("MetricsAvailable", None, reason, "not asked while nothing is scaled")
    if guarded.hold_reason == NOTHING:
        return _NOTHING_ASKED
    if unknown:
        text = "; ".join(f"{name}: {message or reason}" for name, reason, message in unknown)
        return ConditionFact("MetricsAvailable", False, unknown[0][1], text)
    return _METRICS if guarded.signals.usable else _CAPACITY_UNKNOWN


def _known(name: str, reading: Reading, known: ConditionFact) -> ConditionFact:
    if isinstance(reading, Missing):
        return ConditionFact(name, False, reading.reason.value, reading.message or "not known")
    return known


def _devices(case: Case) -> ConditionFact:
    unknown = unknown_resources(case.policy, case.seen)
    return _unknown_devices(unknown) if unknown else _DEVICES


@functools.lru_cache(maxsize=256)
def _unknown_devices(names: tuple[str, ...]) -> ConditionFact:
    text = (
        f"{', '.join(names)}: not known to be an accelerator, so neither priced nor counted; name it in spec.resources "
        "(gpuResourceName, npuResourceName) if it is one"
    )
    return ConditionFact("DevicesKnown", False, "UnknownResource", text)


def _forecast(case: Case) -> ConditionFact:
    forecast: Forecast | None = case.forecast
    if forecast is None:
        return _NO_FORECAST if case.policy.forecast.enabled else _DISABLED
    if forecast.trusted and case.capacity_per_replica is None:
        return _CAPACITY_AT_LEAST if isinstance(case.capacity, CapacityAtLeast) else _NO_CAPACITY
    return _trust(forecast.trusted, forecast.reason)


@functools.lru_cache(maxsize=256)
def _trust(trusted: bool, reason: str) -> ConditionFact:
    text = "decisions rest on the forecast" if trusted else "decisions are reactive: the forecast is not trusted"
    return ConditionFact("ForecastTrusted", trusted, reason, text)


def _within_caps(plan: Plan) -> ConditionFact:
    if not plan.caps:
        return _NO_CAPS
    broken = [cap for cap in plan.caps if cap.floor_excess > 0.0]
    if broken:
        text = "; ".join(
            f"minReplicas alone exceeds {cap.name} {cap.limit:g} by {cap.floor_excess:.2f}" for cap in broken
        )
        return ConditionFact("WithinCaps", False, "FloorsExceedCap", text)
    exceeded = [cap for cap in plan.caps if _exceeded(cap)]
    if exceeded:
        text = "; ".join(f"{cap.used:.2f} of {cap.name} {cap.limit:g}" for cap in exceeded)
        return ConditionFact("WithinCaps", False, "Exceeded", text)
    unknown = [cap.name for cap in plan.caps if cap.used is None]
    if unknown:
        text = f"what a replica takes of {', '.join(unknown)} is not known: it may not grow"
        return ConditionFact("WithinCaps", None, "Unknown", text)
    strange = [cap for cap in plan.caps if cap.uncounted]
    if strange:
        text = "; ".join(f"{cap.name} leaves out {cap.uncounted} workloads whose use is not known" for cap in strange)
        return ConditionFact("WithinCaps", True, "WithinCaps", f"every hard limit holds; {text}, they may not grow")
    return _WITHIN


def _exceeded(cap: CapState) -> bool:
    return cap.used is not None and excess(cap.used, cap.limit) > 0.0
