"""The Scale of an object whose own is not among the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def implied_scale(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """What its scale subresource would say, from `spec.replicas` and its selector; None where it counts no replicas."""
    spec, status = document.get("spec") or {}, document.get("status") or {}
    if document.get("kind") == "Scale" or "replicas" not in spec:
        return None
    selector = status.get("selector") or status.get("hpaPodSelector") or _selector_text(spec.get("selector"))
    return {
        "metadata": document["metadata"],
        "spec": {"replicas": spec["replicas"]},
        "status": {"replicas": status.get("replicas", spec["replicas"]), "selector": selector},
    }


def _selector_text(selector: object) -> str:
    labels = selector.get("matchLabels") if isinstance(selector, Mapping) else None
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))
