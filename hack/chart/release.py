"""The chart installed into a local cluster, for an operator that runs beside it as a process."""

from __future__ import annotations

from pathlib import Path

from hack.cluster import Cluster

CHART = Path(__file__).resolve().parents[2] / "charts" / "kcloud-operator"
RELEASE, NAMESPACE = "kcloud-operator", "kcloud-system"
# The chart calls everything by the name of the release: ServiceAccount, Lease, reporting controller.
NAME = RELEASE


def install(cluster: Cluster, *words: str) -> Path:
    """CRDs, ServiceAccount and roles as `make deploy` makes them, without a replica; the operator's kubeconfig."""
    deploy(cluster, "--set=replicaCount=0", *words)
    return cluster.kubeconfig_for(NAMESPACE, NAME)


def deploy(cluster: Cluster, *words: str) -> None:
    """`helm upgrade --install` with further words, and wait until the API server knows the kinds."""
    cluster.helm(
        "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace", "--take-ownership",
        "--force-conflicts", *words,
    )  # fmt: skip
    cluster.kubectl.wait_established("-f", str(CHART / "files" / "crds"))
