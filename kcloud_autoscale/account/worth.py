"""What one replica costs and draws, in one record for the limits and the books."""

from __future__ import annotations

from kcloud_autoscale.account.cost import on_demand_price, replica_price
from kcloud_autoscale.account.estimate import most_usd_per_hour, most_watts
from kcloud_autoscale.account.power import ReplicaPower, replica_power
from kcloud_autoscale.domain.accelerator import accelerator_table
from kcloud_autoscale.domain.bounds import USD_PER_HOUR
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import (
    NOT_ASKED,
    NodeObservation,
    Observation,
    TargetObservation,
    WorkloadObservation,
)
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, Reading
from kcloud_autoscale.domain.state import PowerState


@frozen
class Worth:
    """One replica.

    Attributes:
        usd_per_hour: What it costs where it runs.
        on_demand_usd_per_hour: The same on demand, what the baseline pays.
        power: What it draws.
        most_usd_per_hour: Where the price is not known, an estimate from above, for limits.
        most_watts: Where the draw is not known, the same.
    """

    usd_per_hour: Reading
    on_demand_usd_per_hour: Reading
    power: ReplicaPower
    most_usd_per_hour: Reading = NOT_ASKED
    most_watts: Reading = NOT_ASKED


def replica_worth(
    policy: WorkloadPolicy,
    seen: WorkloadObservation,
    measured: PowerState,
    observation: Observation,
    fleet: FleetPolicy,
    now_seconds: float,
) -> Worth:
    """Price and power of one replica of a workload.

    Args:
        policy: What a replica asks for, where its pods do not tell.
        seen: Its pods and their measured draw.
        measured: The draw of earlier ticks.
        observation: The nodes.
        fleet: Prices that a policy sets.
        now_seconds: Unix time of this tick.
    """
    table, nodes = accelerator_table(), observation.nodes
    override = fleet.price_overrides.get(policy.key)
    price = USD_PER_HOUR.checked(
        replica_price(policy, seen, nodes, override, table, now_seconds), "the price of a replica"
    )
    on_demand = USD_PER_HOUR.checked(
        on_demand_price(price, policy, seen, nodes, table, now_seconds), "the on-demand price of a replica"
    )
    drawn = replica_power(policy, seen, measured, table, now_seconds, _a_node(seen, observation))
    usd: Reading = NOT_ASKED
    if isinstance(price, Missing):
        usd = most_usd_per_hour(policy, seen, nodes, override, table, now_seconds)
    watts = most_watts(policy, seen, table, now_seconds) if isinstance(drawn.high, Missing) else NOT_ASKED
    return Worth(price, on_demand, drawn, usd, watts)


def _a_node(seen: WorkloadObservation, observation: Observation) -> NodeObservation | None:
    """A node that one of the pods runs on; it names the device where no metric does."""
    if not isinstance(seen.target, TargetObservation):
        return None
    for name in seen.target.pods.nodes:
        node = observation.nodes.get(name)
        if node is not None:
            return node
    return None
