"""The helm that was built with the cluster, bound to one kubeconfig."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hack.cluster.command import told_by


@dataclass(frozen=True)
class Helm:
    """Call it with helm's words: `helm("list", "-A")` returns what helm prints."""

    kubeconfig: Path
    scratch: Path
    """Folder for what helm keeps, so that the one in the home directory stays clean."""

    def __call__(self, *words: str, input: str | None = None, timeout_seconds: float = 60.0) -> str:
        """Run helm, with `input` on its standard input for `--values -`.

        Raises:
            ClusterError: helm failed or took longer than `timeout_seconds`; the message is its standard error.
        """
        homes = {f"HELM_{name}_HOME": str(self.scratch / "helm" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return told_by("helm", [f"--kubeconfig={self.kubeconfig}"], words, input, timeout_seconds, homes)
