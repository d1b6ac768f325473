from __future__ import annotations

import re

import pytest

from kcloud_autoscale.domain.observation import PodObservation, Pods, TargetObservation
from kcloud_autoscale.domain.reading import AtLeast, Missing, MissingReason, Sample
from kcloud_autoscale.domain.workload import TargetRef
from kcloud_autoscale.observe.objects import Pod, Requests
from kcloud_autoscale.observe.promql import pod_names, with_matcher
from kcloud_autoscale.observe.sampled_pods import SampledPods, compared, ready_since
from kcloud_autoscale.observe.targets import Target

NOW = 10_000.0


def a_target(*pods: PodObservation, kind: str = "Deployment") -> Target:
    seen = TargetObservation(TargetRef("apps/v1", kind, "llm"), "uid", "1", len(pods), Pods(pods))
    return Target(seen, tuple(Pod(each, {}, Requests(), None) for each in pods))


def ready(name: str, since: float = 0.0, deleting: bool = False) -> PodObservation:
    return PodObservation(name, 0.0, since, "n1", deleting=deleting)


def test_only_pods_that_have_been_ready_for_a_while_must_have_samples():
    target = a_target(
        ready("llm-a"),
        ready("llm-young", NOW - 10.0),
        ready("llm-leaving", deleting=True),
        PodObservation("llm-starting", 0.0, None, "n1"),
    )
    assert ready_since(target, NOW - 45.0) == ["llm-a"]
    assert ready_since(target, NOW - 5.0) == ["llm-a", "llm-young"]


def test_of_a_group_of_pods_the_leader_speaks():
    pods = [ready(name) for name in ("llm-0", "llm-0-1", "llm-0-2", "llm-1", "llm-1-1")]
    assert ready_since(a_target(*pods, kind="LeaderWorkerSet"), NOW) == ["llm-0", "llm-1"]
    assert len(ready_since(a_target(*pods, kind="StatefulSet"), NOW)) == 5


@pytest.mark.parametrize(
    ("sampled", "scraped", "silent"),
    [
        ({"llm-a", "llm-b"}, set(), ()),
        ({"llm-a"}, set(), ("llm-b",)),
        ({"llm-a"}, {"llm-b"}, ()),  # scraped, and nobody has asked it anything
        # One that is on its way out still counts for telling that the source names pods, and for nobody else.
        ({"llm-old"}, set(), ("llm-a", "llm-b")),
        ({"gateway-1"}, set(), ()),  # the source names other pods: nobody is suspected
        (set(), set(), ()),
    ],
)
def test_who_is_silent(sampled, scraped, silent):
    target = a_target(ready("llm-a"), ready("llm-b"), ready("llm-old", deleting=True))
    found = compared(target, ready_since(target, NOW), sampled, scraped)
    assert (found.silent, found.names) == (len(silent), silent)


def test_a_reading_with_silent_pods_behind_it_is_a_bound():
    read = Sample(26.6, NOW, "demand (vllm)")
    bound = SampledPods(6, 2, ("llm-a", "llm-b"), told=True).bound(read)
    assert bound == AtLeast(
        26.6, NOW, "demand (vllm)", MissingReason.PARTIAL_SAMPLES,
        "4 of 6 Ready pods have samples; none of llm-a, llm-b",
    )  # fmt: skip
    assert SampledPods(6, 5, tuple("abcde"), told=True).bound(read).message.endswith("none of a, b, c, …")  # type: ignore[union-attr]
    assert SampledPods(6).bound(read) is read
    missing = Missing(MissingReason.NO_DATA)
    assert SampledPods(6, 2).bound(missing) is missing
    assert isinstance(SampledPods(failed="timed out").bound(read), AtLeast)


def test_the_names_of_pods_make_one_short_pattern():
    names = ["llm-6d9f7c5b8-x2k4z", "llm-6d9f7c5b8-bbbbb", "llm-0", "one.two", "odd"]
    pattern = pod_names(names)
    assert pattern.count("6d9f7c5b8") == 1
    assert all(re.fullmatch(pattern, name) for name in names)
    assert not any(re.fullmatch(pattern, name) for name in ("llm-6d9f7c5b8-x2k4", "oneXtwo", "llm-00", "llm-odd"))


@pytest.mark.parametrize(
    ("selector", "narrowed"),
    [
        ("up", 'up{pod="a"}'),
        ("up{}", 'up{pod="a"}'),
        ('up{job="a"}', 'up{job="a", pod="a"}'),
        ('{__name__="up", }', '{__name__="up", pod="a"}'),
    ],
)
def test_a_matcher_joins_those_of_a_selector(selector, narrowed):
    assert with_matcher(selector, 'pod="a"') == narrowed
