"""Keys and certificates of one control plane, made by the small Go command in `parts/certificates`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.build import tool
from hack.cluster.errors import ClusterError

LOOPBACK_HOSTS = ("127.0.0.1", "localhost")
COMPONENT_USERS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager",),
    "kube-scheduler": ("system:kube-scheduler",),
    "kwok": ("kwok", "system:masters"),
}
"""File name → user name and groups, in the way that RBAC's bootstrap roles expect them."""


@dataclass(frozen=True)
class ServerCertificate:
    """PEM files for a TLS server on loopback, and the authority to trust it by."""

    certificate: Path
    key: Path
    authority: Path


def issue_control_plane(directory: Path, service_address: str) -> None:
    """Fill `directory`: authority `ca`, API server, its clients, service accounts, front proxy."""
    directory.mkdir(mode=0o700, exist_ok=True)
    folder = str(directory)
    in_cluster = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    calls = [
        ["authority", folder, "ca"],
        ["authority", folder, "front-proxy-ca"],
        ["server", folder, "ca", "kube-apiserver", *LOOPBACK_HOSTS, service_address, *in_cluster],
        ["client", folder, "front-proxy-ca", "front-proxy-client", "front-proxy-client"],
        ["key-pair", folder, "service-accounts"],
        *(["client", folder, "ca", name, *user] for name, user in COMPONENT_USERS.items()),
    ]
    _run(calls)


def issue_server(directory: Path, name: str, hosts: tuple[str, ...]) -> ServerCertificate:
    """A certificate for a server of a test or a demo, signed by the cluster's authority."""
    _run([["server", str(directory), "ca", name, *hosts]])
    return ServerCertificate(directory / f"{name}.crt", directory / f"{name}.key", directory / "ca.crt")


def _run(calls: list[list[str]]) -> None:
    words: list[str] = []
    for call in calls:
        words += [*call, "+"]
    answer = subprocess.run([tool("certificates"), *words[:-1]], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ClusterError(f"could not issue certificates: {answer.stderr.strip()}")
