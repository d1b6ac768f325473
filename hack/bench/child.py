"""One measurement in a process of its own, so that its memory is its own, with one thread for linear algebra."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Measured = dict[str, Any]


def measure(module: str, *flags: object) -> Measured:
    """Run ``python -m hack.bench.<module> FLAGS`` and return what it printed.

    Raises:
        subprocess.CalledProcessError: The measurement failed; its own words are on stderr.
    """
    command = [sys.executable, "-m", f"hack.bench.{module}", *map(str, flags)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, check=True)
    found: Measured = json.loads(done.stdout)
    return found


def tell(found: Measured) -> None:
    """Print a measurement for `measure`, with the peak memory of this process."""
    print(json.dumps(found | {"peak_mib": peak_mib()}))


def peak_mib() -> float:
    """Largest resident memory so far, MiB. getrusage would count what the parent held when it forked."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(each for each in status.splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024.0
