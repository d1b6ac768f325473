"""What kopf is used for: it watches our objects and namespaces and hands each event to the store. No more.

Low-level handlers only: kopf keeps no progress, no annotations and no finalizers on anybody's objects, and nothing is
decided here. An event at most says "look again".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import kopf

from kcloud_autoscale.operator.store import COST_POLICIES, NAMESPACES, OPTIMIZERS, POWER_POLICIES, Body, ObjectStore

GROUP = "kcloud.io"
VERSION = "v1alpha1"
FINALIZER = "kcloud.io/restore-replicas"


def registry_for(
    store: ObjectStore,
    login: Callable[[], Any],
    changed: Callable[[], None],
    watched: Callable[[], None],
    with_namespaces: bool,
) -> kopf.OperatorRegistry:
    """Handlers of everything that is watched.

    Args:
        store: Kept up to date.
        login: Credentials, asked for again when they expire.
        changed: Called when something people decided has changed.
        watched: Called with every event: the watches live.
        with_namespaces: Watch namespaces too, for the selectors of policies.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, retries=3)
    async def log_in(**_: Any) -> Any:
        return await login()

    for plural in (OPTIMIZERS, COST_POLICIES, POWER_POLICIES):
        handler = _keeper(store, plural, changed, watched)
        kopf.on.event(GROUP, VERSION, plural, registry=registry, id=plural)(handler)
    if with_namespaces:
        kopf.on.event("", "v1", NAMESPACES, registry=registry, id=NAMESPACES)(
            _keeper(store, NAMESPACES, changed, watched)
        )
    return registry


def _keeper(store: ObjectStore, plural: str, changed: Callable[[], None], watched: Callable[[], None]) -> Any:
    async def keep(event: Any, **_: Any) -> None:
        watched()
        body: Body = slim(event["object"])
        matters = store.drop(plural, body) if event["type"] == "DELETED" else store.put(plural, body)
        if matters:
            changed()

    return keep


def slim(body: Body) -> Body:
    """Without managed fields: half of an object, and nobody here reads them."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}


def kopf_settings() -> kopf.OperatorSettings:
    """Measured on a real API server; each of these has a failure behind it."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # our own Lease decides who acts
    settings.scanning.disabled = True  # no right to list CRDs is asked for
    settings.posting.enabled = False  # Events are written by `act.events`
    settings.posting.level = logging.WARNING
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    # 16 minutes before the process gives up and is restarted: an API server that is upgraded is away for ten.
    settings.networking.error_backoffs = [1, 2, 4, 8, 15, 30, *[60] * 15]
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.inactivity_timeout = 70
    settings.watching.reconnect_backoff = 1.0
    # A worker keeps its slot until it has been idle; 100 slots of 0.3 s take 2,000 objects in 15 s at 146 MB.
    settings.queueing.worker_limit = 100
    settings.queueing.idle_timeout = 0.3
    settings.queueing.exit_timeout = 2
    settings.queueing.error_delays = (1, 2, 5, 10, 30, 60)
    settings.process.ultimate_exiting_timeout = 25
    settings.background.cancellation_polling = 5
    settings.admission.managed = None
    # Not ours: kopf takes off a finalizer of its own name from every object it has no delete handler for.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = NoDiffs()
    return settings


class NoDiffs(kopf.DiffBaseStorage):
    """Nobody here handles changes, so no object is copied and compared.

    kopf would do so for every event, that is for each of our own statuses as it comes back: as long as all the rest
    it does with them.
    """

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        """The same of every object."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """The same of every object."""
        return kopf.BodyEssence()

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is left on anybody's object."""
