"""How often a stack's metrics are scraped: measured, since it decides how far a rate must look back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.asker import Asker
from kcloud_autoscale.observe.presets import PRESETS

LOOK_BACK_SECONDS = 600.0
REMEMBERED_SECONDS = 600.0
# Until a metric has been scraped three times. Most Prometheus servers scrape every 15 to 30 s.
DEFAULT_SECONDS = 15.0


@dataclass(slots=True)
class ScrapeIntervals:
    """Scrape intervals by preset, measured anew every ten minutes."""

    _known: dict[str, tuple[float, float]] = field(default_factory=dict)

    async def of(self, asker: Asker, presets: Iterable[str]) -> dict[str, float]:
        """Seconds between scrapes by preset name."""
        names = list(presets)
        due = [name for name in names if not self._fresh(name, asker.now_seconds)]
        measured = await asyncio.gather(*(_measure(asker, name) for name in due))
        for name, interval in zip(due, measured, strict=True):
            if interval is not None:
                self._known[name] = (asker.now_seconds, interval)
        return {name: self._known[name][1] if name in self._known else DEFAULT_SECONDS for name in names}

    def _fresh(self, name: str, now_seconds: float) -> bool:
        return name in self._known and 0.0 <= now_seconds - self._known[name][0] < REMEMBERED_SECONDS


async def _measure(asker: Asker, name: str) -> float | None:
    """Median spacing of the stored samples of the preset's most scraped series; None when there are too few."""
    for metric in PRESETS[name].proof:
        try:
            most = await asker.source.query(
                queries.most_scraped(metric, LOOK_BACK_SECONDS), asker.now_seconds, asker.left_seconds
            )
            if not most:
                continue
            selector = queries.stored_samples(metric, most[0].labels, LOOK_BACK_SECONDS)
            rows = await asker.source.samples(selector, asker.now_seconds, asker.left_seconds)
        except ObservationError:
            return None  # the queries for the demand itself will fail likewise, and say so
        if rows and len(rows[0].times) >= 3:
            return float(np.median(np.diff(rows[0].times)))
    return None
