"""One load from end to end: its past in Prometheus, and its present in the exporter, of one piece."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

    The order of use: `write_blocks` into an empty data directory, start Prometheus on it, `fill` it up to now, serve
    the `exporter` and let Prometheus scrape it. `living` names the ready pods of each service ("namespace/name" → pods)
    once there are any; with it every counter runs through from two weeks ago to the present pod.
    """

    services: Sequence[Service]
    demand: Demand
    plan: PastPlan
    nodes: Sequence[Node] = ()
    living: Living = field(default_factory=dict)

    def pasts(self, until_seconds: float) -> list[Past]:
        """Each service from the plan's start to the given instant."""
        return [
            replay(service, self.demand, self.plan, until_seconds, self.living.get(service.key, ()))
            for service in self.services
        ]

    def write_blocks(self, data_directory: Path, promtool: Path, now_seconds: float) -> int:
        """All samples but those of the last three hours; returns how many.

        Raises:
            HistoryError: promtool refused.
        """
        return write_blocks(data_directory, all_tracks(self.pasts(now_seconds), self.nodes), self._split(), promtool)

    async def fill(self, prometheus_url: str, now_seconds: float) -> int:
        """The samples that no block holds, up to now, into a running Prometheus; returns how many.

        Raises:
            RemoteWriteError: Prometheus refused.
        """
        return await fill(prometheus_url, all_tracks(self.pasts(now_seconds), self.nodes), self._split())

    def exporter(self, now_seconds: float) -> Exporter:
        """All services alive, where their past ends."""
        return Exporter(services=[past.resume() for past in self.pasts(now_seconds)])

    def fresh_exporter(self, now_seconds: float) -> Exporter:
        """All services newly started, for whoever needs no past."""
        return Exporter(services=[LiveService(service, self.demand, now_seconds) for service in self.services])

    def _split(self) -> float:
        """The same instant for blocks and fill, whenever they are called: three hours before the planned end."""
        return self.plan.end_seconds - HEAD_SECONDS
