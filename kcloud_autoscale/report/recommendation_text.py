"""Recommendations for people (table), programs (JSON) and the cluster (manifests)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import yaml

from kcloud_autoscale.domain.capacity import LEARNED
from kcloud_autoscale.domain.reading import Reading, Sample
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.report.phrases import folded, table
from kcloud_autoscale.report.recommendation import OURS, CannotTell, Recommendation
from kcloud_autoscale.simulate.score import Score
from kcloud_autoscale.simulate.table import comparison

Json = dict[str, Any]

_TABLE = "table "
_SAID_BY = {"estimate": "built-in table", "opencost": "OpenCost", "override": "CostPolicy"}
# Of workloads that have one reason in common, so many are named.
NAMED_AT_MOST = 12


def text(found: Sequence[Recommendation], silent: Sequence[CannotTell]) -> str:
    """Summary first, then each workload's comparison, then what cannot be told."""
    blocks = []
    if found:
        blocks.append(
            "\n".join(
                [
                    "Over the replayed days, against what ran (or HPA at 70 %, where that is not known):",
                    *_summary(found),
                ]
            )
        )
        blocks += [_block(each) for each in found]
    if silent:
        blocks.append("\n".join(["Cannot tell:", *_silences(silent)]))
    if not any(each.worthwhile for each in found):
        none = "" if found or silent else ": there is no Deployment and no StatefulSet where we looked"
        blocks.append(f"Nothing to recommend{none}.")
    return "\n\n".join(blocks)


def _summary(found: Sequence[Recommendation]) -> list[str]:
    rows = [("workload", "misses", "replica-hours", "$", "kWh", "against")]
    for each in found:
        ours, theirs = each.outcomes[OURS].score, each.outcomes[each.against].score
        missed = f"{theirs.violation_fraction:.2%}" if each.misses_known(each.against) else "-"
        rows.append(
            (
                _shown(each.past.key, each.past.target),
                f"{missed} -> {ours.violation_fraction:.2%}",
                f"{theirs.replica_hours:,.1f} -> {ours.replica_hours:,.1f} ({_change(ours, theirs)})",
                _difference(ours.usd, theirs.usd, 1.0, 2),
                _difference(ours.watt_hours, theirs.watt_hours, 1e3, 1),
                each.against if each.worthwhile else f"{each.against}, not recommended",
            )
        )
    return table(rows)


def _shown(key: WorkloadKey, target: TargetRef) -> str:
    """As the cluster names it; with its kind where a workload of another kind has the same name."""
    name = f"{key.namespace}/{target.name}"
    return name if key.name == target.name else f"{name} ({target.kind})"


def _change(ours: Score, theirs: Score) -> str:
    return f"{ours.replica_hours / theirs.replica_hours - 1.0:+.1%}" if theirs.replica_hours else "-"


def _difference(ours: float | None, theirs: float | None, unit: float, digits: int) -> str:
    return "-" if ours is None or theirs is None else f"{(ours - theirs) / unit:+,.{digits}f}"


def _block(each: Recommendation) -> str:
    past, rules = each.past, each.rules
    lines = [
        each.trace.name,
        *folded(
            f"load from {past.preset}; {each.replayed_days:.1f} of {each.known_days:.1f} days replayed; a replica "
            f"serves {rules.capacity_per_replica:.4g} per second ({each.capacity.source}) and starts in "
            f"{rules.startup_seconds:.0f} s ({past.startup_source})"
        ),
        *_worth(each),
        *(f"  {line}" for line in comparison(each.outcomes, ("USD", "kWh"), each.unclaimed).splitlines()),
    ]
    return "\n".join(lines + [line for note in each.notes for line in folded(f"- {note}")])


def _worth(each: Recommendation) -> list[str]:
    """What a replica costs and draws, and who says so: a list price is not what is paid."""
    usd, watts = each.rules.usd_per_replica_hour, each.rules.watts_per_replica
    parts = []
    if usd is not None:
        parts.append(f"costs {usd:,.3f} $/h ({_said_by(each.past.usd_per_replica_hour)})")
    if watts is not None:
        parts.append(f"draws up to {watts:,.0f} W ({_said_by(each.past.watts_per_replica)})")
    return folded(f"a replica {' and '.join(parts)}") if parts else []


def _said_by(reading: Reading) -> str:
    source = _source(reading) or "source unknown"
    device = source.removeprefix(_TABLE)
    return _SAID_BY.get(source, source) if device == source else f"built-in table, {device}"


def _source(reading: Reading) -> str | None:
    return reading.source or None if isinstance(reading, Sample) else None


def _silences(silent: Sequence[CannotTell]) -> list[str]:
    """By message: a cluster has hundreds of workloads that serve no requests."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for each in silent:
        alike[each.message].append(_shown(each.key, each.target))
    lines = []
    for message, names in alike.items():
        more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
        lines += folded(f"{', '.join(names[:NAMED_AT_MOST])}{more}: {message}")
    return lines


def as_json(found: Sequence[Recommendation], silent: Sequence[CannotTell]) -> str:
    """Everything, for programs; a number that is not known is null."""
    document = {
        "workloads": [_workload(each) for each in found],
        "cannotTell": [
            {
                **_name(each.key.namespace, each.target),
                "reason": each.reason,
                "message": each.message,
            }
            for each in silent
        ],
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _name(namespace: str, target: TargetRef) -> Json:
    return {"namespace": namespace, "name": target.name, "kind": target.kind}


def _workload(each: Recommendation) -> Json:
    past, rules = each.past, each.rules
    usd, watts = rules.usd_per_replica_hour, rules.watts_per_replica
    return {
        **_name(past.key.namespace, past.target),
        "demandPreset": past.preset,
        "knownDays": each.known_days,
        "replayedDays": each.replayed_days,
        "capacityPerReplica": rules.capacity_per_replica,
        "capacitySource": each.capacity.source,
        "startupSeconds": rules.startup_seconds,
        "startupSource": past.startup_source,
        "usdPerReplicaHour": usd,
        "usdPerReplicaHourSource": None if usd is None else _source(past.usd_per_replica_hour),
        "wattsPerReplica": watts,
        "wattsPerReplicaSource": None if watts is None else _source(past.watts_per_replica),
        "policies": {name: _score(outcome.score, each.misses_known(name)) for name, outcome in each.outcomes.items()},
        "recommended": each.worthwhile,
        "notes": list(each.notes),
        "manifest": manifest(each) if each.worthwhile else None,
    }


def _score(score: Score, misses_known: bool) -> Json:
    return {
        "violatingFraction": score.violation_fraction if misses_known else None,
        "unservedFraction": score.unserved_fraction if misses_known else None,
        "replicaHours": score.replica_hours,
        "changesPerHour": score.changes_per_hour,
        "usd": score.usd,
        "wattHours": score.watt_hours,
    }


def manifest(each: Recommendation) -> Json:
    """A WorkloadOptimizer in mode Recommend: it computes, tells, and touches nothing.

    A capacity that was learned against the latency objective is left to be learned; any other is written down.
    """
    past, target = each.past, each.past.target
    scaling: Json = {
        "mode": "Recommend",
        "minReplicas": max(1, each.rules.min_replicas),
        "maxReplicas": each.rules.max_replicas,
        "demand": {"preset": past.preset},
    }
    if each.latency_ms is not None:
        scaling["metrics"] = [{"type": "latency", "threshold": each.latency_ms}]
    if each.latency_ms is None or each.capacity.source != LEARNED:
        scaling["capacityPerReplica"] = float(f"{each.rules.capacity_per_replica:.4g}")
    return {
        "apiVersion": "kcloud.io/v1alpha1",
        "kind": "WorkloadOptimizer",
        "metadata": {"name": past.key.name, "namespace": past.key.namespace},
        "spec": {
            "workloadType": "serving",
            "targetRef": {"apiVersion": target.api_version, "kind": target.kind, "name": target.name},
            "autoScaling": scaling,
        },
    }


def manifest_yaml(each: Recommendation) -> str:
    """The manifest with a word on where its numbers are from."""
    head = [
        f"Replayed over {each.replayed_days:.1f} days: see `kcloud-autoscale recommend`.",
        f"Capacity of a replica: {each.capacity.source}. Mode Recommend writes the status and scales nothing.",
        *each.notes,
    ]
    # A note may quote an exporter or a server: a line break in it must not become YAML.
    comment = "".join(f"# {' '.join(line.split())}\n" for line in head)
    return comment + yaml.safe_dump(manifest(each), sort_keys=False)
