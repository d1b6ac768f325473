"""Command lines of the control plane's processes, and the order in which they come up."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster.build import tool
from hack.cluster.certificates import COMPONENT_USERS, issue_control_plane
from hack.cluster.kubeconfig import certificate_user, write_kubeconfig
from hack.cluster.ports import Ports
from hack.cluster.processes import Processes

STAGES_DIRECTORY = Path(__file__).parent / "stages"
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
READY_TIMEOUT_SECONDS = 60.0
NODE_LEASE_SECONDS = 40
Words = list[str | Path]


@dataclass(frozen=True)
class HpaTiming:
    """Periods of the real HPA controller, Kubernetes' defaults. A demo that compresses time scales them alike."""

    sync_seconds: float = 15.0
    downscale_stabilization_seconds: float = 300.0
    initial_readiness_delay_seconds: float = 30.0
    cpu_initialization_seconds: float = 300.0
    tolerance: float = 0.1

    def flags(self) -> list[str]:
        values = {
            "sync-period": _duration(self.sync_seconds),
            "downscale-stabilization": _duration(self.downscale_stabilization_seconds),
            "initial-readiness-delay": _duration(self.initial_readiness_delay_seconds),
            "cpu-initialization-period": _duration(self.cpu_initialization_seconds),
            "tolerance": f"{self.tolerance:g}",
        }
        return [f"--horizontal-pod-autoscaler-{name}={value}" for name, value in values.items()]


def _duration(seconds: float) -> str:
    """Go's notation, in milliseconds so that 0.5 s keeps its half: 0.5 → 500ms."""
    return f"{round(seconds * 1000)}ms"


@dataclass
class ControlPlane:
    """etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok of one cluster, on ports of its own."""

    directory: Path
    processes: Processes
    ports: Ports
    hpa: HpaTiming
    url: str = field(init=False)
    _etcd_url: str = field(init=False)

    def __post_init__(self) -> None:
        self._port = self.ports.reserve()
        self.url = f"https://127.0.0.1:{self._port}"
        self._etcd_url = f"http://127.0.0.1:{self.ports.reserve()}"
        self._etcd_peer_url = f"http://127.0.0.1:{self.ports.reserve()}"
        self.certificates = self.directory / "certificates"

    def start(self) -> None:
        """Start everything; returns when the API server is ready and its clients run."""
        issue_control_plane(self.certificates, SERVICE_ADDRESS)
        cluster = {"server": self.url, "certificate-authority": str(self.certificates / "ca.crt")}
        for name in COMPONENT_USERS:
            write_kubeconfig(self.kubeconfig(name), cluster, certificate_user(self.certificates, name))
        self.processes.start("etcd", self._etcd())
        self.processes.start("kube-apiserver", self._apiserver())
        self.wait_ready()
        self.processes.start("kube-controller-manager", self._controller_manager())
        self.processes.start("kube-scheduler", self._scheduler())
        self.processes.start("kwok", self._kwok())

    def kubeconfig(self, user: str) -> Path:
        return self.directory / f"{user}.kubeconfig"

    def wait_ready(self) -> None:
        """Until the API server says /readyz, which includes etcd and the bootstrap roles of RBAC."""
        self.processes.wait_until("kube-apiserver", self._is_ready, READY_TIMEOUT_SECONDS)

    def _is_ready(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self.certificates / "ca.crt"))
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)]
        try:
            with urllib.request.build_opener(*handlers).open(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _etcd(self) -> Words:
        return [
            tool("etcd"),
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={self._etcd_peer_url}",
            f"--initial-advertise-peer-urls={self._etcd_peer_url}",
            f"--initial-cluster=default={self._etcd_peer_url}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver(self) -> Words:
        keys = self.certificates
        return [
            tool("kube-apiserver"),
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            # Spares pods a token mount that no kubelet would make; tokens are still issued on request.
            "--disable-admission-plugins=ServiceAccount",
            f"--client-ca-file={keys / 'ca.crt'}",
            f"--tls-cert-file={keys / 'kube-apiserver.crt'}",
            f"--tls-private-key-file={keys / 'kube-apiserver.key'}",
            f"--service-account-issuer={self.url}",
            f"--service-account-key-file={keys / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
            # The identity by which aggregated API servers recognize the caller behind this proxy.
            f"--requestheader-client-ca-file={keys / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={keys / 'front-proxy-client.crt'}",
            f"--proxy-client-key-file={keys / 'front-proxy-client.key'}",
            "--shutdown-delay-duration=0s",
            "--profiling=false",
        ]

    def _controller_manager(self) -> Words:
        keys = self.certificates
        return [
            tool("kube-controller-manager"),
            *self._component("kube-controller-manager"),
            # Each controller under its own service account, as in a real cluster: the HPA controller then needs,
            # and by Kubernetes' bootstrap roles has, the right to read metrics APIs.
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={keys / 'service-accounts.key'}",
            f"--root-ca-file={keys / 'ca.crt'}",
            f"--cluster-signing-cert-file={keys / 'ca.crt'}",
            f"--cluster-signing-key-file={keys / 'ca.key'}",
            *self.hpa.flags(),
        ]

    def _scheduler(self) -> Words:
        return [tool("kube-scheduler"), *self._component("kube-scheduler")]

    def _component(self, name: str) -> Words:
        """Flags that the two leader-electing components share; port 0 serves nothing."""
        config = self.kubeconfig(name)
        return [
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--leader-elect=false",
            "--secure-port=0",
            "--profiling=false",
        ]

    def _kwok(self) -> Words:
        # Flags instead of a configuration file, in which unnamed fields stay zero instead of taking their defaults.
        return [
            tool("kwok"),
            f"--kubeconfig={self.kubeconfig('kwok')}",
            "--manage-all-nodes",
            "--cidr=10.1.0.1/16",
            "--node-ip=127.0.0.1",
            f"--node-lease-duration-seconds={NODE_LEASE_SECONDS}",
            *(f"--config={stage}" for stage in sorted(STAGES_DIRECTORY.glob("*.yaml"))),
        ]
