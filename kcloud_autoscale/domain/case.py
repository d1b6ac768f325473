"""All that is known of one workload when its count is decided."""

from __future__ import annotations

from kcloud_autoscale.domain.capacity import Capacity, sizing_capacity
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import NOT_ASKED, WorkloadObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Reading
from kcloud_autoscale.domain.series import Forecast, Levels
from kcloud_autoscale.domain.state import Ledger, WorkloadState


@frozen
class Case:
    """One workload, looked at and priced.

    Attributes:
        policy: What its owner wants.
        seen: What runs and what it is asked to do.
        state: What the previous tick left behind.
        forecast: Peak of the demand within the lead time and one cycle; None where nobody forecasts.
        lead_time_seconds: From a write to a ready replica.
        lead_time_source: ``spec``, ``learned`` or ``default``.
        capacity: Load per second that one replica serves within its objective; None while unknown.
        usd_per_replica_hour: Price of one replica.
        watts_per_replica: Upper quantile of its draw.
        most_usd_per_replica_hour: Where the price is not known, an estimate from above; missing where nothing tells.
        most_watts_per_replica: The same of its draw.
        levels: Quantiles of the forecast to order and to keep by; None leaves it to priority.
        ledger: What was spent until now; None while nobody has counted.
    """

    policy: WorkloadPolicy
    seen: WorkloadObservation
    state: WorkloadState
    forecast: Forecast | None
    lead_time_seconds: float
    lead_time_source: str
    capacity: Capacity | None
    usd_per_replica_hour: Reading
    watts_per_replica: Reading
    most_usd_per_replica_hour: Reading = NOT_ASKED
    most_watts_per_replica: Reading = NOT_ASKED
    levels: Levels | None = None
    ledger: Ledger | None = None

    @property
    def capacity_per_replica(self) -> float | None:
        """κ that counts may rest on: a capacity that was never exceeded is none."""
        return sizing_capacity(self.capacity)
