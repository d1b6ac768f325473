"""Our objects as the watches last told, with what is needed to notice a change that matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Body = Mapping[str, Any]

OPTIMIZERS = "workloadoptimizers"
COST_POLICIES = "costpolicies"
POWER_POLICIES = "powerpolicies"
NAMESPACES = "namespaces"
PLURALS = (OPTIMIZERS, COST_POLICIES, POWER_POLICIES, NAMESPACES)


@dataclass(slots=True)
class ObjectStore:
    """Bodies by plural and (namespace, name).

    A watch can lose a deletion; ``replace`` with a fresh list heals that.
    """

    bodies: dict[str, dict[tuple[str, str], Body]] = field(default_factory=lambda: {plural: {} for plural in PLURALS})

    def of(self, plural: str) -> list[Body]:
        """Everything of one kind, in the order of their names: the same fleet gives the same cycle."""
        return [body for _, body in sorted(self.bodies[plural].items())]

    def put(self, plural: str, body: Body) -> bool:
        """Keep an object; True when something people decide (spec, labels, deletion) is new about it."""
        known = self.bodies[plural].get(_key(body))
        if known is not None and _version(known) > _version(body):
            return False
        self.bodies[plural][_key(body)] = body
        return known is None or _what_matters(known) != _what_matters(body)

    def drop(self, plural: str, body: Body) -> bool:
        """Forget an object, unless one of the same name has taken its place; True when it was known."""
        known = self.bodies[plural].get(_key(body))
        if known is None or known["metadata"]["uid"] != body["metadata"]["uid"]:
            return False
        del self.bodies[plural][_key(body)]
        return True

    def replace(self, plural: str, listed: Iterable[Body]) -> bool:
        """Make the store equal to a fresh list; True when something that matters differed."""
        fresh = {_key(body): body for body in listed}
        gone = [body for key, body in self.bodies[plural].items() if key not in fresh]
        changed = [self.drop(plural, body) for body in gone]
        changed += [self.put(plural, body) for body in fresh.values()]
        return any(changed)


def _key(body: Body) -> tuple[str, str]:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _version(body: Body) -> int:
    """Resource versions are ordered integers (guaranteed since Kubernetes 1.35, true of etcd before)."""
    version = str(body["metadata"].get("resourceVersion", "0"))
    return int(version) if version.isdigit() else 0


def _what_matters(body: Body) -> tuple[object, ...]:
    metadata = body["metadata"]
    return (
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("labels"),
        metadata.get("deletionTimestamp"),
    )
