"""Made-up series, written into Prometheus blocks, so that queries meet a real engine and known numbers."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster import tool
from hack.cluster.processes import loopback_environment

SCRAPE_SECONDS = 15


@dataclass(frozen=True)
class Series:
    """One series: its value at each scrape as a function of the seconds since the start, while it is there."""

    metric: str
    labels: dict[str, str]
    value: Callable[[int], float] = field(default=lambda _: 1.0)
    first_seconds: int = 0
    last_seconds: float = math.inf


def steady(level: float) -> Callable[[int], float]:
    return lambda _: level


def counting(per_second: float, from_seconds: int = 0) -> Callable[[int], float]:
    return lambda at: per_second * max(0, at - from_seconds)


def histogram(metric: str, labels: dict[str, str], per_second: dict[float | str, float]) -> list[Series]:
    """Cumulative buckets: requests per second at or below each bound; the total under "+Inf"."""
    bounds = {"+Inf" if bound == "+Inf" else f"{bound:g}": rate for bound, rate in per_second.items()}
    return [Series(f"{metric}_bucket", {**labels, "le": le}, counting(rate)) for le, rate in bounds.items()]


def write_blocks(
    series: Iterable[Series], start: int, length_seconds: int, directory: Path, scrapes: Iterable[int] | None = None
) -> Path:
    """TSDB blocks with all series: scraped every 15 s from ``start`` on, or so many seconds after it."""
    instants = list(range(0, length_seconds + 1, SCRAPE_SECONDS) if scrapes is None else scrapes)
    lines = [
        f"{each.metric}{{{_joined(each.labels)}}} {each.value(at)!r} {start + at}\n"
        for each in series
        for at in instants
        if each.first_seconds <= at <= each.last_seconds
    ]
    text = directory / "series.om"
    text.write_text("".join([*lines, "# EOF\n"]))
    data = directory / "data"
    subprocess.run(
        [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)],
        check=True,
        capture_output=True,
        env=loopback_environment(),
    )
    return data


def _joined(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
