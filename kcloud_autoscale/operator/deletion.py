"""What a deleted optimizer leaves behind: its replicas as they are, or as they were found (``Restore``).

Only ``Restore`` needs a finalizer. It is put on before the first scaling, undone work is tried for a minute, and then
the object is let go in any case: a finalizer that blocks a namespace for ever is worse than a count left as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from kcloud_autoscale.act.rest import RequestError, Rest
from kcloud_autoscale.act.status_writer import object_path
from kcloud_autoscale.api.conditions import READY
from kcloud_autoscale.api.v1alpha1 import WorkloadOptimizer
from kcloud_autoscale.domain.decision import ConditionFact, Decision, ScaleOutcome, ScaleResult
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


def is_restored(decision: Decision | None, result: ScaleResult | None) -> bool:
    """Whether a deleted optimizer has nothing more to undo.

    Its way back is decided like any count, within the bounds and under every limit, and may take several ticks.

    Args:
        decision: Of this tick; None while the workload is set aside.
        result: What became of its action; None when there was none.
    """
    if decision is None:
        return False
    if result is None:  # back already, nothing to go back to, or somebody else's; else it waits for room
        return decision.desired_replicas == decision.current_replicas
    return result.outcome in _DONE and result.action.to_replicas == decision.desired_replicas


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
        wanted = fleet.optimizers[key].spec.deletion_policy == "Restore" and key not in fleet.excluded
        if is_deleted(body) or wanted == is_held(body):
            continue
        if not await _set_finalizer(rest, body, wanted) and wanted:
            unheld.add(key)
    return frozenset(unheld)


async def release(
    rest: Rest,
    fleet: Fleet,
    decisions: Mapping[WorkloadKey, Decision],
    results: Mapping[WorkloadKey, ScaleResult],
    now_seconds: float,
) -> None:
    """Let go of the objects whose replicas are restored, or were waited for long enough.

    Args:
        rest: Requests.
        fleet: Of this cycle.
        decisions: Of this tick.
        results: What became of the actions.
        now_seconds: Unix time.
    """
    for key in restoring(fleet):
        result = results.get(key)
        late = now_seconds - _deleted_at(fleet.optimizers[key]).timestamp() > PATIENCE_SECONDS
        done = is_restored(decisions.get(key), result)
        if done or late:
            if not done or (result is not None and result.outcome is not ScaleOutcome.WRITTEN):
                why = result.message if result is not None and result.message else "there was no room for them"
                logger.warning("The replicas of %s were not restored: %s", key, why)
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
