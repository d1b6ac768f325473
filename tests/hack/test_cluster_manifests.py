"""Flags, manifests, kubeconfigs, ports and processes, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hack.cluster.control_plane import STAGES_DIRECTORY, HpaTiming
from hack.cluster.errors import ClusterError
from hack.cluster.kubeconfig import certificate_user, write_kubeconfig
from hack.cluster.nodes import Node, metrics_api, parse_taint
from hack.cluster.ports import FIRST_PORT, LAST_PORT, Ports
from hack.cluster.prometheus import merge_flags


def test_hpa_periods_are_flags_in_milliseconds() -> None:
    flags = HpaTiming(sync_seconds=0.5, downscale_stabilization_seconds=30, tolerance=0.05).flags()
    assert "--horizontal-pod-autoscaler-sync-period=500ms" in flags
    assert "--horizontal-pod-autoscaler-downscale-stabilization=30000ms" in flags
    assert "--horizontal-pod-autoscaler-tolerance=0.05" in flags


def test_a_node_has_the_devices_named_and_the_rest_of_a_large_server() -> None:
    manifest = Node("npu-0", {"furiosa.ai/rngd": 4, "cpu": "64"}, labels={"pool": "npu"}).manifest()
    assert manifest["status"]["allocatable"] == manifest["status"]["capacity"]
    assert manifest["status"]["allocatable"] == {
        "furiosa.ai/rngd": "4",
        "cpu": "64",
        "memory": "1024Gi",
        "ephemeral-storage": "1Ti",
        "pods": "110",
    }
    assert manifest["metadata"]["labels"]["pool"] == "npu"


@pytest.mark.parametrize(
    ("text", "taint"),
    [
        ("nvidia.com/gpu=present:NoSchedule", {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}),
        ("spot:NoExecute", {"key": "spot", "effect": "NoExecute"}),
    ],
)
def test_taints_read_as_kubectl_reads_them(text: str, taint: dict[str, str]) -> None:
    assert parse_taint(text) == taint


def test_a_metrics_api_is_a_name_for_localhost() -> None:
    service, api = metrics_api("external.metrics.k8s.io", "v1beta1", "load", "kube-system", 8443, "Q0E=")
    assert service["spec"]["externalName"] == "localhost"
    assert api["metadata"]["name"] == "v1beta1.external.metrics.k8s.io"
    assert api["spec"]["service"] == {"name": "load", "namespace": "kube-system", "port": 8443}
    assert api["spec"]["caBundle"] == "Q0E="


def test_a_given_flag_replaces_the_default_of_its_name() -> None:
    defaults = {"--storage.tsdb.retention.time": "400d", "--web.enable-lifecycle": ""}
    assert merge_flags(defaults, ["--storage.tsdb.retention.time=1h", "--log.level=info"]) == [
        "--web.enable-lifecycle",
        "--storage.tsdb.retention.time=1h",
        "--log.level=info",
    ]


def test_a_kubeconfig_is_private_and_readable_as_yaml(tmp_path: Path) -> None:
    user = certificate_user(tmp_path, "admin")
    path = write_kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, user)
    assert path.stat().st_mode & 0o777 == 0o600
    content = yaml.safe_load(path.read_text())
    assert content == json.loads(path.read_text())
    assert content["users"][0]["user"]["client-key"] == str(tmp_path / "admin.key")


def test_stages_cover_nodes_and_the_life_of_a_pod_without_random_delays() -> None:
    """Delays are exact unless an annotation asks for jitter, so that lead times in tests are what was written."""
    stages = {file.stem: yaml.safe_load(file.read_text()) for file in STAGES_DIRECTORY.glob("*.yaml")}
    pods = {name for name, stage in stages.items() if stage["spec"]["resourceRef"]["kind"] == "Pod"}
    assert {"pod-create", "pod-ready", "pod-complete", "pod-delete"} < pods
    assert set(stages) - pods == {"node-initialize", "node-heartbeat"}
    for name in pods:
        delay = stages[name]["spec"]["delay"]
        assert "jitterDurationMilliseconds" not in delay
        assert delay["durationFrom"]["expressionFrom"] == f'.metadata.annotations["{name}.stage.kwok.x-k8s.io/delay"]'


def test_ports_are_distinct_below_the_ephemeral_range_and_given_back() -> None:
    first, second = Ports(), Ports()
    reserved = [first.reserve(), first.reserve(), second.reserve()]
    assert len(set(reserved)) == 3
    assert all(FIRST_PORT <= port <= LAST_PORT < 32_768 for port in reserved)
    first.release()
    second.release()


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    holder, other = Ports(), Ports()
    port = holder.reserve()
    monkeypatch.setattr("hack.cluster.ports.FIRST_PORT", port)
    monkeypatch.setattr("hack.cluster.ports.LAST_PORT", port)
    with pytest.raises(ClusterError, match="no free port"):
        other.reserve()
    holder.release()
    assert other.reserve() == port
    other.release()
