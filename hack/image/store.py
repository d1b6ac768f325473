"""Where images are kept: buildah's storage, in this project's cache and not in the system's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hack.cluster.cache import cache_directory
from hack.image.tools import ImageError, run


class Store:
    """buildah with a storage of its own."""

    def __init__(self) -> None:
        folder = cache_directory() / "image"
        self._own = ["buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run")]

    def __call__(self, *words: str) -> str:
        """What `buildah WORDS` prints."""
        return run([*self._own, *words])

    def label(self, name: str, label: str) -> str | None:
        """A label of an image; None where there is no such image or no such label."""
        try:
            found = json.loads(self("inspect", "--type", "image", name))
        except ImageError:
            return None
        labels = found["OCIv1"]["config"].get("Labels") or {}
        value: str | None = labels.get(label)
        return value

    def import_root(self, root: Path, name: str, labels: Mapping[str, str]) -> None:
        """Make an image of one layer from a folder."""
        container = self("from", "scratch").strip()
        try:
            self("copy", "--quiet", container, str(root), "/")
            self(
                "config", *(word for key, value in labels.items() for word in ("--label", f"{key}={value}")), container
            )
            self("commit", "--quiet", container, f"localhost/{name}")
        finally:
            self("rm", container)
