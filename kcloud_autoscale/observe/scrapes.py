"""How often a workload's metrics are scraped: measured, since it decides how far a rate must look back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.reading import Missing
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.coverage import TILE_SECONDS, interval_now
from kcloud_autoscale.observe.fetch import Subject
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.presets import PRESETS, Preset
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.watched import Watched, subjects

LOOK_BACK_SECONDS = 600.0
REMEMBERED_SECONDS = 600.0
# Until a metric has been scraped three times. Most Prometheus servers scrape every 15 to 30 s.
DEFAULT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _Measured:
    """Of one preset: when, the interval of its most scraped series, and each workload's own."""

    at_seconds: float
    usual_seconds: float
    own: dict[WorkloadKey, float] = field(default_factory=dict)

    def holds(self, now_seconds: float) -> bool:
        return 0.0 <= now_seconds - self.at_seconds < REMEMBERED_SECONDS


@dataclass(slots=True)
class ScrapeIntervals:
    """Scrape intervals by workload, measured anew every ten minutes."""

    _known: dict[str, _Measured] = field(default_factory=dict)

    async def of(self, asker: QuerySession, presets: Mapping[str, Sequence[Watched]]) -> dict[WorkloadKey, float]:
        """Seconds between scrapes of each preset's workloads."""
        found = await asyncio.gather(*(self._of_preset(asker, name, each) for name, each in presets.items()))
        return {key: seconds for each in found for key, seconds in each.items()}

    async def _of_preset(self, asker: QuerySession, name: str, members: Sequence[Watched]) -> dict[WorkloadKey, float]:
        known = self._known.get(name)
        if known is None or not known.holds(asker.now_seconds):
            usual = await _usual(asker, PRESETS[name])
            if usual is None:
                last = known.usual_seconds if known else DEFAULT_SECONDS
                return {each.key: last for each in members}
            known = self._known[name] = _Measured(asker.now_seconds, usual)
        unmeasured = [each for each in members if each.key not in known.own]
        if unmeasured:
            known.own.update(await _own(asker, PRESETS[name], subjects(unmeasured), known.usual_seconds))
        return {each.key: known.own[each.key] for each in members}


async def _usual(asker: QuerySession, preset: Preset) -> float | None:
    """Median spacing of the stored samples of the preset's most scraped series; None when there are too few."""
    for metric in preset.proof:
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


async def scrape_seconds(asker: QuerySession, preset: Preset, asked: Sequence[Subject]) -> dict[WorkloadKey, float]:
    """Seconds between scrapes of each, measured once: for those who look once."""
    usual = await _usual(asker, preset)
    return await _own(asker, preset, asked, DEFAULT_SECONDS if usual is None else usual)


async def _own(
    asker: QuerySession, preset: Preset, asked: Sequence[Subject], usual_seconds: float
) -> dict[WorkloadKey, float]:
    """Each workload's own interval: one may be scraped every 15 s and its neighbour every minute."""
    tiles = Span(asker.now_seconds - 2 * TILE_SECONDS, 2, TILE_SECONDS)
    counts = await asker.grouped_steps(
        lambda part: queries.samples_counted(preset, TILE_SECONDS, part), asked, tiles, "samples"
    )
    return {
        key: usual_seconds if isinstance(each, Missing) else interval_now(each, usual_seconds)
        for key, each in counts.items()
    }
