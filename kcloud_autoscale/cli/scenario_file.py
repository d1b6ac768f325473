"""A scenario as a file: several workloads, the traces they live through, and the limits they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from kcloud_autoscale.api.effect import without_effect
from kcloud_autoscale.api.resolve import parse
from kcloud_autoscale.api.resolve_fleet import FleetObjects, covered, resolve_fleet
from kcloud_autoscale.api.v1alpha1 import CostPolicy, PowerPolicy, WorkloadOptimizer
from kcloud_autoscale.api.validate import is_ours
from kcloud_autoscale.cli.manifests import read
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import CapUnit, CostScope, FleetPolicy, ReplicaResources, SharedCap, WorkloadPolicy
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.simulate.scenario import Member, Scenario
from kcloud_autoscale.simulate.traces import read_trace
from kcloud_autoscale.simulate.world import WorldRules, default_ceiling

_Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
# NAME or NAMESPACE/NAME.
_NAME = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_Count = Annotated[int, Field(ge=0, strict=True)]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class _Workload(_Model):
    """One workload; what is left out comes from the WorkloadOptimizer of its name, where there is one."""

    name: Annotated[str, Field(pattern=_NAME)]
    trace: Path
    column: str | None = None
    capacity_per_replica: _Positive | None = None
    startup_seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    priority: Annotated[int, Field(ge=0, le=100, strict=True)] | None = None
    min_replicas: _Count | None = None
    max_replicas: _Count | None = None
    usd_per_replica_hour: _Positive | None = None
    watts_per_replica: _Positive | None = None
    max_cost_per_hour: _Positive | None = None
    max_power_usage: _Positive | None = None

    @property
    def key(self) -> WorkloadKey:
        namespace, _, name = self.name.rpartition("/")
        return WorkloadKey(namespace or "default", name)


class _Shared(_Model):
    """Limits over all workloads of the scenario."""

    cost_per_hour_limit: _Positive | None = None
    max_power_usage: _Positive | None = None


class _File(_Model):
    workloads: Annotated[list[_Workload], Field(min_length=1)]
    shared: _Shared = _Shared()
    objects: list[dict[str, Any]] = []
    step_seconds: _Positive | None = None
    history_steps: _Count = 0
    settle_seconds: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    grams_co2e_per_kwh: _Positive | None = Field(None, alias="gramsCO2ePerKWh")


@dataclass(frozen=True, slots=True)
class Resolved:
    """WorkloadOptimizers, CostPolicies and PowerPolicies of a file, as the operator would have them.

    Attributes:
        fleet: What they come to.
        notes: What of them changes nothing here, a sentence each.
    """

    fleet: FleetPolicy
    notes: tuple[str, ...]

    @property
    def budgets(self) -> tuple[CostScope, ...]:
        """Those CostPolicies that limit what some workload of the file may spend."""
        return tuple(scope for scope in self.fleet.cost_scopes if scope.limited and scope.members)


def read_fleet(path: Path) -> Resolved:
    """The objects of a manifest; those of other kinds are none of ours."""
    return _resolved(manifest.content for manifest in read([str(path)]) if is_ours(manifest.content))


def read_scenario(path: Path) -> tuple[Scenario, tuple[str, ...]]:
    """Read a scenario, and what of its objects changes nothing; traces are looked for beside it.

    Raises:
        ConfigError: Names file and field of what cannot be used.
        UnreadableError: The file cannot be read as YAML.
    """
    documents = [manifest.content for manifest in read([str(path)])]
    if len(documents) != 1:
        raise ConfigError(f"{path}: one document is needed, there are {len(documents)}")
    try:
        file = _File.model_validate(documents[0])
    except ValidationError as error:
        raise ConfigError("; ".join(_told(path, found) for found in error.errors())) from error
    try:
        resolved = _resolved(file.objects)
    except ConfigError as error:
        raise ConfigError(f"{path}: objects: {error}") from error
    fleet = resolved.fleet
    members = tuple(_member(path, index, file, fleet) for index in range(len(file.workloads)))
    keys = [member.key for member in members]
    if len(set(keys)) < len(keys):
        raise ConfigError(f"{path}: workloads: a name is given twice")
    strangers = fleet.workloads.keys() - set(keys)
    if strangers:
        raise ConfigError(f"{path}: objects: no workload has a trace for {', '.join(sorted(map(str, strangers)))}")
    caps = (*_shared(file.shared, frozenset(keys)), *fleet.shared_caps)
    scenario = Scenario(members, caps, resolved.budgets)
    return scenario, resolved.notes


def _told(path: Path, found: Mapping[str, Any]) -> str:
    field = ""
    for part in found["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    return (
        f"{path}: {field}: {found['msg']}, not {found['input']!r}"
        if found["type"] != "missing"
        else (f"{path}: {field} is needed")
    )


def _resolved(contents: Iterable[Mapping[str, Any]]) -> Resolved:
    parsed = [parse(content) for content in contents]
    objects = FleetObjects(
        [found for found in parsed if isinstance(found, WorkloadOptimizer)],
        [found for found in parsed if isinstance(found, CostPolicy)],
        [found for found in parsed if isinstance(found, PowerPolicy)],
    )
    return Resolved(resolve_fleet(objects), tuple(_notes(parsed, objects)))


def _notes(parsed: Iterable[WorkloadOptimizer | CostPolicy | PowerPolicy], objects: FleetObjects) -> Iterator[str]:
    for each in parsed:
        named = f"{type(each).__name__} {each.metadata.name}"
        if not isinstance(each, WorkloadOptimizer) and not covered(each.spec, objects):
            yield f"{named} covers no WorkloadOptimizer of this file, and limits nothing"
        idle = without_effect(each)
        if idle:
            yield f"{named}: this version does not act on {', '.join(idle)}"


def _shared(shared: _Shared, members: frozenset[WorkloadKey]) -> Iterable[SharedCap]:
    if shared.cost_per_hour_limit is not None:
        yield SharedCap("shared/costPerHourLimit", CapUnit.USD_PER_HOUR, shared.cost_per_hour_limit, members)
    if shared.max_power_usage is not None:
        yield SharedCap("shared/maxPowerUsage", CapUnit.WATTS, shared.max_power_usage, members)


def _member(path: Path, index: int, file: _File, fleet: FleetPolicy) -> Member:
    given, where = file.workloads[index], f"{path}: workloads[{index}]"
    known = fleet.workloads.get(given.key)
    workload = _knobs(given, known or WorkloadPolicy(given.key, max_replicas=default_ceiling(given.min_replicas or 0)))
    try:
        trace = read_trace(path.parent / given.trace, given.column, file.step_seconds)
    except ConfigError as error:
        raise ConfigError(f"{where}.trace: {error}") from error
    if workload.capacity_per_replica is None:
        raise ConfigError(f"{where}.capacityPerReplica is needed")
    if workload.lead_time_seconds is None:
        raise ConfigError(f"{where}.startupSeconds is needed")
    if workload.min_replicas > workload.max_replicas:
        raise ConfigError(f"{where}.minReplicas is {workload.min_replicas}, maxReplicas {workload.max_replicas}")
    if given.usd_per_replica_hour is None and (workload.caps.max_usd_per_hour or workload.caps.budget_usd):
        raise ConfigError(f"{where}.usdPerReplicaHour is needed for its cost cap or budget")
    if given.watts_per_replica is None and workload.caps.max_watts:
        raise ConfigError(f"{where}.wattsPerReplica is needed for its power cap")
    rules = WorldRules(
        capacity_per_replica=workload.capacity_per_replica,
        startup_seconds=workload.lead_time_seconds,
        min_replicas=workload.min_replicas,
        max_replicas=workload.max_replicas,
        usd_per_replica_hour=given.usd_per_replica_hour,
        watts_per_replica=given.watts_per_replica,
        grams_per_kwh=file.grams_co2e_per_kwh,
        history_steps=file.history_steps,
        settle_seconds=file.settle_seconds,
    )
    return Member(given.key, trace, rules, workload)


def _knobs(given: _Workload, known: WorkloadPolicy) -> WorkloadPolicy:
    """The optimizer's knobs with what the scenario says instead; it prices whole replicas, so devices do not count."""

    def first(own: Any, other: Any) -> Any:
        return other if own is None else own

    return replace(
        known,
        priority=first(given.priority, known.priority),
        min_replicas=first(given.min_replicas, known.min_replicas),
        max_replicas=first(given.max_replicas, known.max_replicas),
        capacity_per_replica=first(given.capacity_per_replica, known.capacity_per_replica),
        lead_time_seconds=first(given.startup_seconds, known.lead_time_seconds),
        caps=replace(
            known.caps,
            max_usd_per_hour=first(given.max_cost_per_hour, known.caps.max_usd_per_hour),
            max_watts=first(given.max_power_usage, known.caps.max_watts),
        ),
        resources=ReplicaResources(),
    )
