"""Namespaces in which nothing is scaled: the cluster's own, and the operator's.

The operator's token may scale in every namespace it serves, and RBAC knows no exceptions. Whoever may write a
WorkloadOptimizer there would borrow that right; so the operator says no itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from kcloud_autoscale.api.conditions import READY
from kcloud_autoscale.domain.decision import ConditionFact
from kcloud_autoscale.domain.workload import WorkloadKey

REASON = "NamespaceExcluded"


def excluding(namespace: str, patterns: Iterable[str]) -> str | None:
    """The pattern that names the namespace: ``kube-*`` for ``kube-system``; None where it is not excluded."""
    return next((pattern for pattern in patterns if fnmatchcase(namespace, pattern)), None)


def exclusion(key: WorkloadKey, excluded: Mapping[WorkloadKey, str]) -> tuple[ConditionFact, ...]:
    """Why a workload that wants to be scaled is not, and how to allow it; nothing of one that may be.

    Args:
        key: The optimizer.
        excluded: Those that are not scaled, by the pattern that names their namespace.
    """
    pattern = excluded.get(key)
    if pattern is None:
        return ()
    text = (
        f"nothing is scaled in namespace {key.namespace}: EXCLUDED_NAMESPACES (value excludedNamespaces of the chart) "
        f"names {pattern}; what would be done is only said"
    )
    return (ConditionFact(READY, False, REASON, text),)
