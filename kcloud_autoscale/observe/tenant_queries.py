"""What becomes of a query that a tenant wrote: confined to its namespace, asked as it is, or not asked at all.

It runs with the operator's credentials, and what it gives can be read in the status. So by default every selector of
it gets `namespace="…"` (`api/promql.py`), and what cannot be parsed cannot be confined, hence is refused.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from enum import StrEnum

from kcloud_autoscale.api.promql import Confinement, QueryError, Selector, parse, present_selectors, render
from kcloud_autoscale.observe.prometheus_response import shown


class TenantQueries(StrEnum):
    """What tenants may ask."""

    ENFORCE_NAMESPACE = "enforceNamespace"  # series of their own namespace
    ALLOW = "allow"  # any series the operator can read
    DENY = "deny"  # presets only


@dataclass(frozen=True, slots=True)
class TenantQueryRules:
    """Of an installation.

    Attributes:
        mode: What tenants may ask.
        namespace_label: Label of the store that names a series' namespace.
    """

    mode: TenantQueries = TenantQueries.ENFORCE_NAMESPACE
    namespace_label: str = "namespace"


ENFORCE_NAMESPACE = TenantQueryRules()
ALLOW_ALL = TenantQueryRules(TenantQueries.ALLOW)
"""For queries of the admin's own command line."""


@dataclass(frozen=True, slots=True)
class TenantQuery:
    """A query as it may be asked.

    Attributes:
        namespace: Of the workload it is about.
        text: What is sent.
        refused: Why it is not sent at all; empty where it is.
        joinable: Rendered from the tree of a vector, so that it may stand in one request with others of its namespace.
        selectors: Those that look at the present.
    """

    namespace: str
    text: str
    refused: str = ""
    joinable: bool = True
    selectors: tuple[Selector, ...] = field(default=(), compare=False)


@functools.lru_cache(maxsize=16_384)
def admitted(text: str, namespace: str, rules: TenantQueryRules) -> TenantQuery:
    """The query under the rules; the same ones are asked in every cycle.

    Args:
        text: As the user wrote it, placeholders filled in.
        namespace: Of its WorkloadOptimizer.
        rules: Of the installation.
    """
    if rules.mode is TenantQueries.DENY:
        return TenantQuery(namespace, text, "own queries are turned off here (tenantQueries: deny); use a preset")
    enforced = rules.mode is TenantQueries.ENFORCE_NAMESPACE
    confinement = Confinement(rules.namespace_label, namespace) if enforced else None
    try:
        tree = parse(text)
        rendered = render(tree, confinement)
        return TenantQuery(
            namespace=namespace,
            text=rendered,
            joinable=_is_vector(rendered),
            selectors=present_selectors(tree, confinement),
        )
    except QueryError as error:
        # A dialect (MetricsQL) may know what the grammar does not; without a tree it is asked alone.
        refused = f"{error} (tenantQueries: {rules.mode}): {shown(text)}" if enforced else ""
        return TenantQuery(namespace, text, refused, joinable=False)


def _is_vector(text: str) -> bool:
    """Whether others can be joined to it: not to a scalar, and the server would refuse the whole request."""
    try:
        parse(f"sort(({text}))")
    except QueryError:
        return False
    return True
