"""Money: what one replica costs per hour, and who says so.

A replica costs its parts: accelerators, cores, memory. For each part the price of a CostPolicy comes first, then
OpenCost's, which knows NVIDIA devices only, then the built-in table by device model and capacity type. Where only the
price of the whole node is known, the replica pays its share of it. A table price is the whole instance divided by its
accelerators, host included, so cores and memory are never added to it. Nobody knows the price of a device: it is
missing, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kcloud_autoscale.account.devices import HeldCards, held_cards
from kcloud_autoscale.domain.accelerator import AcceleratorTable
from kcloud_autoscale.domain.device import Family
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.node import CapacityType, capacity_type
from kcloud_autoscale.domain.observation import NodeObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import PriceOverride, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.replica_devices import held_devices
from kcloud_autoscale.domain.units import BYTES_PER_GIB

Nodes = Mapping[str, NodeObservation]
_NOWHERE = NodeObservation("")
_NO_OVERRIDE = PriceOverride()
OVERRIDE = "override"
OPENCOST = "opencost"
# A replica this large leaves no room for anything but the node's own daemons: it costs the node.
FILLS_NODE = 0.9


@frozen
class Asked:
    """What one replica asks of a node.

    Attributes:
        cores: None where it asks for none.
        gib: Of memory; None where it asks for none.
        cards: Its accelerators.
    """

    cores: float | None
    gib: float | None
    cards: tuple[HeldCards, ...]

    def card_share(self, node: NodeObservation) -> float:
        """Its part of the node's devices: 2 of 8 are a quarter. 0 where the node does not count them."""
        return max((_share(held.units, node.allocatable.get(held.resource)) for held in self.cards), default=0.0)

    def host_share(self, node: NodeObservation) -> float:
        """Its part of the node's cores or memory, whichever is larger."""
        cores, memory_bytes = node.allocatable.get("cpu"), node.allocatable.get("memory")
        return max(_share(self.cores, cores), _share(self.gib, memory_bytes and memory_bytes / BYTES_PER_GIB))

    def share(self, node: NodeObservation) -> float:
        """The dominant of the two, 1 at most: 8 of 32 cores and 16 of 125 GiB are a quarter of the node."""
        return min(1.0, max(self.card_share(node), self.host_share(node)))


def replica_price(
    policy: WorkloadPolicy,
    seen: WorkloadObservation,
    nodes: Nodes,
    override: PriceOverride | None,
    table: AcceleratorTable,
    now_seconds: float,
) -> Reading:
    """USD per hour of one replica where its pods run now; the mean over its pods when nodes differ.

    A workload without a bound pod is priced on the dearest node that carries its devices: where the next pod lands
    is not known, and a cap must hold wherever it does.
    """
    pricing = _Pricing(policy, seen, override or _NO_OVERRIDE, table, now_seconds)
    here = _pods_by_node(seen, nodes)
    if here:
        return _mean([(pricing.on(nodes[name]), count) for name, count in here.items()])
    return _dearest(pricing, nodes)


def on_demand_price(
    actual: Reading,
    policy: WorkloadPolicy,
    seen: WorkloadObservation,
    nodes: Nodes,
    table: AcceleratorTable,
    now_seconds: float,
) -> Reading:
    """USD per hour the same replica would cost on demand: what the baseline pays.

    Where nothing better is known than the price paid, nothing is claimed to have been saved by spot.
    """
    if isinstance(actual, Missing) or actual.source.startswith(OVERRIDE):
        return actual
    here = _pods_by_node(seen, nodes)
    if all(capacity_type(nodes[name].labels) is not CapacityType.SPOT for name in here):
        return actual
    pricing = _Pricing(policy, seen, _NO_OVERRIDE, table, now_seconds)
    listed = _mean([(pricing.listed_on_demand(nodes[name]), pods) for name, pods in here.items()])
    if isinstance(listed, Missing) or listed.value < actual.value:
        return actual
    return listed


def _impossible(price: Reading) -> Missing | None:
    """Why a price that somebody tells cannot be, which says more than that nobody else knows one."""
    told = isinstance(price, Missing) and price.reason in (MissingReason.OUT_OF_RANGE, MissingReason.NOT_A_NUMBER)
    return price if told and isinstance(price, Missing) else None


@frozen
class _Pricing:
    """How one replica of a workload is priced on any node."""

    policy: WorkloadPolicy
    seen: WorkloadObservation
    override: PriceOverride
    table: AcceleratorTable
    now_seconds: float

    def on(self, node: NodeObservation) -> Reading:
        """The price of one replica on a node."""
        asked = self._asked(node)
        if isinstance(asked, Missing):
            return asked
        if not asked.cards:
            return self._host_only(asked, node)
        return self._with_accelerators(asked, node)

    def listed_on_demand(self, node: NodeObservation) -> Reading:
        """The table's price of its devices there, however the node is paid for: two H100 are 13.76 $/h."""
        asked = self._asked(node)
        if isinstance(asked, Missing):
            return asked
        prices = [self._listed_card(held, node, 1.0) for held in asked.cards]
        return (
            _total(prices) if prices else Missing(MissingReason.NO_DATA, "a replica without devices has no list price")
        )

    def _asked(self, node: NodeObservation) -> Asked | Missing:
        resources, seen = self.policy.resources, self.seen
        cards = held_cards(self.policy, seen, node, self.table)
        if isinstance(cards, Missing):
            return cards
        cores = resources.cpu_cores if seen.replica_cpu_cores is None else seen.replica_cpu_cores
        memory = resources.memory_bytes if seen.replica_memory_bytes is None else seen.replica_memory_bytes
        return Asked(cores, None if memory is None else memory / BYTES_PER_GIB, cards)

    def _with_accelerators(self, asked: Asked, node: NodeObservation) -> Reading:
        prices = [self._card(held, node) for held in asked.cards]
        accelerators = _total(prices)
        if isinstance(accelerators, Missing):
            return accelerators
        inside = [price for price in prices if isinstance(price, Sample) and price.source.startswith("table")]
        if inside:
            # Host CPU and RAM are inside a list price; a policy's prices of those would count them twice.
            return accelerators
        return _plus(accelerators, self._host_beside(asked, node))

    def _card(self, held: HeldCards, node: NodeObservation) -> Reading:
        """The price of some cards by themselves: the policy's, OpenCost's, the table's."""
        own = self.override.gpu_usd_per_hour if held.family is Family.GPU else self.override.npu_usd_per_hour
        if own is not None:
            return Sample(own * held.cards, self.now_seconds, OVERRIDE)
        if held.resource.startswith("nvidia.com/") and not held.claimed:
            each, whole = node.gpu_hourly_usd, node.hourly_usd
            if isinstance(each, Sample) and each.value > 0.0:
                return Sample(each.value * held.cards, each.at_seconds, _opencost(each))
            units = node.allocatable.get(held.resource)
            if isinstance(whole, Sample) and whole.value > 0.0 and units:
                return Sample(whole.value * min(1.0, held.units / units), whole.at_seconds, f"{_opencost(whole)} node")
        spot = capacity_type(node.labels) is CapacityType.SPOT
        listed = self._listed_card(held, node, self.table.spot_multiplier if spot else 1.0)
        return _impossible(node.gpu_hourly_usd) or listed if isinstance(listed, Missing) else listed

    def _listed_card(self, held: HeldCards, node: NodeObservation, multiplier: float) -> Reading:
        model = held.model
        if model is None:
            where = f" on node {node.name}" if node.name else ""
            return Missing(
                MissingReason.NO_DATA, f"no model is known for {held.resource}{where}: set its price in a CostPolicy"
            )
        if model.usd_per_hour is None:
            return Missing(MissingReason.NO_DATA, f"{model.name} has no public price: set it in a CostPolicy")
        source = f"table {model.name}" + (" spot" if multiplier < 1.0 else "")
        return Sample(model.usd_per_hour * multiplier * held.cards, self.now_seconds, source)

    def _host_beside(self, asked: Asked, node: NodeObservation) -> Sample | None:
        """Cores and memory of a replica whose accelerators are priced by themselves; None where nothing prices them.

        Cards take their part of the host with them: who holds the only card of a node holds its cores and memory too,
        asked for or not. 1.006 $/h of a node whose GPU is 0.58 leave 0.426 for them.
        """
        cores, gib = asked.cores, asked.gib
        if self.override.cpu_usd_per_core_hour is None and self.override.memory_usd_per_gib_hour is None:
            if isinstance(node.hourly_usd, Sample) and isinstance(node.gpu_hourly_usd, Sample):
                devices = node.gpu_hourly_usd.value * _cards_of(asked.cards, node)
                rest = max(0.0, node.hourly_usd.value - devices)
                return Sample(rest * asked.share(node), node.hourly_usd.at_seconds, _opencost(node.hourly_usd))
            with_cards = asked.card_share(node)
            cores = _at_least(cores, with_cards, node.allocatable.get("cpu"))
            memory_bytes = node.allocatable.get("memory")
            gib = _at_least(gib, with_cards, memory_bytes and memory_bytes / BYTES_PER_GIB)
        parts = [
            Sample(price.value * amount, price.at_seconds, price.source)
            for amount, price in ((cores, self._core_price(node)), (gib, self._gib_price(node)))
            if amount is not None and isinstance(price, Sample)
        ]
        total = _total(parts) if parts else None
        return total if isinstance(total, Sample) else None

    def _host_only(self, asked: Asked, node: NodeObservation) -> Reading:
        """A replica without devices: its cores and memory where each has a price, else its share of the node.

        8 of 32 cores of a node at 1.60 $/h are 0.40 $/h. One that fills the node costs the node.
        """
        amounts = ((asked.cores, self._core_price(node)), (asked.gib, self._gib_price(node)))
        wanted = [(amount, price) for amount, price in amounts if amount is not None]
        parts = _total(
            [
                price if isinstance(price, Missing) else Sample(price.value * amount, price.at_seconds, price.source)
                for amount, price in wanted
            ]
        ) if wanted else None  # fmt: skip
        whole, share = node.hourly_usd, asked.share(node)
        if isinstance(parts, Sample):
            filled = isinstance(whole, Sample) and share >= FILLS_NODE and not parts.source.startswith(OVERRIDE)
            return whole if filled and whole.value > parts.value else parts  # type: ignore[union-attr]
        if not node.name:
            return Missing(MissingReason.NO_DATA, "no replica runs on a node we know, so there is no node to price")
        if isinstance(whole, Missing):
            return Missing(MissingReason.NO_DATA, f"no price of node {node.name} is known: set CPU and memory prices")
        if share <= 0.0:
            what = f"what part of node {node.name} a replica takes is not known: it asks for neither CPU nor memory"
            return Missing(MissingReason.NOT_CONFIGURED, what)
        return Sample(whole.value * share, whole.at_seconds, _opencost(whole))

    def _core_price(self, node: NodeObservation) -> Reading:
        own = self.override.cpu_usd_per_core_hour
        return node.core_hourly_usd if own is None else Sample(own, self.now_seconds, OVERRIDE)

    def _gib_price(self, node: NodeObservation) -> Reading:
        own = self.override.memory_usd_per_gib_hour
        return node.gib_hourly_usd if own is None else Sample(own, self.now_seconds, OVERRIDE)


def _opencost(price: Sample) -> str:
    """Source of a price of OpenCost; it says where the price of the moment is doubted and the usual one stands."""
    return f"{OPENCOST} ({price.source})" if "doubted" in price.source else OPENCOST


def _cards_of(cards: Sequence[HeldCards], node: NodeObservation) -> float:
    """All cards of the node that OpenCost prices, from what one unit of each resource is."""
    return sum(
        held.cards / held.units * node.allocatable.get(held.resource, held.units)
        for held in cards
        if held.units > 0.0 and held.resource.startswith("nvidia.com/")
    )


def _share(amount: float | None, of: float | None) -> float:
    return 0.0 if not amount or not of else amount / of


def _at_least(amount: float | None, share: float, of: float | None) -> float | None:
    """The larger of what is asked and the share that goes with the cards."""
    if of is None:
        return amount
    return max(amount or 0.0, min(1.0, share) * of)


def _plus(price: Sample, more: Sample | None) -> Sample:
    if more is None:
        return price
    source = price.source if more.source == price.source else f"{price.source} + {more.source} host"
    return Sample(price.value + more.value, min(price.at_seconds, more.at_seconds), source)


def _total(parts: Sequence[Reading]) -> Reading:
    """The sum; missing as soon as a part is. As old as the oldest, and named after all sources."""
    total, at_seconds, sources = 0.0, float("inf"), []
    for part in parts:
        if isinstance(part, Missing):
            return part
        total += part.value
        at_seconds = min(at_seconds, part.at_seconds)
        if part.source not in sources:
            sources.append(part.source)
    return Sample(total, at_seconds, " + ".join(sources))


def _pods_by_node(seen: WorkloadObservation, nodes: Nodes) -> Mapping[str, int]:
    if isinstance(seen.target, Missing):
        return {}
    return {name: pods for name, pods in seen.target.pods.staying_by_node.items() if name in nodes}


def _dearest(pricing: _Pricing, nodes: Nodes) -> Reading:
    """On the dearest node that carries its devices; where none is known, as far as a price needs no node."""
    devices = held_devices(pricing.policy, pricing.seen)
    carrying = [node for node in nodes.values() if all(node.allocatable.get(resource) for resource in devices)]
    known = [price for price in (pricing.on(node) for node in carrying) if isinstance(price, Sample)]
    if known:
        return max(known, key=lambda price: price.value)
    return pricing.on(_NOWHERE)


def _mean(priced: list[tuple[Reading, int]]) -> Reading:
    """Mean over pods; missing as soon as one of them has no price."""
    total, pods = 0.0, 0
    for price, count in priced:
        if isinstance(price, Missing):
            return price
        total += price.value * count
        pods += count
        last = price
    return Sample(total / pods, last.at_seconds, last.source)
