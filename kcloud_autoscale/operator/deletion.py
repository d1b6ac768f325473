"""What a deleted optimizer leaves behind: its replicas as they are, or as they were found (``Restore``).

Only ``Restore`` needs a finalizer. It is put on before the first scaling, undone work is tried for a minute, and then
the object is let go in any case: a finalizer that blocks a namespace for ever is worse than a count left as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from kcloud_autoscale.act.rest import RequestError, Rest
from kcloud_autoscale.act.scale import ScaleOutcome, ScaleResult
from kcloud_autoscale.act.status_decision import RESTORED
from kcloud_autoscale.act.status_writer import object_path
from kcloud_autoscale.api.conditions import READY
from kcloud_autoscale.api.v1alpha1 import WorkloadOptimizer
from kcloud_autoscale.domain.decision import ConditionFact, ScaleAction
from kcloud_autoscale.domain.observation import Observation, TargetObservation
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.operator.fleet import Fleet, is_deleted, is_held, ref_of
from kcloud_autoscale.operator.handlers import FINALIZER
from kcloud_autoscale.operator.store import Body

logger = logging.getLogger(__name__)

# After this an object is let go even though its replicas could not be restored.
PATIENCE_SECONDS = 60.0
_DONE = (ScaleOutcome.WRITTEN, ScaleOutcome.GONE, ScaleOutcome.REFUSED, ScaleOutcome.DRY_RUN)


def restoring(fleet: Fleet) -> list[WorkloadKey]:
    """Optimizers that are being deleted and wait for us."""
    return [key for key, body in fleet.bodies.items() if is_deleted(body)]


def restore_action(
    fleet: Fleet, key: WorkloadKey, observation: Observation, original: int | None
) -> ScaleAction | None:
    """The way back to the replicas found at adoption; None when there is nothing to undo or nothing to undo it on.

    Args:
        fleet: Of this cycle.
        key: Of an optimizer that is being deleted.
        observation: Its target as it is.
        original: As this process remembers it; the status, where anybody may have written, only tells a new one.
    """
    seen = observation.workloads.get(key)
    if seen is None or not isinstance(seen.target, TargetObservation) or seen.conflict or original is None:
        return None
    if fleet.optimizers[key].spec.deletion_policy != "Restore":
        return None  # changed its mind while it was being deleted
    target = seen.target
    if target.desired_replicas == original:
        return None
    return ScaleAction(
        key=key,
        decision_id=f"restore-{fleet.policy.workloads[key].uid[:8]}",
        target=target.ref,
        target_uid=target.uid,
        resource_version=target.resource_version,
        from_replicas=target.desired_replicas,
        to_replicas=original,
        min_replicas=original,
        max_replicas=original,
        reason=RESTORED,
    )


def deleting(fleet: Fleet, key: WorkloadKey) -> tuple[ConditionFact, ...]:
    """What stands in the status while an object waits for us, instead of the mode it is treated by."""
    if not is_deleted(fleet.bodies[key]):
        return ()
    text = "the original count is restored, then the object is let go; nothing else is scaled"
    return (ConditionFact(READY, True, "Deleting", text),)


async def hold(rest: Rest, fleet: Fleet) -> frozenset[WorkloadKey]:
    """Put the finalizer where it belongs, take it off where it no longer does.

    Returns:
        Optimizers that must not be acted on in this cycle: their finalizer could not be written.
    """
    unheld = set()
    for key, body in fleet.bodies.items():
        wanted = fleet.optimizers[key].spec.deletion_policy == "Restore"
        if is_deleted(body) or wanted == is_held(body):
            continue
        if not await _set_finalizer(rest, body, wanted) and wanted:
            unheld.add(key)
    return frozenset(unheld)


async def release(
    rest: Rest, fleet: Fleet, results: Mapping[WorkloadKey, ScaleResult | None], now_seconds: float
) -> None:
    """Let go of the objects whose replicas are restored, or were waited for long enough.

    Args:
        rest: Requests.
        fleet: Of this cycle.
        results: What became of each restoration; None where there was nothing to undo.
        now_seconds: Unix time.
    """
    for key, result in results.items():
        late = now_seconds - _deleted_at(fleet.optimizers[key]).timestamp() > PATIENCE_SECONDS
        if result is None or result.outcome in _DONE or late:
            if result is not None and result.outcome is not ScaleOutcome.WRITTEN:
                logger.warning("The replicas of %s were not restored: %s", key, result.message)
            await _set_finalizer(rest, fleet.bodies[key], False)
    for body, _ in fleet.invalid:  # nobody can say what to restore
        if is_deleted(body) and is_held(body):
            await _set_finalizer(rest, body, False)


def _deleted_at(optimizer: WorkloadOptimizer) -> datetime:
    assert optimizer.metadata.deletion_timestamp is not None
    return optimizer.metadata.deletion_timestamp


async def _set_finalizer(rest: Rest, body: Body, wanted: bool) -> bool:
    """True when it is as wanted. The version read goes along: somebody else's finalizer must not be lost."""
    metadata = body["metadata"]
    others = [name for name in metadata.get("finalizers", []) if name != FINALIZER]
    patch = {
        "metadata": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "finalizers": [*others, FINALIZER] if wanted else others,
        }
    }
    try:
        await rest.patch(object_path(ref_of(body)), patch)
    except RequestError as error:
        if error.status != 404:
            logger.warning(
                "The finalizer of %s was not %s: %s", metadata["name"], "set" if wanted else "removed", error
            )
        return error.status == 404
    return True
