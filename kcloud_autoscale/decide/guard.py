"""First rule: what do we not know, and whose count is it? Unknown holds; what is not ours is left alone."""

from __future__ import annotations

from enum import Enum

from kcloud_autoscale.decide.counting import unchanged
from kcloud_autoscale.decide.signals import Signals, read_signals
from kcloud_autoscale.decide.zero import paused, silent_at_zero
from kcloud_autoscale.domain.case import Case
from kcloud_autoscale.domain.decision import Stage, Step
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import TargetObservation
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.workload import Mode

OFF, CONFLICT, PAUSED, UNKNOWN, FALLBACK = "Off", "Conflict", "Paused", "MetricsUnknown", "Fallback"
NOTHING = "NothingToScaleOn"
INCOMPLETE, SETTLING, CLEAR, RESTORED = "MetricsIncomplete", "Settling", "Clear", "Restored"


class Control(Enum):
    """What may be done with a decision."""

    ACT = "act"
    RECOMMEND = "recommend"  # said, never written
    HANDS_OFF = "hands off"  # somebody else's count


@frozen
class Guarded:
    """What the guard allows.

    Attributes:
        replicas: The present count, the fallback's, or where there is nothing to scale on the one that was set.
        control: Whether the count may be written.
        sizable: A count may be computed; False holds it.
        may_shrink: The data have been good for a whole scale-down window.
        hold_reason: Why nothing may change; empty when something may.
        signals: What is known.
        good_since_seconds: For the state.
        unknown_since_seconds: For the state.
        step: What was done and why.
    """

    replicas: int
    control: Control
    sizable: bool
    may_shrink: bool
    hold_reason: str
    signals: Signals
    good_since_seconds: float | None
    unknown_since_seconds: float | None
    step: Step


_NOTHING = Signals(None, (), (), False, False)


def guard(case: Case, current: int, fleet: FleetPolicy, now_seconds: float) -> Guarded:
    """Decide what may be decided.

    Args:
        case: The workload; its target is known.
        current: `spec.replicas`.
        fleet: How old a reading may be.
        now_seconds: Unix time of this tick.
    """
    if case.policy.restoring and case.seen.conflict is None and case.state.original_replicas is not None:
        step = unchanged(Stage.GUARD, current, RESTORED, "the optimizer was deleted: no load is looked at any more")
        return Guarded(current, Control.ACT, False, False, "", _NOTHING, None, None, step)
    hands_off = _hands_off(case)
    if hands_off is not None:
        # Whoever takes over again has not watched meanwhile: a full window from then on.
        reason = hands_off.reason
        return Guarded(current, Control.HANDS_OFF, False, False, reason, _NOTHING, None, None, hands_off)
    control = Control.ACT if case.policy.mode is Mode.AUTO else Control.RECOMMEND
    signals = read_signals(case, fleet.max_metric_age_seconds, now_seconds)
    state = case.state.decided
    if not signals.usable and _nothing_is_asked(case):
        step = _nothing(case, current)
        return Guarded(step.after, control, False, False, NOTHING, signals, None, None, step)
    if not signals.usable:
        since = now_seconds if state.unknown_since_seconds is None else state.unknown_since_seconds
        step = _hold(case, signals, current, now_seconds - since)
        return Guarded(step.after, control, False, False, step.reason, signals, None, since, step)
    if not signals.complete:
        step = Step(Stage.GUARD, current, current, INCOMPLETE, "unknown: {}; no scale-down", (_names(signals),))
        return Guarded(current, control, True, False, "", signals, None, None, step)
    good_since = now_seconds if state.good_since_seconds is None else state.good_since_seconds
    window = case.policy.scale_down.stabilization_window_seconds
    since = max(state.since_seconds, good_since)
    settled = _settled(since, window, now_seconds)
    step = unchanged(Stage.GUARD, current, CLEAR) if settled else _settling(current, now_seconds - since, window)
    return Guarded(current, control, True, settled, "", signals, good_since, None, step)


def _hands_off(case: Case) -> Step | None:
    target = case.seen.target
    current = target.desired_replicas if isinstance(target, TargetObservation) else 0
    if case.policy.mode is Mode.OFF:
        return unchanged(Stage.GUARD, current, OFF, "mode Off: observed, never scaled")
    if case.seen.conflict is not None:
        return Step(Stage.GUARD, current, current, CONFLICT, "{} scales the same target", (case.seen.conflict,))
    if isinstance(target, TargetObservation) and paused(case.policy, case.state.decided, target):
        return unchanged(Stage.GUARD, 0, PAUSED, "the target was set to 0 replicas by hand; set it to 1 to resume")
    return None


def _nothing_is_asked(case: Case) -> bool:
    """Neither a load nor a target metric is read for it: limits alone, as of a training job."""
    demand = case.seen.demand
    configured = not (isinstance(demand, Missing) and demand.reason is MissingReason.NOT_CONFIGURED)
    return not configured and not case.policy.targets


def _nothing(case: Case, current: int) -> Step:
    """The count that somebody set stays, and comes back when a limit that had cut it has room again."""
    before = case.state.decided.held
    held = before.replicas if before is not None and current in (before.found, before.asked) else current
    text = "no demand source and no target metric is set: {} replicas are held within bounds and limits"
    return Step(Stage.GUARD, current, held, NOTHING, text, (held,))


def _settled(since: float, window_seconds: float, now_seconds: float) -> bool:
    """A whole window of unbroken good data since the start of this process, and never its first cycle.

    With a window of 300 s and an outage that ended at 12:00:00, counts may fall again at 12:05:00.
    """
    return now_seconds > since and now_seconds - since >= window_seconds


def _settling(current: int, good_seconds: float, window_seconds: float) -> Step:
    text = "the data have been good for {:.0f} s: no scale-down before {:g} s"
    return Step(Stage.GUARD, current, current, SETTLING, text, (good_seconds, window_seconds))


def _hold(case: Case, signals: Signals, current: int, unknown_seconds: float) -> Step:
    """Hold; after a while at least the fallback's replicas, as KEDA does."""
    fallback = case.policy.fallback
    if fallback is not None and unknown_seconds >= fallback.after_seconds:
        text = "unknown for more than {:g} s: {}; at least {} replicas"
        values = (fallback.after_seconds, _names(signals), fallback.replicas)
        return Step(Stage.GUARD, current, max(current, fallback.replicas), FALLBACK, text, values)
    if current == 0 and (woken := silent_at_zero(case, unknown_seconds)) is not None:
        return woken
    # No clock in it: the sentence stands in a condition, which is written when it changes and has a time of its own.
    return Step(Stage.GUARD, current, current, UNKNOWN, "unknown: {}", (_names(signals),))


def _names(signals: Signals) -> str:
    if signals.unknown:
        return ", ".join(f"{name} ({reason})" for name, reason, _ in signals.unknown)
    return "capacity per replica"
