"""The kubectl that was built with the cluster, bound to one kubeconfig."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.command import told_by
from hack.cluster.errors import ClusterError


@dataclass(frozen=True)
class Kubectl:
    """Call it with kubectl's words: `kubectl("get", "pods", "-A")` returns what kubectl prints."""

    kubeconfig: Path
    scratch: Path
    """Folder for kubectl's discovery cache, so that the one in the home directory stays clean."""

    def __call__(self, *words: str, input: str | None = None, timeout_seconds: float = 60.0) -> str:
        """Run kubectl, with `input` on its standard input for `-f -`.

        Raises:
            ClusterError: kubectl failed or took longer than `timeout_seconds`; the message is its standard error.
        """
        own = [f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.scratch / 'kubectl-cache'}"]
        return told_by("kubectl", own, words, input, timeout_seconds)

    def apply(self, manifests: Iterable[dict[str, Any]]) -> None:
        """Create or change objects, server-side, given as dictionaries."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        self("apply", "--server-side", "--force-conflicts", "-f", "-", input=listed)

    def get(self, *words: str) -> dict[str, Any]:
        """`kubectl get … -o json`, parsed."""
        parsed: dict[str, Any] = json.loads(self("get", *words, "-o", "json"))
        return parsed

    def wait_established(self, *definitions: str, timeout_seconds: float = 30.0) -> None:
        """Until the API server takes custom resources; ``definitions`` in the words of kubectl get: ``crd/NAME`` or
        ``-f FOLDER``.

        ``kubectl wait --for=condition=Established`` ends with an error when it meets one too young for conditions.

        Raises:
            ClusterError: They are not within `timeout_seconds`.
        """
        until = time.monotonic() + timeout_seconds
        while not all(map(_is_established, _items(self.get(*definitions)))):
            if time.monotonic() > until:
                raise ClusterError(f"{' '.join(definitions)}: not established within {timeout_seconds:g} s")
            time.sleep(0.1)


def _items(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a list, or the one object that kubectl answers with."""
    listed: list[dict[str, Any]] = answer["items"] if answer["kind"] == "List" else [answer]
    return listed


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
