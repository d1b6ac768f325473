"""Sources that fail as a whole, in the log: one line when it begins, one when it is over."""

from __future__ import annotations

import logging
from collections.abc import Sequence

logger = logging.getLogger(__name__)


class SourceLog:
    """Remembers which sources fail, so that an outage of a day is two lines and not 1,440."""

    def __init__(self) -> None:
        self._failing: frozenset[str] = frozenset()

    def note(self, problems: Sequence[str]) -> None:
        """Log what has changed since the last cycle; problems are told as in ``Observation.problems``."""
        first: dict[str, str] = {}
        for problem in problems:
            first.setdefault(_source_of(problem), problem)
        for source, problem in first.items():
            if source not in self._failing:
                logger.warning("A source fails, and what it knows is unknown until it is back: %s", problem)
        for source in sorted(self._failing - first.keys()):
            logger.info("No longer seen: %s", source)
        self._failing = frozenset(first)


def _source_of(problem: str) -> str:
    """Which source it is: what follows the first colon (a cause, a number of seconds) changes while an outage lasts."""
    return problem.partition(": ")[0]
