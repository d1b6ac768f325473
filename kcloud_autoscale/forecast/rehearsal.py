"""What a model would have said in the last days, had it been asked then: fits at earlier cutoffs.

A workload whose model has no past would have to wait a day until Hedge has heard enough of it, after every restart of
the operator. So the days that a lesson is scored on are rehearsed: the model is fitted to what was known a day ago, two
days ago and three, and the lesson is taught once more with these fits, each heard only after its cutoff.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kcloud_autoscale.forecast.fitting import Fit, Wanted
from kcloud_autoscale.forecast.recurrence import LAGS, PastFit

DAYS = (3, 2, 1, 0)


@dataclass(slots=True)
class Rehearsal:
    """Fits of one workload at cutoffs of the last days.

    Attributes:
        wanted: Those still to be made, oldest cutoff first.
        fits: Those made.
        taught: Whether the workload has been taught with them.
    """

    wanted: list[Wanted]
    fits: list[PastFit] = field(default_factory=list)
    taught: bool = False

    @classmethod
    def of(cls, name: str, model: str, start: int, clock: int, day: int) -> Rehearsal:
        """Nothing fitted yet.

        Args:
            name: Of the workload.
            model: That it asked for.
            start: First step that fits may use.
            clock: Its last step.
            day: Steps per day.
        """
        cutoffs = [clock - days * day for days in DAYS]
        return cls([Wanted(name, model, start, cutoff) for cutoff in cutoffs if cutoff - start + 1 >= LAGS])

    @property
    def to_teach(self) -> bool:
        """Whether all that can be fitted is, and something to be taught has come of it."""
        return not self.wanted and bool(self.fits) and not self.taught

    def take(self, fit: Fit) -> bool:
        """Take a fit, or that there is none; False where it was none of these."""
        if fit.wanted not in self.wanted:
            return False
        self.wanted.remove(fit.wanted)
        if fit.values is not None:
            self.fits.append((fit.wanted.cutoff, fit.values))
        return True

    def stale(self, clock: int, day: int) -> bool:
        """Whether nothing came of it, or so long ago that the last day is to be rehearsed anew."""
        return not self.wanted and all(clock - cutoff > day for cutoff, _ in self.fits)
