"""What readings can plausibly be. What lies beyond is Missing with a reason, wherever it comes in, and is not added up.

One finite sample of 1e308 (Go's largest is 1.8e308) times 60 s is Infinity, and what was added to Infinity never comes
back. Each bound here is far above anything that is built, and so far below 1e308 that sums over years, squares and
ratios of it stay finite: 1e15 per second for thirty years are 1e24, its square is 1e30.
"""

from __future__ import annotations

import math

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading


@frozen
class Bound:
    """Plausible values of one quantity, from 0 on.

    Attributes:
        most: Largest, in base units.
        unit: For messages.
    """

    most: float
    unit: str = ""

    def holds(self, value: float) -> bool:
        """Whether the value can be; NaN cannot."""
        return 0.0 <= value <= self.most

    def refusal(self, value: float, what: str) -> Missing | None:
        """Why a value cannot be; None when it can."""
        if not math.isfinite(value):
            why = "there was no traffic to measure" if math.isnan(value) else "something was divided by nothing"
            return Missing(MissingReason.NOT_A_NUMBER, f"{what} is {value}: {why}")
        if value < 0.0:
            return Missing(MissingReason.OUT_OF_RANGE, f"{what} is {value:g}; it cannot be negative")
        if value > self.most:
            most = f"{self.most:g} {self.unit}".rstrip()
            return Missing(MissingReason.OUT_OF_RANGE, f"{what} is {value:g}; more than {most} is not plausible")
        return None

    def checked(self, reading: Reading, what: str) -> Reading:
        """The reading, or why its value cannot be."""
        return reading if isinstance(reading, Missing) else self.refusal(reading.value, what) or reading


# Load in any unit a user counts in, up to bytes per second of a large cluster; also queues and latencies.
LOAD = Bound(1e15)
# No pod draws 100 kW; DCGM says 1.4e14 or 9.2e18 where it cannot read a device.
POD_WATTS = Bound(1e5, "W")
# Rounding of exporters; a percentage given as a ratio would be far beyond.
UTILIZATION_FRACTION = Bound(1.05)
# Of pods and their containers: a node has a few hundred cores and a few TiB.
POD_CPU_CORES = Bound(1e6, "cores")
POD_MEMORY_BYTES = Bound(1e18, "bytes")
# The dearest instances with eight accelerators are a few hundred $/h, a rack is a few thousand.
USD_PER_HOUR = Bound(1e6, "$/h")
# Lignite is about 1,200.
CARBON_GRAMS_PER_KWH = Bound(1e5, "g/kWh")

# What one interval of a ledger may add of anything: `LOAD` for ten minutes is 6e17.
MOST_PER_INTERVAL = 1e20
# What thirty years of such seconds add up to; a sum beyond it was not added up by this version.
MOST_COUNTED = 1e30
# A replica that serves less would make any load need more replicas than an integer of a status holds.
LEAST_CAPACITY_PER_SECOND = 1e-9
