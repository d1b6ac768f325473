"""The Dockerfile, built by buildah without an engine and without a registry."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hack.cluster.cache import exclusive
from hack.image.base import base_of, ensure_base
from hack.image.store import Store
from hack.image.tools import ensure_tools, run

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = "kcloud-autoscale:dev"
# What pip is told on this machine about where packages are; in a build it would not know.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy")


@dataclass(frozen=True)
class Image:
    """A built image in the store."""

    reference: str
    store: Store

    @cached_property
    def environment(self) -> dict[str, str]:
        """What the Dockerfile sets."""
        return dict(each.split("=", 1) for each in self._config["Env"])

    @property
    def command(self) -> list[str]:
        """Entry point with its default arguments."""
        return [*self._config["Entrypoint"], *self._config["Cmd"]]

    @property
    def user(self) -> str:
        """As in ``65532:65532``."""
        return str(self._config["User"])

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """The image's file system, as a container of its own that is gone afterwards."""
        container = self.store("from", "--pull-never", self.reference).strip()
        try:
            yield Path(self.store("mount", container).strip())
        finally:
            self.store("rm", container)

    def own_megabytes(self, root: Path) -> float:
        """What it adds to its base, uncompressed."""
        return int(run(["du", "-s", "--block-size=1000", str(root / "app")]).split()[0]) / 1000.0

    @cached_property
    def _config(self) -> dict[str, list[str]]:
        inspected = json.loads(self.store("inspect", "--type", "image", self.reference))
        config: dict[str, list[str]] = inspected["OCIv1"]["config"]
        return config


def build(reference: str = REFERENCE) -> Image:
    """Build the image; layers that have not changed come from the cache.

    Raises:
        ImageError: A tool is missing, or a step of the Dockerfile failed; the message is its output.
    """
    ensure_tools()
    store = Store()
    dockerfile = ROOT / "Dockerfile"
    with exclusive("image"), tempfile.TemporaryDirectory(prefix="kcloud-image-") as folder:
        ensure_base(store, base_of(dockerfile))
        pip = Path(folder) / "pip.conf"
        pip.write_text(pip_settings(), encoding="utf-8")
        certificates = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
        store(
            "bud", "--quiet", "--isolation", "chroot", "--pull-never", "--layers", "--network", "host",
            "--volume", f"{pip}:/etc/pip.conf:ro",
            "--volume", f"{certificates}:/etc/ssl/certs/ca-certificates.crt:ro",
            "--tag", reference, "--file", str(dockerfile), str(ROOT),
        )  # fmt: skip
    return Image(reference, store)


def pip_settings() -> str:
    """pip.conf for the build: where this machine has its packages from, and by whom they are vouched for."""
    settings = {"cert": "/etc/ssl/certs/ca-certificates.crt"}
    for option in PIP_SETTINGS:
        told = os.environ.get(f"PIP_{option.upper().replace('-', '_')}") or _configured(option)
        if told:
            settings[option] = told
    return "[global]\n" + "".join(f"{option} = {value}\n" for option, value in settings.items())


def _configured(option: str) -> str:
    """From the configuration files of this machine's pip; nothing where it has neither."""
    words = ["python3", "-m", "pip", "config", "get", f"global.{option}"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
