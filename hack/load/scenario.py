"""One load from end to end: its past in Prometheus, and its present in the exporter, of one piece."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.load.demand import Demand
from hack.load.exporter import Exporter
from hack.load.history import HEAD_SECONDS, all_tracks, fill, write_blocks
from hack.load.live import LiveService, Pod
from hack.load.past import Past, PastPlan, replay
from hack.load.service import Node, Service

Living = Mapping[str, Sequence[Pod]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Services that all meet the same demand, so that what scales them can be compared.

    The order of use: `write_blocks` into an empty data directory, start Prometheus on it, `hand_over` at one instant:
    serve the exporter that comes of it, let Prometheus scrape it, and `fill` what lies between.
    """

    services: Sequence[Service]
    demand: Demand
    plan: PastPlan
    nodes: Sequence[Node] = ()

    def pasts(self, until_seconds: float, living: Living | None = None) -> list[Past]:
        """Each service from the plan's start to the given instant."""
        known = living or {}
        return [
            replay(service, self.demand, self.plan, until_seconds, known.get(service.key, ()))
            for service in self.services
        ]

    def write_blocks(self, data_directory: Path, promtool: Path, living: Living | None = None) -> int:
        """All samples up to three hours before the end of the plan, which must not lie in the future; how many.

        Raises:
            HistoryError: promtool refused.
        """
        tracks = all_tracks(self.pasts(self.plan.end_seconds, living), self.nodes)
        return write_blocks(data_directory, tracks, self.plan.end_seconds - HEAD_SECONDS, promtool)

    def hand_over(self, at_seconds: float, living: Living | None = None) -> "Handover":
        """From past to present at one instant.

        `living` names the ready pods of each service ("namespace/name" → pods): with them the counters of a pod run
        through from the past.
        """
        pasts = self.pasts(at_seconds, living)
        exporter = Exporter(services=[past.resume() for past in pasts])
        return Handover(exporter, pasts, self.nodes, since_seconds=self.plan.end_seconds - HEAD_SECONDS)

    def fresh_exporter(self, now_seconds: float) -> Exporter:
        """All services newly started, for whoever needs no past."""
        return Exporter(services=[LiveService(service, self.demand, now_seconds) for service in self.services])


@dataclass(frozen=True, slots=True)
class Handover:
    """Where the past ends and the exporter begins.

    Both must be of one instant: a replayed sample later than a scraped one would lie a little beside it, and a counter
    that goes down by a hair has restarted, to Prometheus.
    """

    exporter: Exporter
    pasts: Sequence[Past]
    nodes: Sequence[Node]
    since_seconds: float  # where the blocks end

    async def fill(self, prometheus_url: str) -> int:
        """Send the samples that no block holds, up to the handover; returns how many.

        Raises:
            RemoteWriteError: Prometheus refused.
        """
        return await fill(prometheus_url, all_tracks(self.pasts, self.nodes), self.since_seconds)
