"""How panels of a fleet are laid out: one grid and one prior per horizon, and what depends on a workload's name."""

from __future__ import annotations

import zlib

from kcloud_autoscale.forecast.panel import Panel
from kcloud_autoscale.forecast.priors import Knowledge, Prior, default_prior
from kcloud_autoscale.forecast.settings import DAY_SECONDS, FleetSettings, Grid, grid_of, steps_in

LONGEST_HORIZON = 512


def rung(steps: int) -> int:
    """The ladder's next horizon: 1 to 8 exactly, then four rungs per doubling (10, 12, 14, 16, 20, …).

    A lead time of 9 steps is forecast as one of 10: at most a quarter too far ahead, never too short.
    """
    if steps <= 8:
        return max(1, steps)
    base = 1 << ((steps - 1).bit_length() - 3)
    return min(LONGEST_HORIZON, -(-steps // base) * base)


def still_fits(current: int, wanted: int) -> bool:
    """Whether a horizon may stay: long enough, and at most half as long again as the rung that is wanted."""
    return min(wanted, LONGEST_HORIZON) <= current <= 3 * rung(wanted) // 2


class Layouts:
    """Everything a panel needs but its rows; the same in every process that works for the same fleet."""

    def __init__(
        self, step_seconds: float = 60.0, settings: FleetSettings | None = None, knowledge: Knowledge | None = None
    ) -> None:
        """Panels on a grid of ``step_seconds``; without ``knowledge`` the priors by hand serve."""
        self.step_seconds, self.settings = step_seconds, settings or FleetSettings()
        self._knowledge = knowledge
        self._made: dict[tuple[int, float | None], tuple[Grid, Prior]] = {}

    def horizon(self, steps: int) -> int:
        """The rung that covers so many steps; a day at most, because yesterday's window must be over."""
        return min(rung(steps), steps_in(DAY_SECONDS, self.step_seconds))

    def phase(self, name: str) -> int:
        """When in the round a workload refreshes and refits; from its name, so that company changes nothing."""
        return zlib.crc32(name.encode()) % self._of(1, None)[0].refit

    def panel(
        self,
        rows: int,
        horizon: int,
        refresh_seconds: float | None = None,
        blank: bool = True,
        model: str | None = None,
    ) -> Panel:
        """Rows with what is known of workloads in general; ``refresh_seconds`` other than the settings' to warm up.

        With ``model`` they are of workloads that asked for it.
        """
        grid, prior = self._of(horizon, refresh_seconds)
        boosted = None if self._knowledge is None else self._knowledge.boosted
        return Panel(rows, grid, self.settings, prior, boosted, blank, model)

    def _of(self, horizon: int, refresh_seconds: float | None) -> tuple[Grid, Prior]:
        """Grid and prior of a horizon, made once."""
        wanted = (horizon, refresh_seconds)
        if wanted not in self._made:
            grid = grid_of(self.settings, self.step_seconds, horizon, refresh_seconds)
            prior = default_prior(grid) if self._knowledge is None else self._knowledge.nearest(grid)
            self._made[wanted] = (grid, prior)
        return self._made[wanted]
