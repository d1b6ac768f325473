"""Writes that the API server refused: not tried again at once, and nobody counts on what they would have freed."""

from __future__ import annotations

from kcloud_autoscale.domain.decision import ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.state import WriteRefusal
from kcloud_autoscale.domain.workload import TargetRef

# A refusal ends when somebody mends rights, a quota or a webhook: tried again after 1, 2 and 4 minutes, then every 5.
FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 300.0


def standing(refusal: WriteRefusal | None, current: int, now_seconds: float) -> WriteRefusal | None:
    """The refusal while it is too early to try again; None once it is time, or where another count runs since."""
    if refusal is None or refusal.from_replicas != current:
        return None
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(refusal.times - 1, 8))
    return refusal if now_seconds < refusal.at_seconds + pause else None


def forbids(refusal: WriteRefusal, replicas: int) -> bool:
    """Whether a count would be refused again.

    After a refused 5 -> 3 the 5 stay; only growth is another matter. After a refused 5 -> 9 a quota may well have room
    for 7.
    """
    if refusal.to_replicas < refusal.from_replicas:
        return replicas <= refusal.from_replicas
    return replicas >= refusal.to_replicas


def after(before: WriteRefusal | None, result: ScaleResult, alone: bool, now_seconds: float) -> WriteRefusal | None:
    """What is remembered once an action has been carried out, or not.

    Args:
        before: Of earlier tries.
        result: What became of the action.
        alone: Other writes of the same cycle went well, so that no answer, or a fault of the server, is about this one.
        now_seconds: Unix time.
    """
    if result.outcome in (ScaleOutcome.WRITTEN, ScaleOutcome.DRY_RUN):
        return None
    failed = result.outcome is ScaleOutcome.FAILED and alone and not result.overloaded
    if result.outcome is not ScaleOutcome.REFUSED and not failed:
        return before
    action, times, to_replicas = result.action, 1, result.action.to_replicas
    if before is not None and before.from_replicas == action.from_replicas:
        if before.from_replicas < min(before.to_replicas, to_replicas):
            to_replicas = min(before.to_replicas, to_replicas)
        times += before.times
    return WriteRefusal(now_seconds, times, action.from_replicas, to_replicas, result.outcome.value, result.message)


def not_scaled(target: TargetRef, from_replicas: int, to_replicas: int, message: str) -> str:
    """The sentence of a write that failed, the same in conditions, Events and the log."""
    return f"{target} could not be scaled from {from_replicas} to {to_replicas}: {message}"
