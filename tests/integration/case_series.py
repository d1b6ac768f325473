"""Series of `tests/cases` in the notation of promtool's unit tests: ``m{a="b"} 0+3x120 360x20 _x4``."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from hack.cluster import tool
from hack.cluster.processes import loopback_environment

SCRAPE_SECONDS = 15
CASES = Path(__file__).parent.parent / "cases"
_TOKEN = re.compile(r"(_|NaN|-?[\d.eE]+)(?:([+-])([\d.eE]+))?(?:x(\d+))?")


def expanded(text: str) -> list[float | None]:
    """The samples of one series; None where there is none."""
    samples: list[float | None] = []
    for token in text.split():
        found = _TOKEN.fullmatch(token)
        assert found is not None, token
        start, sign, slope, repeats = found.groups()
        count = int(repeats or 0)
        if start == "_":
            samples += [None] * (count or 1)
            continue
        step = float(slope or 0.0) * (-1.0 if sign == "-" else 1.0)
        samples += [float(start) + step * position for position in range(count + 1)]
    return samples


def series_of(case: str) -> list[tuple[str, list[float | None]]]:
    """Name with labels, and samples, in the case's own namespace."""
    path = CASES / case / "series.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    split = [line.rpartition("}") for line in lines if line and not line.startswith("#")]
    return [(f"{moved(head, case)}}}", expanded(samples)) for head, _, samples in split]


def objects_of(case: str) -> str:
    """The objects in the case's own namespace, so that all cases fit into one Prometheus."""
    return re.sub(r"(namespace: )ai\b", rf"\1{case}", (CASES / case / "objects.yaml").read_text())


def moved(text: str, case: str) -> str:
    """Labels that name the namespace name that of the case."""
    return re.sub(r'(namespace=")ai"', rf'\1{case}"', text)


def write_blocks(cases: list[str], end_seconds: int, directory: Path) -> Path:
    """TSDB blocks with the series of all cases, the last sample of each at ``end_seconds``."""
    lines = []
    for case in cases:
        series = series_of(case)
        longest = max((len(samples) for _, samples in series), default=0)
        start = end_seconds - (longest - 1) * SCRAPE_SECONDS
        lines += [
            f"{name} {value!r} {start + position * SCRAPE_SECONDS}\n"
            for name, samples in series
            for position, value in enumerate(samples)
            if value is not None
        ]
    text = directory / "series.om"
    text.write_text("".join([*lines, "# EOF\n"]))
    data = directory / "data"
    command = [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)]
    subprocess.run(command, check=True, capture_output=True, env=loopback_environment())
    return data
