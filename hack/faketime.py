"""A wrong clock for one process: libfaketime (Debian's package), preloaded. Its monotonic clock stays the true one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PACKAGE = "libfaketime"


def library() -> Path:
    """Path of libfaketime; installs it when there is none.

    Raises:
        RuntimeError: It is neither there nor to be had; says what to install.
    """
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if found:
        return found[0]
    root = [] if os.geteuid() == 0 else ["sudo"]
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", PACKAGE]):
        done = subprocess.run([*root, "apt-get", *words], check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"no libfaketime: install the package {PACKAGE} ({done.stderr.strip()[-300:]})")
    return library()


class WrongClock:
    """What a process takes for the time, changed while it runs.

    Args:
        file: Tells the library how wrong the clock is; read at every look at the clock.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_by(0.0)

    def set_by(self, seconds: float) -> None:
        """From now on the clock is so far ahead."""
        self._file.write_text(f"{seconds:+.0f}\n")

    @property
    def environment(self) -> dict[str, str]:
        """Of the process."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
