"""Manifests for tests: a full one of each kind, and everything that one object can get wrong."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
REMOVED = object()

Manifest = dict[str, Any]


def example(name: str, kind: str = "WorkloadOptimizer") -> Manifest:
    """The first object of a kind in a file of `examples/`."""
    documents = yaml.safe_load_all((EXAMPLES / name).read_text(encoding="utf-8"))
    return next(document for document in documents if document["kind"] == kind)


def all_examples() -> list[tuple[str, Manifest]]:
    """File name and object, for every object of every example."""
    files = sorted(EXAMPLES.rglob("*.yaml"))
    return [(str(file.relative_to(EXAMPLES)), doc) for file in files for doc in yaml.safe_load_all(file.read_text())]


FULL = {
    "WorkloadOptimizer": example("07-placement.yaml"),
    "CostPolicy": example("05-cost-policy.yaml", "CostPolicy"),
    "PowerPolicy": example("06-power-policy.yaml", "PowerPolicy"),
}


def changed(manifest: Manifest, path: str, value: object) -> Manifest:
    """A copy with one field set or, with `REMOVED`, taken away: ``spec.autoScaling.metrics[0].threshold``."""
    result = copy.deepcopy(manifest)
    *parents, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    node: Any = result
    for part in parents:
        node = node[part]
    if value is REMOVED:
        del node[last]
    else:
        node[last] = value
    return result


@dataclass(frozen=True)
class Broken:
    """A full manifest with one fault.

    Attributes:
        name: What is wrong, for people.
        manifest: The object.
        field: Whom the message must blame.
        says: Words the message must hold: the value and the bound.
        server_says: The same for the API server, where its own words differ (types, patterns, unknown fields).
    """

    name: str
    manifest: Manifest
    field: str
    says: tuple[str, ...]
    server_says: tuple[str, ...]


def _broken(name: str, path: str, value: object, *says: str, **more: Any) -> Broken:
    kind = more.get("kind", "WorkloadOptimizer")
    manifest = changed(FULL[kind], path, value)
    for also, other in more.get("also", {}).items():
        manifest = changed(manifest, also, other)
    return Broken(name, manifest, more.get("field", path), says, more.get("server", says))


AS = "spec.autoScaling"
LONG = "x" * 3000


def _metric(**fields: object) -> list[dict[str, object]]:
    return [fields]


BROKEN = [
    # unknown fields and wrong types
    _broken("unknown field in spec", "spec.workloadTyp", "serving", "unknown", "workloadType", server=("unknown",)),
    _broken("unknown field in autoScaling", f"{AS}.minReplica", 2, "unknown", "minReplicas", server=("unknown",)),
    _broken("unknown field in a metric", f"{AS}.metrics[0].treshold", 2, "unknown", "threshold", server=("unknown",)),
    _broken("text for a number", f"{AS}.maxReplicas", "ten", '"ten"', "integer", server=("integer", "string")),
    _broken("number for text", "spec.workloadType", 3, "3", "string", server=("string", "integer")),
    _broken("half a replica", f"{AS}.maxReplicas", 2.5, "2.5", "integer", server=("integer", "number")),
    _broken("text for a switch", "spec.costConstraints.preferSpot", "yes", '"yes"', "boolean", server=("boolean",)),
    _broken("a list for an object", "spec.resources", ["gpu"], "a list", "object", server=("object", "array")),
    # required
    _broken("no maxReplicas", f"{AS}.maxReplicas", REMOVED, "required", server=("Required",)),
    _broken("null maxReplicas", f"{AS}.maxReplicas", None, "required", server=("Required",)),
    _broken("no threshold", f"{AS}.metrics[0].threshold", REMOVED, "required", server=("Required",)),
    _broken("no spec", "spec", REMOVED, "required", server=("Required",)),
    _broken("no target name", "spec.targetRef.name", REMOVED, "required", server=("Required",)),
    # bounds
    _broken("priority above 100", "spec.priority", 101, "101", "100"),
    _broken("negative priority", "spec.priority", -1, "-1", "0"),
    _broken("negative replicas", f"{AS}.minReplicas", -1, "-1", "0"),
    _broken("asleep with a signal of the pods", f"{AS}.minReplicas", 0, "0", "end with them", "nginx"),
    _broken(
        "asleep without a signal",
        f"{AS}.minReplicas",
        0,
        "none is set",
        "demand.query",
        also={f"{AS}.demand": REMOVED},
    ),
    _broken("a million replicas", f"{AS}.maxReplicas", 1_000_000, "1000000", "10000", server=("1000000", "10000")),
    _broken("negative cost cap", "spec.costConstraints.maxCostPerHour", -5.5, "-5.5", "0"),
    _broken("zero cost cap", "spec.costConstraints.maxCostPerHour", 0, "0", "greater than 0"),
    _broken("negative power cap", "spec.powerConstraints.maxPowerUsage", -100, "-100", "0"),
    _broken("negative budget", "spec.costConstraints.budgetLimit", -1, "-1", "0"),
    _broken("negative gpus", "spec.resources.gpu", -2, "-2", "0"),
    _broken("weight 0", "spec.placementPolicy.affinity[0].weight", 0, "0", "1"),
    _broken("weight 101", "spec.placementPolicy.affinity[1].weight", 101, "101", "100"),
    _broken("quantile 1", f"{AS}.forecast.quantile", 1.0, "1", "less than 1"),
    _broken("quantile of one half", f"{AS}.forecast.quantile", 0.5, "0.5", "greater than 0.5"),
    _broken("violations always", f"{AS}.forecast.maxViolationRatio", 0.9, "0.9", "0.5"),
    _broken("unknown model", f"{AS}.forecast.model", "ARIMA", '"ARIMA"', "SARIMAX"),
    _broken("a model that nobody hears", f"{AS}.forecast.enabled", False, "AutoReg", field=f"{AS}.forecast.model"),
    _broken("window of 2 h", f"{AS}.behavior.scaleDown.stabilizationWindowSeconds", 7200, "7200", "3600"),
    _broken("period of 1 h", f"{AS}.behavior.scaleUp.policies[0].periodSeconds", 3600, "3600", "1800"),
    _broken("negative tolerance", f"{AS}.behavior.scaleUp.tolerance", -0.1, "-0.1", "0"),
    _broken("no lead time", f"{AS}.leadTimeSeconds", 0, "0", "1"),
    _broken("no capacity", f"{AS}.capacityPerReplica", 0, "0", "greater than 0"),
    _broken("savings above 100 %", "spec.placementPolicy.migration.minSavingsPercent", 150, "150", "100"),
    # words
    _broken("unknown workload type", "spec.workloadType", "training-job", "training-job", "streaming"),
    _broken("unknown mode", f"{AS}.mode", "auto", '"auto"', "Recommend"),
    _broken("unknown metric", f"{AS}.metrics[0].type", "latencyy", "latencyy", "latency"),
    _broken("unknown preset", f"{AS}.demand.preset", "vlm", "vlm", "vllm"),
    _broken("unknown budget period", "spec.costConstraints.budgetPeriod", "Yearly", "Yearly", "Monthly"),
    _broken("unknown selectPolicy", f"{AS}.behavior.scaleUp.selectPolicy", "Average", "Average", "Disabled"),
    # patterns and lengths
    _broken("cpu that is no quantity", "spec.resources.cpu", "16 cores", "16 cores", "500m", server=("16 cores",)),
    _broken("no cpu at all", "spec.resources.cpu", "0", "0", "greater than 0"),
    _broken("half a core unquoted", "spec.resources.cpu", 0.5, "0.5", "integer or string", server=("number",)),
    _broken("negative memory", "spec.resources.memory", "-1Gi", "-1Gi", "greater than 0"),
    _broken("more than all", "spec.placementPolicy.migration.maxUnavailable", "110%", "110%", "100", server=("110%",)),
    _broken(
        "blank query",
        f"{AS}.metrics",
        _metric(type="queue", threshold=1, query="  "),
        "blank",
        server=(r"\S",),
        field=f"{AS}.metrics[0].query",
    ),
    _broken(
        "endless query",
        f"{AS}.metrics",
        _metric(type="queue", threshold=1, query=LONG),
        "2048",
        field=f"{AS}.metrics[0].query",
    ),
    _broken("no rates", f"{AS}.behavior.scaleUp.policies", [], "0", "1"),
    _broken(
        "a label value with a blank",
        "spec.placementPolicy.nodeSelector",
        {"zone": "a b"},
        "a b",
        field="spec.placementPolicy.nodeSelector.zone",
    ),
    _broken("a label key with blanks", "spec.placementPolicy.nodeSelector", {"a b": "x"}, '["a b"]', "317"),
    _broken("a long name", "metadata.name", "n" * 64, "64", "63", field=""),
    # several fields of one object
    _broken("min above max", f"{AS}.minReplicas", 30, "30", "24", also={f"{AS}.fallback": REMOVED}),
    _broken("fallback above max", f"{AS}.fallback.replicas", 25, "25", "24"),
    _broken("fallback below min", f"{AS}.fallback.replicas", 1, "1", "2"),
    _broken("gpu utilization above 100", f"{AS}.metrics[0].threshold", 180, "180", "100"),
    _broken("quantile of a utilization", f"{AS}.metrics[0].quantile", 0.9, "0.9", "gpu", "latency"),
    _broken("query on a ceiling", f"{AS}.metrics[1].query", "up", "query", "cost"),
    _broken("cost above 100 %", f"{AS}.metrics[1].threshold", 120, "120", "80.5", "100", field=f"{AS}.metrics"),
    _broken(
        "power above its cap",
        f"{AS}.metrics[1]",
        {"type": "power", "threshold": 6500.5},
        "6500.5",
        "6000",
        field=f"{AS}.metrics",
    ),
    _broken("a metric twice", f"{AS}.metrics[1]", {"type": "gpu", "threshold": 60}, "gpu"),
    _broken("preset and query", f"{AS}.demand.query", "up", "exactly one", "both", field=f"{AS}.demand"),
    _broken("no demand source", f"{AS}.demand", {}, "exactly one", "neither"),
    _broken(
        "labels without preset",
        f"{AS}.demand",
        {"query": "up", "labels": {"a": "b"}},
        "preset",
        field=f"{AS}.demand.labels",
    ),
    _broken("a label that PromQL has not", f"{AS}.demand.labels", {"model-name": "x"}, '["model-name"]'),
    _broken(
        "a placeholder nobody knows",
        f"{AS}.demand",
        {"query": 'x{ns="{{ns}}"}'},
        "{{ns}}",
        "{{namespace}}",
        field=f"{AS}.demand.query",
    ),
    _broken(
        "period without budget",
        "spec.costConstraints.budgetLimit",
        REMOVED,
        "Weekly",
        "budgetLimit",
        field="spec.costConstraints.budgetPeriod",
    ),
    _broken(
        "a device without a count",
        "spec.resources.gpu",
        0,
        "nvidia.com/mig-3g.40gb",
        "1",
        field="spec.resources.gpuResourceName",
    ),
    _broken(
        "a kind that apps/v1 has not",
        "spec.targetRef.apiVersion",
        "apps/v1",
        "LeaderWorkerSet",
        "Deployment",
        field="spec.targetRef.kind",
    ),
    _broken("Exists with a value", "spec.placementPolicy.tolerations[0].value", "x", "x", "Exists"),
    _broken(
        "Equal without a key",
        "spec.placementPolicy.tolerations[1].key",
        REMOVED,
        "Equal",
        "Exists",
        field="spec.placementPolicy.tolerations[1]",
    ),
    _broken(
        "seconds without NoExecute",
        "spec.placementPolicy.tolerations[1].effect",
        "NoSchedule",
        "300",
        "NoExecute",
        field="spec.placementPolicy.tolerations[1].tolerationSeconds",
    ),
    # CostPolicy
    _broken("spot share above 100", "spec.spotInstancePolicy.maxSpotPercentage", 101, "101", "100", kind="CostPolicy"),
    _broken("negative spot share", "spec.spotInstancePolicy.maxSpotPercentage", -1, "-1", "0", kind="CostPolicy"),
    _broken("negative price", "spec.resourceCostPolicy.gpuCostPerHour", -2.5, "-2.5", "0", kind="CostPolicy"),
    _broken("no price", "spec.resourceCostPolicy", {}, "gpuCostPerHour", kind="CostPolicy"),
    _broken("a policy of nothing", "spec", {"namespaceSelector": {}}, "costPerHourLimit", kind="CostPolicy"),
    _broken(
        "an alert on no budget",
        "spec.monthlyBudget",
        REMOVED,
        "budget_usage",
        "monthlyBudget",
        kind="CostPolicy",
        also={"spec.budgetLimit": REMOVED},
        field="spec.alertThresholds",
    ),
    _broken("an increase to less", "spec.alertThresholds[1].value", 0.5, "0.5", "1", kind="CostPolicy"),
    _broken(
        "an action of power policies",
        "spec.alertThresholds[0].action",
        "migrate",
        "migrate",
        "scale_down",
        kind="CostPolicy",
    ),
    _broken(
        "In without values",
        "spec.workloadSelector.matchExpressions[0].values",
        [],
        "NotIn",
        "one",
        "tier",
        field="spec.workloadSelector.matchExpressions[0]",
        kind="CostPolicy",
    ),
    _broken(
        "Exists with values",
        "spec.workloadSelector.matchExpressions[0].operator",
        "Exists",
        "Exists",
        "1",
        field="spec.workloadSelector.matchExpressions[0]",
        kind="CostPolicy",
    ),
    # PowerPolicy
    _broken("zero power", "spec.maxPowerUsage", 0, "0", "greater than 0", kind="PowerPolicy"),
    _broken(
        "green above 100", "spec.greenEnergyPolicy.minGreenEnergyPercentage", 120, "120", "100", kind="PowerPolicy"
    ),
    _broken(
        "green without a goal",
        "spec.greenEnergyPolicy",
        {"enabled": True},
        "minGreenEnergyPercentage",
        field="spec.greenEnergyPolicy.enabled",
        kind="PowerPolicy",
    ),
    _broken(
        "peaks without hours",
        "spec.powerSchedulingPolicy.peakPowerHours",
        [],
        "peakPowerHours",
        field="spec.powerSchedulingPolicy.peakPowerAvoidance",
        kind="PowerPolicy",
    ),
    _broken("hour 25", "spec.powerSchedulingPolicy.peakPowerHours[1]", "18-25", "18-25", kind="PowerPolicy"),
    _broken(
        "an alert on no cap",
        "spec.maxPowerUsage",
        REMOVED,
        "power_usage",
        "maxPowerUsage",
        field="spec.powerAlertThresholds",
        kind="PowerPolicy",
    ),
    _broken(
        "unknown allocation",
        "spec.powerSchedulingPolicy.powerBudgetAllocation",
        "fair",
        "fair",
        "equal",
        kind="PowerPolicy",
    ),
    _broken("a policy that limits nothing", "spec", {"workloadSelector": {}}, "maxPowerUsage", kind="PowerPolicy"),
    _broken(
        "a selector key with blanks",
        "spec.workloadSelector.matchLabels",
        {"a b": "x"},
        '["a b"]',
        "317",
        kind="PowerPolicy",
    ),
    _broken(
        "an NPU without a count",
        "spec.resources.npuResourceName",
        "furiosa.ai/rngd",
        "furiosa.ai/rngd",
        "npu to at least 1",
    ),
]
