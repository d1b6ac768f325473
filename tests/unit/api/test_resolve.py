from __future__ import annotations

from typing import get_args

import pytest

from kcloud_autoscale.api.autoscaling import ForecastSpec
from kcloud_autoscale.api.resolve import ResourceNames, parse, resolve_workload
from kcloud_autoscale.api.v1alpha1 import WorkloadOptimizer
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import (
    MODELS,
    BaselineKind,
    BudgetPeriod,
    Caps,
    Ceiling,
    DemandSource,
    Fallback,
    ForecastPolicy,
    MetricKind,
    MetricTarget,
    PolicySelect,
    RatePolicy,
    WorkloadPolicy,
    default_scale_down,
    default_scale_up,
)
from kcloud_autoscale.domain.workload import Mode, TargetRef, WorkloadKey, WorkloadType
from kcloud_autoscale.forecast.registry import ASKED
from tests.builders.manifests import BROKEN, FULL, REMOVED, Manifest, changed, example


def resolved(manifest: Manifest, names: ResourceNames | None = None) -> WorkloadPolicy:
    optimizer = parse(manifest)
    assert isinstance(optimizer, WorkloadOptimizer)
    return resolve_workload(optimizer, names)


def minimal(**scaling: object) -> WorkloadPolicy:
    return resolved(
        {
            "apiVersion": "kcloud.io/v1alpha1",
            "kind": "WorkloadOptimizer",
            "metadata": {"name": "llm"},
            "spec": {"autoScaling": {"maxReplicas": 10, **scaling}},
        }
    )


def test_ml_training_of_the_original_design():
    policy = resolved(example("original/ml-training-optimizer.yaml"))
    assert policy.workload_type is WorkloadType.TRAINING
    assert (policy.priority, policy.min_replicas, policy.max_replicas, policy.mode) == (80, 1, 10, Mode.AUTO)
    assert policy.resources.cpu_cores == 16.0
    assert policy.resources.memory_bytes == 64 * 2**30
    assert policy.resources.accelerators == (("nvidia.com/gpu", 4),)  # npu: 0 holds none
    assert policy.caps == Caps(50.0, 2000.0, 1200.0, BudgetPeriod.TOTAL)
    assert policy.targets == ()
    # 80 % of 50 $/h are 40 $/h; power is in watts as it stands.
    assert policy.ceilings == (Ceiling("cost", 40.0), Ceiling("power", 1800.0))


def test_bert_training_has_no_auto_scaling_and_is_never_scaled():
    assert resolved(example("original/bert-training.yaml")).mode is Mode.OFF


def test_llm_serving_holds_100_ms():
    policy = resolved(example("original/llm-serving.yaml"))
    assert policy.targets == (MetricTarget("latency", MetricKind.VALUE, 0.1, 0.95),)
    assert (policy.min_replicas, policy.max_replicas) == (2, 20)


def test_every_model_that_may_be_asked_for_can_be_fitted():
    offered = {name for each in get_args(ForecastSpec.model_fields["model"].annotation) for name in get_args(each)}
    assert offered == set(MODELS) == set(ASKED)


def test_everything_that_a_full_manifest_says_arrives():
    policy = resolved(FULL["WorkloadOptimizer"])
    assert policy.target == TargetRef("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "speech-lws")
    assert policy.workload_type is WorkloadType.STREAMING
    assert policy.resources.accelerators == (("nvidia.com/mig-3g.40gb", 1),)
    assert policy.caps == Caps(80.5, 6000.0, 1500.0, BudgetPeriod.WEEKLY)
    assert policy.targets == (MetricTarget("gpu", MetricKind.UTILIZATION, 0.75),)
    assert policy.ceilings == (Ceiling("cost", pytest.approx(72.45)),)  # 90 % of 80.5 $/h
    assert policy.demand == DemandSource(preset="http")
    assert policy.forecast == ForecastPolicy(True, 0.97, 0.01, "AutoReg")
    assert policy.scale_up.policies == (RatePolicy(60.0, percent=100), RatePolicy(60.0, pods=4))
    assert policy.scale_up.tolerance_fraction == 0.05
    assert policy.scale_down.stabilization_window_seconds == 900.0
    assert policy.scale_down.select is PolicySelect.MIN
    assert policy.fallback == Fallback(8, 300.0)
    assert (policy.lead_time_seconds, policy.capacity_per_replica) == (180.0, 35.5)
    assert policy.baseline is BaselineKind.STATIC


def test_defaults_are_those_of_the_domain():
    policy = minimal()
    assert policy == WorkloadPolicy(key=WorkloadKey("default", "llm"), max_replicas=10)


def test_identity_comes_from_the_metadata():
    identity = {"name": "speech", "namespace": "shop", "uid": "u-1", "generation": 7}
    created = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    policy = resolved(changed(FULL["WorkloadOptimizer"], "metadata", identity | created))
    assert (str(policy.key), policy.uid, policy.generation) == ("shop/speech", "u-1", 7)
    assert policy.created_seconds == 1_767_225_600.0  # 2026-01-01 is day 20,454: 20,454 x 86,400 s


def test_behavior_is_completed_field_by_field():
    policy = minimal(behavior={"scaleDown": {"stabilizationWindowSeconds": 0}, "scaleUp": {"selectPolicy": "Disabled"}})
    assert policy.scale_down.stabilization_window_seconds == 0.0
    assert policy.scale_down.policies == default_scale_down().policies
    assert policy.scale_up.select is PolicySelect.DISABLED
    assert policy.scale_up.policies == default_scale_up().policies


def test_inference_is_serving():
    manifest = changed(FULL["WorkloadOptimizer"], "spec.workloadType", "inference")
    assert resolved(manifest).workload_type is WorkloadType.SERVING


def test_a_cost_ceiling_without_a_cap_is_in_dollars():
    manifest = changed(FULL["WorkloadOptimizer"], "spec.costConstraints.maxCostPerHour", REMOVED)
    assert resolved(manifest).ceilings == (Ceiling("cost", 90.0),)


@pytest.mark.parametrize(
    ("kind", "threshold", "base", "query"),
    [
        ("latency", 200, 0.2, "(\nq # note\n) / 1000"),
        ("gpu", 70, 0.7, "(\nq # note\n) / 100"),
        ("queue", 4, 4.0, "q # note"),
    ],
)
def test_thresholds_and_own_queries_come_in_base_units(kind, threshold, base, query):
    (target,) = minimal(metrics=[{"type": kind, "threshold": threshold, "query": "q # note"}]).targets
    assert (target.threshold, target.query) == (base, query)


def test_a_requests_metric_is_demand_and_capacity_where_nothing_else_is_said():
    requests = {"type": "requests", "threshold": 25, "query": "q"}
    policy = minimal(metrics=[requests])
    assert (policy.demand, policy.capacity_per_replica) == (DemandSource(query="q"), 25.0)
    assert minimal(metrics=[requests], capacityPerReplica=30).capacity_per_replica == 30.0
    # Demand in a unit of its own (tokens, say) is not served at 25 per second.
    assert minimal(metrics=[requests], demand={"query": "tokens"}).capacity_per_replica is None
    # A latency target may allow a replica less than its 25 requests.
    assert minimal(metrics=[requests, {"type": "latency", "threshold": 100}]).capacity_per_replica is None


def test_labels_of_a_preset_are_exact_matches_in_order():
    policy = minimal(demand={"preset": "vllm", "labels": {"model_name": "m", "engine": "0"}})
    assert policy.demand == DemandSource("vllm", None, (("engine", "0"), ("model_name", "m")))


def test_npus_take_the_first_name_of_the_operators_list():
    manifest = changed(FULL["WorkloadOptimizer"], "spec.resources", {"npu": 2, "cpu": "500m"})
    policy = resolved(manifest, ResourceNames(npu=("furiosa.ai/warboy", "furiosa.ai/rngd")))
    assert policy.resources.accelerators == (("furiosa.ai/warboy", 2),)
    assert (policy.resources.cpu_cores, policy.resources.memory_bytes) == (0.5, None)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_nothing_broken_is_resolved(broken):
    with pytest.raises(ConfigError, match=r"\S"):
        parse(broken.manifest)


def test_a_status_of_another_release_or_metadata_of_another_kubernetes_does_not_stop_an_object():
    stored = changed(FULL["WorkloadOptimizer"], "status", {"phase": "Splendid", "mood": "good"})
    stored = changed(stored, "metadata.fieldOfTomorrow", 1)
    assert resolved(stored).max_replicas == 24


@pytest.mark.parametrize("metadata", [None, {}, {"name": None}, "x"])
def test_an_object_without_a_name_is_refused(metadata):
    with pytest.raises(ConfigError, match="name"):
        parse(changed(FULL["WorkloadOptimizer"], "metadata", metadata))
