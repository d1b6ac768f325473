"""The one writer of replicas. Nothing else in this package may change a count; a test sees to it.

A decision is made on what was seen up to a cycle ago. Right before the write the scale is read again: if the object
is another one (uid) or somebody changed its count since, nothing is written and the next cycle decides on what is
there now. A new resourceVersion alone (a pod became ready, an image changed) does not void a decision: the write goes
out with the version just read, so whoever writes in between still wins: we get a 409, and look again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from kcloud_autoscale.act.rate import TokenBucket
from kcloud_autoscale.act.rest import Json, RequestError, Rest
from kcloud_autoscale.act.scale_paths import NotScalableError, ScalePaths
from kcloud_autoscale.domain.decision import ScaleAction, ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.workload import FIELD_MANAGER

# An overloaded API server is asked again this often, as long as the time of the batch lasts. So is one that found the
# object changed between look and write: it is looked at again, and left alone when it is the count that has changed.
TRIES = 5
OUT_OF_TIME = "its turn did not come in this cycle: it is carried over, ahead of later ones"


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

    def expect(self, writes: int) -> None:
        """So many writes are to come: statuses leave them the budget."""
        self._bucket.expect(writes)

    async def write(self, action: ScaleAction, until_seconds: float = math.inf) -> ScaleResult:
        """Carry out one action; every failure is an outcome.

        Args:
            action: What to write.
            until_seconds: Time of the event loop's clock; what has not been sent by then is deferred.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._try(action, until_seconds)
            except NotScalableError as error:
                return ScaleResult(action, ScaleOutcome.REFUSED, str(error))
            except TimeoutError:
                return ScaleResult(action, ScaleOutcome.DEFERRED, OUT_OF_TIME)
            except RequestError as error:
                if not (error.overloaded or error.status == 409) or not tries_left:
                    return ScaleResult(action, _outcome_of(error), str(error), overloaded=error.overloaded)
                if error.overloaded:
                    self._bucket.slow_down(error.retry_after_seconds)
        raise AssertionError("the last try returns")

    async def _try(self, action: ScaleAction, until_seconds: float) -> ScaleResult:
        # Looking and waiting may be broken off; a write that is under way may have been made, and is awaited.
        async with asyncio.timeout_at(until_seconds if math.isfinite(until_seconds) else None):
            path = await self._paths.path(action.key.namespace, action.target)
            scale = await self._rest.get(path)
            if moved := _moved_on(action, scale):
                return ScaleResult(action, ScaleOutcome.STALE, moved)
            await self._bucket.take(urgent=True)
        return await self._replace(action, path, scale)

    async def _replace(self, action: ScaleAction, path: str, scale: Json) -> ScaleResult:
        replicas = min(max(action.to_replicas, action.min_replicas), action.max_replicas)
        if not self._may_act():
            return ScaleResult(action, ScaleOutcome.NOT_LEADER, "the lease was lost before the write")
        body = {
            "metadata": {"uid": action.target_uid, "resourceVersion": scale["metadata"]["resourceVersion"]},
            "spec": {"replicas": replicas},
        }
        query = [("fieldManager", FIELD_MANAGER), *([("dryRun", "All")] if self._dry_run else [])]
        await self._rest.patch(path, body, query)
        self._bucket.went_well()
        outcome = ScaleOutcome.DRY_RUN if self._dry_run else ScaleOutcome.WRITTEN
        message = "the API server checked the write and kept nothing" if self._dry_run else ""
        return ScaleResult(action, outcome, message, replicas)


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
