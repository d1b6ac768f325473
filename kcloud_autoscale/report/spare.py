"""Why not less? Replica-hours that the demand turned out not to need, by what held them.

For each step the count is taken apart from the ground up: what the demand of the step needed; what the median of the
forecast peak needs beyond it, a rise that was expected; what the planned level needs beyond the median, which is
uncertainty; what is kept because one ordered anew could be late; what the floor holds; and the rest, which windows,
rate limits and rules without a forecast hold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from kcloud_autoscale.domain.units import SECONDS_PER_HOUR
from kcloud_autoscale.simulate.run import Outcome
from kcloud_autoscale.simulate.world import WorldRules

_MEANINGS = {
    "floor": "minReplicas: what runs whatever the load.",
    "rise ahead": "The median forecast of the peak until new replicas could serve is above this step's demand.",
    "uncertainty": "Between the median and the level provisioned for: insurance against what the forecast cannot know.",
    "kept": "Runs already, and the peak could need it before one that is ordered anew could serve.",
    "no forecast": "No trusted forecast: HPA's rule at 70 % of capacity.",
    "windows and limits": "Held from earlier steps by the scale-down window, rate limits or an outage of the metrics.",
}


@dataclass(frozen=True, slots=True)
class Spare:
    """One holder of spare replicas."""

    name: str
    replica_hours: float
    meaning: str


def spare_hours(outcome: Outcome, rules: WorldRules) -> list[dict[str, object]]:
    """Replica-hours by holder, largest first; empty for a policy that kept no trail."""
    trail, run = outcome.trail, outcome.run
    if trail is None:
        return []
    # Floats, for the need of a demand without bounds is no int64; counts are exact in them.
    needs = np.array(trail.needs, dtype=np.float64).reshape(-1, 4)
    median, planned, kept = needs[:, 1], needs[:, 2], needs[:, 3]
    counted = np.isfinite(run.demand)
    left = run.replicas.astype(np.float64)
    bare = np.ceil(np.nan_to_num(run.demand) / rules.capacity_per_replica - 1e-9)
    base = np.minimum(bare, left)
    hours: dict[str, float] = {}
    trusted = planned >= 0
    layers = {
        "floor": np.full(len(left), rules.min_replicas),
        "rise ahead": np.where(trusted, median, 0),
        "uncertainty": np.where(trusted, planned, 0),
        "kept": np.where(trusted, kept, 0),
        "no forecast": np.where(trusted, 0, left),
        "windows and limits": left,
    }
    for name, top in layers.items():
        upto = np.minimum(np.maximum(top, base), left)
        hours[name] = float((upto - base)[counted].sum()) * run.step_seconds / SECONDS_PER_HOUR
        base = upto
    found = [Spare(name, value, _MEANINGS[name]) for name, value in hours.items() if value > 0.0]
    return [asdict(spare) for spare in sorted(found, key=lambda spare: -spare.replica_hours)]
