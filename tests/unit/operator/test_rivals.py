from kcloud_autoscale.domain.observation import Observation, TargetObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.workload import Mode, TargetRef, WorkloadKey
from kcloud_autoscale.operator.rivals import mark_rivals


def conflicts(*workloads: tuple[str, float, Mode, str]) -> dict[str, str | None]:
    """(name, created, mode, uid of the target) each -> conflict by name."""
    policies, seen = {}, {}
    for name, created, mode, uid in workloads:
        key = WorkloadKey("ai", name)
        policies[key] = WorkloadPolicy(key, mode=mode, created_seconds=created)
        seen[key] = WorkloadObservation(key, TargetObservation(TargetRef("apps/v1", "Deployment", "d"), uid, "1", 1))
    marked = mark_rivals(Observation(0.0, seen), FleetPolicy(policies))
    return {key.name: one.conflict for key, one in marked.workloads.items()}


def test_the_older_serves_whatever_their_order():
    expected = {"b": None, "a": "WorkloadOptimizer b"}
    assert conflicts(("a", 20.0, Mode.AUTO, "t"), ("b", 10.0, Mode.AUTO, "t")) == expected
    assert conflicts(("b", 10.0, Mode.AUTO, "t"), ("a", 20.0, Mode.AUTO, "t")) == expected


def test_of_the_same_age_the_first_by_name_serves():
    assert conflicts(("b", 1.0, Mode.AUTO, "t"), ("a", 1.0, Mode.AUTO, "t")) == {"a": None, "b": "WorkloadOptimizer a"}


def test_those_who_only_look_do_not_compete():
    assert conflicts(("a", 1.0, Mode.RECOMMEND, "t"), ("b", 2.0, Mode.AUTO, "t")) == {"a": None, "b": None}


def test_different_targets_do_not_conflict():
    assert conflicts(("a", 1.0, Mode.AUTO, "t"), ("b", 2.0, Mode.AUTO, "u")) == {"a": None, "b": None}
