"""A workload with everything its questions need: policy, target, and how its metrics are found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.fetch import Subject, subject
from kcloud_autoscale.observe.presets import PRESETS, Preset
from kcloud_autoscale.observe.promql import pod_naming
from kcloud_autoscale.observe.targets import Target
from kcloud_autoscale.observe.tenant_queries import ENFORCE_NAMESPACE, TenantQuery, TenantQueryRules, admitted


@dataclass(frozen=True, slots=True)
class Watched:
    """One workload of a cycle.

    Attributes:
        policy: Every knob resolved.
        target: What is scaled.
        pods_subject: How metrics of its pods and of kube-state-metrics know it; None without a target.
        preset: Its serving stack, if it has one.
        subject: How the preset's metrics know it.
        found: Whether the stack was found by its metrics, since the spec names none.
        query: The user's own demand query, as it may be asked.
        unknown: Why its demand cannot even be asked for.
        rules: What its own queries may ask.
    """

    policy: WorkloadPolicy
    target: Target
    pods_subject: Subject | None = None
    preset: Preset | None = None
    subject: Subject | None = None
    query: TenantQuery | None = None
    found: bool = False
    unknown: Missing | None = None
    rules: TenantQueryRules = ENFORCE_NAMESPACE

    @property
    def key(self) -> WorkloadKey:
        return self.policy.key

    @property
    def demand_source(self) -> str:
        """Where its load is read, for people; empty where it is not."""
        if self.preset is not None:
            return f"{self.preset.name}, found" if self.found else self.preset.name
        return "query" if self.query is not None else ""

    def filled(self, query: str) -> TenantQuery:
        """A query of the user's own, about this workload's target."""
        assert self.pods_subject is not None
        return _filled(query, self.key, self.pods_subject.name, self.rules)


def _filled(query: str, key: WorkloadKey, name: str, rules: TenantQueryRules) -> TenantQuery:
    return admitted(queries.user_query(query, key.namespace, name), key.namespace, rules)


def watched(
    policy: WorkloadPolicy, target: Target, rules: TenantQueryRules, found: str | Missing | None = None
) -> Watched:
    """Settle where a workload's demand is read.

    Args:
        policy: What the spec says.
        target: What is scaled.
        rules: What queries of its own may ask.
        found: Where the spec leaves the serving stack open: the one its metrics name, or why none is known.
    """
    if isinstance(target.seen, Missing):
        return Watched(policy, target, unknown=target.seen)
    ref = target.seen.ref
    own = Subject(policy.key, ref.name, pod_naming(ref.kind))
    source = policy.demand
    if source.query is not None:
        query = _filled(source.query, policy.key, ref.name, rules)
        refused = Missing(MissingReason.REFUSED, f"{_field(policy)}: {query.refused}") if query.refused else None
        return Watched(policy, target, own, query=query, unknown=refused, rules=rules)
    if isinstance(found, Missing):
        return Watched(policy, target, own, unknown=found, rules=rules)
    preset = PRESETS.get(source.preset or found or "")
    if preset is None:
        why = f"there is no demand preset {source.preset!r}" if source.preset else "spec.autoScaling.demand is not set"
        return Watched(policy, target, own, unknown=Missing(MissingReason.NOT_CONFIGURED, why), rules=rules)
    try:
        asked = subject(policy.key, ref.name, own.naming, preset, source.labels)
    except ValueError as error:
        return Watched(policy, target, own, unknown=Missing(MissingReason.NOT_CONFIGURED, str(error)), rules=rules)
    return Watched(policy, target, own, preset, asked, found=source.preset is None, rules=rules)


def metric_field(name: str) -> str:
    """Where a metric's own query stands; a type is there once."""
    return f"spec.autoScaling.metrics[type={name}].query"


def _field(policy: WorkloadPolicy) -> str:
    """Where the demand query stands: that of a requests metric serves where none is named."""
    of_requests = any(each.name == "requests" and each.query == policy.demand.query for each in policy.targets)
    return metric_field("requests") if of_requests else "spec.autoScaling.demand.query"


def by_preset(each: Iterable[Watched]) -> dict[str, list[Watched]]:
    """Workloads of each serving stack."""
    found: defaultdict[str, list[Watched]] = defaultdict(list)
    for one in each:
        if one.preset is not None:
            found[one.preset.name].append(one)
    return found


def by_scrape(
    each: Iterable[Watched], scrapes: Mapping[WorkloadKey, float]
) -> list[tuple[Preset, float, list[Watched]]]:
    """Workloads that can be asked about together through one rate window: same stack, same seconds between scrapes."""
    found: dict[tuple[str, float], tuple[Preset, float, list[Watched]]] = {}
    for one in each:
        if one.preset is not None:
            interval = scrapes[one.key]
            found.setdefault((one.preset.name, interval), (one.preset, interval, []))[2].append(one)
    return list(found.values())


def subjects(each: Iterable[Watched]) -> list[Subject]:
    """How the preset's metrics know them."""
    return [one.subject for one in each if one.subject is not None]
