"""OpenCost's prices of nodes. One that leaps is doubted: the usual one stands until the new one has become usual.

An exporter that lost its pricing for three samples said 312.40 $/h instead of 0.35, and a cap of 10 $/h cut a workload
from four replicas to one at once. Prices of clouds move by percents; one that is five times what it was for most of the
last hour is an error, or will still be there in half an hour, when it is the usual one.
"""

from __future__ import annotations

import asyncio

from kcloud_autoscale.domain.bounds import USD_PER_HOUR
from kcloud_autoscale.domain.reading import Missing, Reading, Sample
from kcloud_autoscale.observe import queries
from kcloud_autoscale.observe.query_session import QuerySession, reading

LEAP = 5.0


async def node_prices(asker: QuerySession, metric: str) -> dict[str, Reading]:
    """One of OpenCost's prices, by node."""
    now, usual = await asyncio.gather(
        asker.series(queries.node_price(metric), "OpenCost", lasting=True),
        asker.series(queries.usual_node_price(metric), "OpenCost", lasting=True),
    )
    if isinstance(now, Missing):
        return {}
    known = {} if isinstance(usual, Missing) else {each.labels.get("node", ""): each.value for each in usual}
    return {
        node: _weighed(reading(each, "OpenCost price", bound=USD_PER_HOUR), known.get(node))
        for each in now
        for node in [each.labels.get("node", "")]
    }


def _weighed(price: Reading, usual: float | None) -> Reading:
    """The price, or the usual one where it has leapt away from it; what was nothing may become anything."""
    if not isinstance(price, Sample) or usual is None or not usual > 0.0:
        return price
    if usual / LEAP <= price.value <= usual * LEAP:
        return price
    return Sample(usual, price.at_seconds, f"usual price, {price.value:g} $/h is doubted")
