"""The one writer of replicas. Nothing else in this package may change a count; a test sees to it.

A decision is made on what was seen up to a cycle ago. Right before the write the scale is read again: if the object
is another one (uid) or somebody changed its count since, nothing is written and the next cycle decides on what is
there now. A new resourceVersion alone (a pod became ready, an image changed) does not void a decision: the write goes
out with the version just read, so whoever writes in between still wins and we get a 409.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import Json, RequestError, Rest
from kcloud_autoscale.act.scale_paths import NotScalableError, ScalePaths
from kcloud_autoscale.domain.decision import ScaleAction


class ScaleOutcome(StrEnum):
    """What became of one action."""

    WRITTEN = "Written"
    DRY_RUN = "DryRun"  # the API server checked the write and kept nothing
    STALE = "Stale"  # the world moved on; the next cycle looks again
    GONE = "Gone"  # no such target any more
    REFUSED = "Refused"  # forbidden, invalid, not scalable: trying again will not help by itself
    FAILED = "Failed"  # no answer, or the server's fault
    DEFERRED = "Deferred"  # not tried: out of time, or a shrink it relies on did not happen
    NOT_LEADER = "NotLeader"  # not tried: somebody else may act now


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """One action and its outcome; ``replicas`` is what was asked of the server, None when nothing was."""

    action: ScaleAction
    outcome: ScaleOutcome
    message: str = ""
    replicas: int | None = None

    @property
    def written(self) -> bool:
        return self.outcome is ScaleOutcome.WRITTEN


class ScaleWriter:
    """Writes ``/scale``, re-checked, clamped and rate-limited.

    Args:
        rest: Requests.
        bucket: Shared by all writes.
        may_act: Asked right before each write: are we still the leader?
        dry_run: Let the API server check every write and keep none.
    """

    def __init__(self, rest: Rest, bucket: TokenBucket, may_act: Callable[[], bool], dry_run: bool = False) -> None:
        self._rest = rest
        self._paths = ScalePaths(rest)
        self._bucket = bucket
        self._may_act = may_act
        self._dry_run = dry_run

    async def write(self, action: ScaleAction) -> ScaleResult:
        """Carry out one action; every failure is an outcome."""
        try:
            path = await self._paths.path(action.key.namespace, action.target)
            scale = await self._rest.get(path)
            if moved := _moved_on(action, scale):
                return ScaleResult(action, ScaleOutcome.STALE, moved)
            return await self._replace(action, path, scale)
        except NotScalableError as error:
            return ScaleResult(action, ScaleOutcome.REFUSED, str(error))
        except RequestError as error:
            self._bucket.pause(error.retry_after_seconds)
            return ScaleResult(action, _outcome_of(error), str(error))

    async def _replace(self, action: ScaleAction, path: str, scale: Json) -> ScaleResult:
        replicas = min(max(action.to_replicas, action.min_replicas), action.max_replicas)
        await self._bucket.take(urgent=True)
        if not self._may_act():
            return ScaleResult(action, ScaleOutcome.NOT_LEADER, "the lease was lost before the write")
        body = {
            "metadata": {"uid": action.target_uid, "resourceVersion": scale["metadata"]["resourceVersion"]},
            "spec": {"replicas": replicas},
        }
        await self._rest.patch(path, body, [("dryRun", "All")] if self._dry_run else [])
        outcome = ScaleOutcome.DRY_RUN if self._dry_run else ScaleOutcome.WRITTEN
        return ScaleResult(action, outcome, "", replicas)


def _moved_on(action: ScaleAction, scale: Json) -> str:
    """Why the decision no longer stands; empty when it does."""
    uid = str(scale["metadata"].get("uid", ""))
    if uid != action.target_uid:
        return f"{action.target} is a new object: uid {uid} instead of {action.target_uid}"
    # A count of 0 is left out of the JSON.
    replicas = int(scale.get("spec", {}).get("replicas", 0))
    if replicas != action.from_replicas:
        return f"{action.target} has {replicas} replicas now; the decision was made on {action.from_replicas}"
    return ""


def _outcome_of(error: RequestError) -> ScaleOutcome:
    match error.status:
        case 404:
            return ScaleOutcome.GONE
        case 409:
            return ScaleOutcome.STALE
        case int(status) if 400 <= status < 500 and status != 429:
            return ScaleOutcome.REFUSED
        case _:
            return ScaleOutcome.FAILED
