"""What time it is, for everything the operator decides and pays: steady, and agreed with the servers it speaks to.

The clock of a machine may be wrong at the start, be set by a day, and be set back. Taken as it is, a step of a day is
billed as a day, and a budget is gone for good. So time advances by the monotonic clock alone, and what it began with is
what most of three say: this machine, the API server and Prometheus, whose answers all carry their date.

The date of an answer has a resolution of a second: on a local control plane it was 0.0 to 1.0 s behind the moment it
came in. So this machine's own clock stands while it is within `TOLERANCE_SECONDS` of what is agreed.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime

logger = logging.getLogger(__name__)

# Half a second of rounding, and an answer that took two to come.
TOLERANCE_SECONDS = 2.5
# What a server said of its time this long ago still counts: monotonic clocks drift by 0.1 ms in it.
MEMORY_SECONDS = 120.0
# Two servers whose clocks are so far apart from this one's are believed, and what was dated before is dated anew. Less
# is made up for by and by, 1 ms in a second, so that no interval is longer or shorter than it was by more than that.
LEAP_SECONDS = 5.0
SLEW = 0.001


def agreed(own: float, servers: Sequence[float], before: float | None) -> float:
    """Which clock is right: each as Unix seconds at the same instant.

    Args:
        own: This machine's.
        servers: Of those that were heard lately, the API server first.
        before: What was agreed last, carried on by the monotonic clock; None at the start.

    Returns:
        The one most of them agree with. Of two that differ, the one that goes on from before; without a before, the
        server's: its clock dates the objects that everything is counted from.
    """
    if len(servers) >= 2:
        reference = statistics.median((own, *servers))
    elif len(servers) == 1:
        goes_on = before is not None and abs(own - before) <= TOLERANCE_SECONDS
        reference = own if goes_on else servers[0]
    else:
        reference = own if before is None else before
    return own if abs(own - reference) <= TOLERANCE_SECONDS else reference


class FleetClock:
    """Unix seconds that only advance as the monotonic clock does.

    Args:
        wall_clock: This machine's Unix seconds.
        clock: Monotonic seconds.
    """

    def __init__(
        self, wall_clock: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall_clock = wall_clock
        self._clock = clock
        self._heard: dict[str, tuple[float, float]] = {}
        self._offset_seconds: float | None = None
        self._adjusted_at = clock()
        self._error_seconds = 0.0

    @property
    def error_seconds(self) -> float:
        """How far this machine's clock is ahead of what is agreed."""
        return self._wall_clock() - self.now_seconds()

    def hear(self, server: str, date: str) -> None:
        """Note the ``Date`` of an answer; one that is none says nothing. Safe from any thread."""
        try:
            told = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return
        at = self._clock()
        # It was cut to the second; half of one is the middle of what it may have been.
        self._heard[server] = (told + 0.5 - at, at)

    def now_seconds(self) -> float:
        """The time by the last adjustment; before the first, by this machine's clock."""
        if self._offset_seconds is None:
            return self._wall_clock()
        return self._offset_seconds + self._clock()

    def adjust(self) -> float:
        """Compare the clocks; returns by how much time was set, 0.0 where it only went on."""
        at = self._clock()
        heard = [offset for offset, heard_at in self._servers() if at - heard_at <= MEMORY_SECONDS]
        own = self._wall_clock() - at
        offset = agreed(own, heard, self._offset_seconds)
        self._say(own - offset)
        elapsed, self._adjusted_at = at - self._adjusted_at, at
        if self._offset_seconds is None:
            self._offset_seconds = offset
            return 0.0
        change = offset - self._offset_seconds
        if abs(change) >= LEAP_SECONDS:
            self._offset_seconds = offset
            return change
        self._offset_seconds += max(-SLEW * elapsed, min(SLEW * elapsed, change))
        return 0.0

    def _servers(self) -> list[tuple[float, float]]:
        return [self._heard[name] for name in sorted(self._heard)]

    def _say(self, error_seconds: float) -> None:
        """Once when the clock goes wrong or right, not in each cycle."""
        was, self._error_seconds = self._error_seconds, error_seconds
        if abs(error_seconds - was) < LEAP_SECONDS:
            return
        if abs(error_seconds) < LEAP_SECONDS:
            logger.warning("This machine's clock agrees with the servers' again.")
        else:
            logger.warning("This machine's clock is %+.0f s from the servers'; theirs stands.", error_seconds)
