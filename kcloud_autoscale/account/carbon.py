"""Carbon: grams of CO2 equivalent from energy and the grid's intensity. Unknown intensity is unknown carbon, not 0."""

from __future__ import annotations

from kcloud_autoscale.domain.reading import Reading, times
from kcloud_autoscale.domain.units import JOULES_PER_KWH


def grams_co2e(joules: float, grams_per_kwh: Reading) -> Reading:
    """Emissions of an amount of energy: 7.2 MJ (2 kWh) at 425 g/kWh are 850 g."""
    return times(grams_per_kwh, joules / JOULES_PER_KWH)
