"""Namespaces where nothing is scaled: which they are, and what is said of a workload in one."""

from __future__ import annotations

from typing import Any

import pytest

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from kcloud_autoscale.operator.deletion import hold
from kcloud_autoscale.operator.exclusion import excluding, exclusion
from kcloud_autoscale.operator.fleet import Fleet, FleetReader
from kcloud_autoscale.operator.handlers import FINALIZER
from kcloud_autoscale.operator.settings import load_settings
from kcloud_autoscale.operator.store import OPTIMIZERS, ObjectStore
from tests.fakes.rest import FakeRest
from tests.unit.operator.objects import deleted, optimizer

URL = {"PROMETHEUS_URL": "http://prometheus"}
DNS = WorkloadKey("kube-system", "llm")
PATH = "/apis/kcloud.io/v1alpha1/namespaces/kube-system/workloadoptimizers/llm"


def read(*bodies: dict[str, Any], excluded: str = "kube-*") -> Fleet:
    store = ObjectStore()
    for body in bodies:
        body["metadata"]["namespace"] = DNS.namespace
        store.put(OPTIMIZERS, body)
    return FleetReader(load_settings({**URL, "EXCLUDED_NAMESPACES": excluded})).read(store)


@pytest.mark.parametrize(
    ("namespace", "pattern"),
    [
        ("kube-system", "kube-*"),
        ("kube-", "kube-*"),
        ("kcloud-system", "kcloud-system"),
        ("kube", None),
        ("my-kube-system", None),
        ("kcloud-system-2", None),
    ],
)
def test_a_pattern_covers_whole_names(namespace: str, pattern: str | None) -> None:
    assert excluding(namespace, ("kube-*", "kcloud-system")) == pattern


def test_the_namespaces_of_cluster_and_operator_are_excluded_unless_set() -> None:
    assert load_settings(URL).excluded_namespaces == ("kube-*",)
    in_a_pod = {**URL, "POD_NAMESPACE": "scaling"}
    assert load_settings(in_a_pod).excluded_namespaces == ("kube-*", "scaling")
    assert load_settings({**in_a_pod, "EXCLUDED_NAMESPACES": "a, b-*"}).excluded_namespaces == ("a", "b-*")
    assert load_settings({**in_a_pod, "EXCLUDED_NAMESPACES": "-"}).excluded_namespaces == ()


@pytest.mark.parametrize("raw", ["kube_system", "a,-", "Kube-*", "{{ .Release.Namespace }}", "[a]"])
def test_what_is_no_namespace_stops_the_start(raw: str) -> None:
    with pytest.raises(ConfigError, match="EXCLUDED_NAMESPACES"):
        load_settings({**URL, "EXCLUDED_NAMESPACES": raw})


def test_an_optimizer_in_one_only_recommends_and_says_which_pattern_names_it() -> None:
    fleet = read(optimizer())
    assert fleet.policy.workloads[DNS].mode is Mode.RECOMMEND
    (fact,) = exclusion(DNS, fleet.excluded)
    assert (fact.type, fact.status, fact.reason) == ("Ready", False, "NamespaceExcluded")
    assert all(word in fact.message for word in ("namespace kube-system", "excludedNamespaces", "names kube-*"))
    allowed = read(optimizer(), excluded="-")
    assert allowed.policy.workloads[DNS].mode is Mode.AUTO
    assert exclusion(DNS, allowed.excluded) == ()


def test_one_that_scales_nothing_anyway_is_not_complained_of() -> None:
    recommending = {"minReplicas": 1, "maxReplicas": 2, "mode": "Recommend", "demand": {"query": "sum(load)"}}
    assert read(optimizer(autoScaling=recommending)).excluded == {}
    assert read(optimizer(autoScaling=None)).excluded == {}


async def test_what_was_adopted_before_its_namespace_was_excluded_is_let_go_and_not_restored() -> None:
    rest = FakeRest({PATH: {"metadata": {}}})
    held = optimizer(deletionPolicy="Restore")
    held["metadata"]["finalizers"] = [FINALIZER]
    assert await hold(rest, read(held)) == frozenset()
    assert rest.written("PATCH")[-1]["metadata"]["finalizers"] == []
    leaving = read(deleted(optimizer(deletionPolicy="Restore"), FINALIZER)).policy.workloads[DNS]
    assert (leaving.mode, leaving.restoring) == (Mode.OFF, False)
    recommending = {"minReplicas": 1, "maxReplicas": 2, "mode": "Recommend", "demand": {"query": "sum(load)"}}
    body = deleted(optimizer(deletionPolicy="Restore", autoScaling=recommending), FINALIZER)
    assert not read(body).policy.workloads[DNS].restoring
    assert read(body, excluded="-").policy.workloads[DNS].restoring
