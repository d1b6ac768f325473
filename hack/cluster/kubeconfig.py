"""Kubeconfig files. JSON is YAML, so the standard library can write them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_kubeconfig(path: Path, cluster: Mapping[str, Any], user: Mapping[str, str]) -> Path:
    """One cluster, one user, one context. Only the owner may read it, since `user` may hold a token.

    `cluster` and `user` are as kubeconfig files have them, e.g. `{"server": url, "certificate-authority": file}`.
    """
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": dict(cluster)}],
        "users": [{"name": "user", "user": dict(user)}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "user", "namespace": "default"}}],
        "current-context": "local",
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=2)
    return path


def certificate_user(directory: Path, name: str) -> dict[str, str]:
    """A user who identifies by the client certificate `name`."""
    return {"client-certificate": str(directory / f"{name}.crt"), "client-key": str(directory / f"{name}.key")}
