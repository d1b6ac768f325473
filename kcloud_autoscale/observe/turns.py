"""Who is read as a whole in this cycle: two weeks of a thousand new workloads at once would be 160 MB."""

from __future__ import annotations

from collections.abc import Sequence

from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.watched import Watched

# Values held at once, 16 MB: 99 workloads with two weeks of minutes. With twice as many the controller of a thousand
# stood at 403 MB for a moment, and a busy Prometheus does not answer more within a cycle anyway.
WHOLE_VALUES = 2_000_000


class Turns:
    """Gives each its turn: those who have not been asked for longest come first.

    A workload nobody knows anything of is new in every cycle. It must not keep others from being read.
    """

    def __init__(self, at_once: float = WHOLE_VALUES) -> None:
        """Nobody was asked for; ``at_once`` values are read in one cycle, or as many as one workload takes."""
        self._at_once = at_once
        self._round = 0
        self._asked_in: dict[WorkloadKey, int] = {}

    def take(self, new: Sequence[Watched], values_each: int) -> list[Watched]:
        """Those to read now, one at least.

        Args:
            new: Workloads of which nothing has been read.
            values_each: Values that one of them takes.
        """
        self._round += 1
        waited = sorted(new, key=lambda each: self._asked_in.get(each.key, 0))
        chosen = [each for at, each in enumerate(waited) if at == 0 or (at + 1) * values_each <= self._at_once]
        self._asked_in = {each.key: at for each in new if (at := self._asked_in.get(each.key))}
        self._asked_in |= {each.key: self._round for each in chosen}
        return chosen
