"""A stand-in for the Dockerfile's base: Debian with its Python, from the mirror this machine's apt is told of."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from hack.cluster.cache import cache_directory, report
from hack.image.store import Store
from hack.image.tools import ImageError, run

RELEASE = "bookworm"
"""The Debian whose Python is that of the Dockerfile's base."""
PACKAGES = ("python3", "python3-venv", "python-is-python3", "ca-certificates")
_KEY_LABEL = "kcloud.io/base-key"


def base_of(dockerfile: Path) -> str:
    """What the Dockerfile builds on; one image, since all of its stages need the same Python.

    Raises:
        ImageError: It names several.
    """
    lines = (line.split() for line in dockerfile.read_text(encoding="utf-8").splitlines())
    stages = [words[1:] for words in lines if words and words[0] == "FROM"]
    own = {words[2] for words in stages if len(words) == 3}  # FROM name AS stage
    names = {words[0] for words in stages} - own
    if len(names) != 1:
        raise ImageError(f"{dockerfile} builds on {', '.join(sorted(names)) or 'nothing'}; one base is expected")
    return names.pop()


def ensure_base(store: Store, name: str) -> None:
    """Make the base under the Dockerfile's name for it, unless it is there.

    Raises:
        ImageError: The mirror cannot be found or does not have the packages.
    """
    key = hashlib.sha256(" ".join((RELEASE, *PACKAGES)).encode()).hexdigest()[:12]
    if store.label(name, _KEY_LABEL) == key:
        return
    report(f"making {name} of Debian's packages, once: about a minute")
    # In the cache: /tmp is often mounted in a way that no system can be put up in.
    with tempfile.TemporaryDirectory(prefix="base-", dir=cache_directory()) as folder:
        root = Path(folder) / "root"
        run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE, str(root), mirror()])
        run(["rm", "-rf", str(root / "var/cache/apt"), str(root / "var/lib/apt/lists")])
        store.import_root(root, name, {_KEY_LABEL: key})
        run(["rm", "-rf", str(root)])


def mirror() -> str:
    """Where apt has this machine's packages from.

    Raises:
        ImageError: There is no apt, or it has no sources.
    """
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {RELEASE}"]
    any_release = words[:-1]
    for asked in (words, any_release):
        try:
            told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        except OSError as error:
            raise ImageError(f"the base is made of Debian's packages, and apt is not here: {error}") from error
        if told:
            return told[0]
    raise ImageError("apt knows no mirror: the base is made of Debian's packages")
