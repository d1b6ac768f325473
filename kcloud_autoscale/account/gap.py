"""Time in which no process accounted: what ran is paid for all the same.

It saves nothing, unless it was no longer than an interval may be and the count is the same on both sides of it: the
seconds until a killed process is back are then as well known as those between two ticks.

A process that is killed before the end of its cycle again and again would never count a cent otherwise. What ran is
read from Prometheus where it has been recorded; for the rest the larger of the counts on either side stands, so that a
gap is never cheaper than what surely ran.
"""

from __future__ import annotations

from dataclasses import replace

from kcloud_autoscale.account.ledger import LONGEST_COMPARED_SECONDS, Entry, Interval, entry, extended
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, Reading
from kcloud_autoscale.domain.state import Gap, Ledger, Usage
from kcloud_autoscale.domain.units import usd


def settle_gap(
    ledger: Ledger, gap: Gap, policy: WorkloadPolicy, interval: Interval, usd_per_replica_hour: Reading,
    now_seconds: float,
) -> tuple[Ledger, Entry | None]:  # fmt: skip
    """The ledger with the gap since its last update, and what that added.

    Two hours at 10 $/h each, of which Prometheus saw one with 3 replicas on average; 2 ran before and 5 run now:
    3 x 10 + 5 x 10 = 80 $, 50 $ of it estimated.

    Args:
        ledger: As the last process left it.
        gap: What is known of the time since.
        policy: Its budget period.
        interval: What runs now, and the devices of a replica.
        usd_per_replica_hour: The price now; while it is unknown the last known one stands.
        now_seconds: Unix time of this tick.
    """
    seconds = now_seconds - ledger.updated_seconds
    if seconds <= 0.0:
        return ledger, None
    price = gap.usd_per_replica_hour if isinstance(usd_per_replica_hour, Missing) else usd_per_replica_hour.value
    fraction = 0.0 if gap.observed_replicas is None else gap.observed_fraction
    running = 0 if interval.actual is None else interval.actual.replicas
    read = (gap.observed_replicas or 0.0) * fraction * seconds
    assumed = max(gap.replicas or 0, running) * (1.0 - fraction) * seconds
    devices = (read + assumed) * interval.accelerators_per_replica
    added = Entry(seconds, Usage(read + assumed, devices, usd(price or 0.0, read + assumed)))
    same = running == gap.replicas and abs(read + assumed - running * seconds) <= 1e-6 * seconds
    if same and seconds <= LONGEST_COMPARED_SECONDS and not isinstance(usd_per_replica_hour, Missing):
        added = entry(interval, seconds)
    added = replace(added, estimated_usd=usd(price or 0.0, assumed))
    return extended(ledger, added, policy.caps, policy.created_seconds, now_seconds), added
