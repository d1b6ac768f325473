"""What our own policy thought at each step, kept small: for the report's band, its log and its "why not less?"."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kcloud_autoscale.domain.decision import Decision, Step

Row = tuple[str, int, int, str, str]
_OBSERVED, _FORECAST, _KEEP = "observed-demand", "forecast", "keep"


@dataclass(frozen=True, slots=True)
class Thought:
    """One decision that changed the count or was late: stage, before, after, reason and message of each step."""

    index: int
    before: int
    after: int
    reason: str
    steps: tuple[Row, ...]


@dataclass(slots=True)
class Trail:
    """One entry per scored step; NaN and -1 where there was no trusted forecast.

    Attributes:
        median: Of the forecast peak, load per second.
        planned: At the level that was provisioned for.
        needs: In replicas, what the load needs now, what the median peak and the planned peak need, and what is kept.
        thoughts: In full, where the count changed.
    """

    kappa: float
    median: list[float] = field(default_factory=list)
    planned: list[float] = field(default_factory=list)
    needs: list[tuple[int, int, int, int]] = field(default_factory=list)
    thoughts: list[Thought] = field(default_factory=list)

    def note(self, decision: Decision, before: int, after: int) -> None:
        """Keep what the report shows of a decision."""
        index = len(self.median)
        proposed = {proposal.name: proposal.replicas for proposal in decision.proposals}
        observed = proposed.get(_OBSERVED, proposed.get("demand", -1))
        if decision.forecast is not None and decision.level is not None:
            median, planned = decision.forecast.at(0.5), decision.forecast.at(decision.level)
            expected = math.ceil(median / self.kappa - 1e-9)
            self.needs.append((observed, expected, proposed.get(_FORECAST, -1), proposed.get(_KEEP, -1)))
        else:
            median = planned = math.nan
            self.needs.append((observed, -1, -1, -1))
        self.median.append(median)
        self.planned.append(planned)
        if before != after:
            self.thoughts.append(Thought(index, before, after, decision.final_reason, _rows(decision.steps)))


def _rows(steps: tuple[Step, ...]) -> tuple[Row, ...]:
    """The steps that say something: those that changed the count, and that of the size."""
    return tuple(
        (step.stage.value, step.before, step.after, step.reason, step.message)
        for step in steps
        if step.before != step.after or step.stage.value == "size"
    )
