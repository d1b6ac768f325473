"""One local cluster: a real control plane in a temporary directory, for tests, demos and people."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from hack.cluster.build import ensure
from hack.cluster.certificates import ServerCertificate, issue_server
from hack.cluster.control_plane import ControlPlane, HpaTiming
from hack.cluster.errors import ClusterError
from hack.cluster.helm import Helm
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.kubectl import Kubectl
from hack.cluster.nodes import Node, metrics_api
from hack.cluster.parts import CONTROL_PLANE
from hack.cluster.ports import Ports
from hack.cluster.processes import Processes
from hack.cluster.prometheus import Prometheus

STOP_GRACE_SECONDS = 1.0
NODE_READY_TIMEOUT_SECONDS = 30
TOKEN_DURATION = "24h"
METRICS_NAMESPACE = "kube-system"


class Cluster:
    """A running cluster. Make one with `Cluster.start(…)` or `Cluster.attach(kubeconfig)`, best in a `with`.

    Attributes:
        directory: holds kubeconfigs, certificates, logs and data; deleted when the cluster stops, unless kept.
        kubeconfig: the administrator's.
        kubectl: callable, `cluster.kubectl("get", "pods", "-A")`.
        helm: callable, `cluster.helm("list", "-A")`; built when it is first called.
    """

    def __init__(self, directory: Path, kubeconfig: Path, processes: Processes, plane: ControlPlane | None) -> None:
        self.directory = directory
        self.kubeconfig = kubeconfig
        self.kubectl = Kubectl(kubeconfig, directory)
        self.helm = Helm(kubeconfig, directory)
        self._processes = processes
        self._plane = plane
        self._ports = plane.ports if plane else Ports()

    @classmethod
    def start(
        cls,
        *,
        nodes: Iterable[Node] = (),
        hpa_sync_seconds: float = 15.0,
        hpa: HpaTiming | None = None,
        directory: Path | None = None,
    ) -> Cluster:
        """Bring up etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok: 5 s once they are built.

        Args:
            nodes: created at once; more by `add_node`.
            hpa_sync_seconds: period of the real HPA controller, where `hpa` does not say more.
            hpa: all its periods.
            directory: where to keep everything; by default a temporary directory that goes with the cluster.

        Raises:
            ClusterError: a part can neither be found nor built, or did not come up.
        """
        ensure(CONTROL_PLANE)
        place = directory or Path(tempfile.mkdtemp(prefix="kcloud-cluster-"))
        place.mkdir(parents=True, exist_ok=True)
        processes = Processes(place.resolve(), remove_directory=directory is None)
        try:
            timing = hpa or HpaTiming(sync_seconds=hpa_sync_seconds)
            plane = ControlPlane(place.resolve(), processes, Ports(), timing)
            plane.start()
            cluster = cls(place.resolve(), plane.kubeconfig("admin"), processes, plane)
            cluster.add_nodes(nodes)
        except BaseException:
            processes.close()
            raise
        return cluster

    @classmethod
    def attach(cls, kubeconfig: Path) -> Cluster:
        """Use a cluster that exists, through a kubeconfig with administrator's rights. Stopping leaves it as it is.

        Raises:
            ClusterError: it does not answer.
        """
        directory = Path(tempfile.mkdtemp(prefix="kcloud-attached-"))
        processes = Processes(directory, remove_directory=True)
        cluster = cls(directory, kubeconfig.resolve(), processes, plane=None)
        try:
            cluster.kubectl("get", "--raw=/readyz")
        except ClusterError:
            processes.close()
            raise
        return cluster

    def stop(self) -> None:
        """Kill what this object started and delete the temporary directory. Safe to call twice."""
        self._processes.close()
        self._ports.release()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Address of the API server."""
        return str(self._entry["server"])

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by part, of what runs."""
        return self._processes.pids

    @cached_property
    def prometheus(self) -> Prometheus:
        """The cluster's own Prometheus, not started yet. Its `url` is fixed on first use."""
        return Prometheus(self._processes, self._ports)

    def add_node(
        self,
        name: str,
        allocatable: Mapping[str, int | str] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: tuple[str, ...] = (),
    ) -> None:
        """Add one node, as `add_node("gpu-0", {"nvidia.com/gpu": 8})`, and wait until it is Ready."""
        self.add_nodes([Node(name, allocatable or {}, labels or {}, taints)])

    def add_nodes(self, nodes: Iterable[Node]) -> None:
        """Add nodes and wait until they are Ready, which kwok makes them in under a second."""
        manifests = [node.manifest() for node in nodes]
        if not manifests:
            return
        listed = {"apiVersion": "v1", "kind": "List", "items": manifests}
        # Created, not applied: only creation accepts a status, as from a kubelet that registers itself.
        self.kubectl("create", "-f", "-", input=json.dumps(listed))
        names = [f"node/{manifest['metadata']['name']}" for manifest in manifests]
        self.kubectl("wait", "--for=condition=Ready", f"--timeout={NODE_READY_TIMEOUT_SECONDS}s", *names)

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig with a token of that ServiceAccount, which must exist: bound by RBAC as in any cluster."""
        words = ("create", "token", service_account, "-n", namespace, f"--duration={TOKEN_DURATION}")
        token = self.kubectl(*words).strip()
        path = self.directory / f"{namespace}.{service_account}.kubeconfig"
        return write_kubeconfig(path, self._entry, {"token": token})

    def kubectl_as(self, kubeconfig: Path) -> Kubectl:
        """kubectl under another identity, as from `kubeconfig_for`."""
        return Kubectl(kubeconfig, self.directory)

    def server_certificate(self, service: str, namespace: str = METRICS_NAMESPACE) -> ServerCertificate:
        """A certificate by which the API server will trust a server on loopback.

        It holds for `https://127.0.0.1:PORT` (admission webhooks by URL) and for an aggregated API's Service of that
        name (`register_external_metrics`).
        """
        hosts = (f"{service}.{namespace}.svc", "localhost", "127.0.0.1")
        return issue_server(self._started().certificates, f"{service}.{namespace}", hosts)

    def register_external_metrics(
        self, port: int, authority: Path | None = None, *, service: str = "external-metrics", timeout_seconds: int = 30
    ) -> None:
        """Serve the External metrics API from a TLS server on loopback, so that the real HPA controller asks it.

        Args:
            port: where `https://localhost:<port>/apis/external.metrics.k8s.io/v1beta1` answers.
            authority: PEM file that the server's certificate is trusted by; by default the cluster's own, as with
                `server_certificate("external-metrics")`.
            service: name of the Service that stands for it; the certificate must hold for `<service>.kube-system.svc`.
            timeout_seconds: how long the server may take to answer.

        Raises:
            ClusterError: the API server did not find the API available in that time; says why.
        """
        file = authority or self._started().certificates / "ca.crt"
        encoded = base64.b64encode(file.read_bytes()).decode()
        manifests = metrics_api("external.metrics.k8s.io", "v1beta1", service, METRICS_NAMESPACE, port, encoded)
        self.kubectl.apply(manifests)
        name = manifests[-1]["metadata"]["name"]
        try:
            self.kubectl("wait", "--for=condition=Available", f"--timeout={timeout_seconds}s", f"apiservice/{name}")
        except ClusterError as error:
            conditions = self.kubectl.get("apiservice", name)["status"]["conditions"]
            raise ClusterError(f"{name} is not available: {conditions[0]['message']}") from error

    def stop_part(self, name: str, *, kill: bool = False) -> None:
        """Stop one process, as `kube-apiserver`, for a fault test: SIGTERM, then SIGKILL after a second."""
        self._started()
        self._processes.stop(name, 0.0 if kill else STOP_GRACE_SECONDS)

    def start_part(self, name: str) -> None:
        """Start a stopped process again, on the same port, and wait until the API server is ready."""
        plane = self._started()
        if name == "kwok":
            # A killed kwok leaves leases on its nodes, and the next one would wait up to 40 s for them to expire.
            self.kubectl("delete", "leases", "--all", "-n", "kube-node-lease")
        self._processes.start_again(name)
        plane.wait_ready()

    def log_file(self, name: str) -> Path:
        """What a part has printed."""
        return self._processes.log_file(name)

    def _started(self) -> ControlPlane:
        if self._plane is None:
            raise ClusterError(f"the cluster of {self.kubeconfig} was not started here, so its parts are out of reach")
        return self._plane

    @cached_property
    def _entry(self) -> dict[str, Any]:
        """The kubeconfig's current cluster: address and how to trust it, with certificates inline."""
        shown = self.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json")
        entry: dict[str, Any] = json.loads(shown)["clusters"][0]["cluster"]
        return entry
