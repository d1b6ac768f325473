"""A real Kubernetes control plane and Prometheus on this machine, without containers and without root.

    from hack.cluster import Cluster, Node

    with Cluster.start(nodes=[Node("gpu-0", {"nvidia.com/gpu": 8})]) as cluster:
        print(cluster.kubectl("get", "nodes"))

Only the standard library is imported, so that it also runs before any dependency is installed.
"""

from hack.cluster.build import ensure, tool
from hack.cluster.certificates import ServerCertificate
from hack.cluster.cluster import Cluster
from hack.cluster.control_plane import HpaTiming
from hack.cluster.errors import ClusterError
from hack.cluster.kubectl import Kubectl
from hack.cluster.nodes import Node
from hack.cluster.prometheus import Prometheus

__all__ = [
    "Cluster",
    "ClusterError",
    "HpaTiming",
    "Kubectl",
    "Node",
    "Prometheus",
    "ServerCertificate",
    "ensure",
    "tool",
]
