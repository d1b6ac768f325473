"""The helm that was built with the cluster, bound to one kubeconfig."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.build import tool
from hack.cluster.errors import ClusterError
from hack.cluster.processes import loopback_environment


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
        own = {f"HELM_{name}_HOME": str(self.scratch / "helm" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        try:
            answer = subprocess.run(
                [str(tool("helm")), f"--kubeconfig={self.kubeconfig}", *words],
                input=input,
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
                env={**loopback_environment(), **own},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"helm {' '.join(words)}: no answer within {timeout_seconds:g} s") from error
        if answer.returncode:
            raise ClusterError(f"helm {' '.join(words)}: {answer.stderr.strip()}")
        return answer.stdout
