"""Informers without an API server: their copies filled by hand."""

from __future__ import annotations

from kubernetes.aio.client import ApiClient, Configuration

from kcloud_autoscale.domain.observation import PodObservation
from kcloud_autoscale.domain.workload import TargetRef
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.objects import Pod, Requests, Scalable
from kcloud_autoscale.observe.selectors import from_object


def filled_informers(count: int, pods_each: int, namespace: str = "ai", name: str = "w{:05d}") -> Informers:
    """So many Deployments ``w00000`` … with ready pods of one GPU each."""
    informers = Informers(ApiClient(Configuration(host="http://127.0.0.1:9")))
    pods, deployments = informers._pods[""], informers._scalables["Deployment"][""]
    for index in range(count):
        each = name.format(index)
        ref = TargetRef("apps/v1", "Deployment", each)
        selector = from_object({"matchLabels": {"app": each}})
        deployments.objects[namespace, each] = Scalable(ref, f"uid-{each}", "7", pods_each, selector)
        labels = {"app": each, "pod-template-hash": "6d9f7c5b8"}
        for pod_index in range(pods_each):
            pod_name = f"{each}-6d9f7c5b8-bbbb{'bcdfghjk'[pod_index]}"
            seen = PodObservation(pod_name, 1000.0, ready_seconds=1060.0, node="n1")
            pods.objects[namespace, pod_name] = Pod(seen, labels, Requests(4.0, 2e9, (("nvidia.com/gpu", 1),)), None)
    for informer in informers._all():
        informer.listed.set()
    return informers
