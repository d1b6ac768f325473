"""What the cluster is made of: every part, its pins, and the key under which its binaries are cached."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.cache import cache_directory
from hack.cluster.golang import RELEASE

PARTS_DIRECTORY = Path(__file__).parent / "parts"
KUBERNETES_VERSION = "1.36.3"


@dataclass(frozen=True)
class Part:
    """One Go module and the commands built from it.

    Its folder under `parts/` holds go.mod and go.sum, so every version is pinned and every download is hashed, and one
    part's dependencies do not move another's.
    """

    name: str
    commands: dict[str, str]
    """Binary name → Go package."""
    link_flags: str = ""
    """Values stamped into the binary, as Go's `-X package.variable=value`."""
    build_tags: str = ""
    typical_build_seconds: int = 60
    """On two cores with nothing cached, measured; only ever shown to the person waiting."""

    @property
    def folder(self) -> Path:
        return PARTS_DIRECTORY / self.name

    def build_flags(self) -> list[str]:
        """Flags of `go build` that shape the binary, and so belong to its key.

        Symbols are stripped and no debugging tables made: 75 instead of 105 MB and a smaller, faster build.
        """
        link = f"-s -w {self.link_flags}".strip()
        return ["-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={link}", f"-tags={self.build_tags}"]

    def key(self) -> str:
        """Name of the cache folder: changes with any pin, source, flag, Go release or kind of machine."""
        digest = hashlib.sha256()
        for file in sorted(path for path in self.folder.iterdir() if path.suffix in {".mod", ".sum", ".go"}):
            digest.update(f"{file.name}\n".encode() + file.read_bytes())
        shape = [*self.build_flags(), repr(sorted(self.commands.items())), repr(RELEASE), platform.machine()]
        digest.update("\n".join(shape).encode())
        return f"{self.name}-{digest.hexdigest()[:12]}"

    def directory(self) -> Path:
        """Where the built binaries are, or will be."""
        return cache_directory() / "bin" / self.key()


def _stamp_kubernetes(version: str) -> str:
    """Without it, clients believe that the server is v0.0.0."""
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())


KUBERNETES_COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")

PARTS = (
    Part("certificates", {"certificates": "."}, typical_build_seconds=25),
    Part("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, typical_build_seconds=25),
    Part(
        "kubernetes",
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_COMMANDS},
        link_flags=_stamp_kubernetes(KUBERNETES_VERSION),
        typical_build_seconds=230,
    ),
    Part("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, typical_build_seconds=50),
    Part(
        "prometheus",
        {name: f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")},
        # Service discovery of two dozen clouds is two thirds of the build; file, HTTP and Kubernetes discovery stay.
        build_tags="remove_all_sd,enable_kubernetes_sd",
        typical_build_seconds=100,
    ),
    Part("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, typical_build_seconds=60),
)

CONTROL_PLANE = ("certificates", "etcd", "kubernetes", "kwok")
"""Parts that `Cluster.start` needs. Prometheus and helm are built when first asked for, or by `make cluster-deps`."""
