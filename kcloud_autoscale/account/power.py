"""Power: what one replica draws now, at its upper quantile (for caps), and idle (for the baseline).

Measured where an exporter names the pods; else estimated from the accelerator table. A reading outside 0 to twice
the cards' TDP is an exporter's error (a sentinel, milliwatts taken for watts), not power.
"""

from __future__ import annotations

import math

from kcloud_autoscale.account.devices import held_cards
from kcloud_autoscale.domain.accelerator import AcceleratorTable
from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.observation import NodeObservation, WorkloadObservation
from kcloud_autoscale.domain.policy import WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.state import PowerState

# A DGX H100 draws 10.2 kW against 5.6 kW of GPUs; most hosts add less than that.
HOST_FACTOR = 1.3
SANE_TIMES_PEAK = 2.0
BLOCK_SECONDS = 900.0
# One day of blocks: the night's draw must not decide how many replicas fit under the cap in the morning.
BLOCKS = 96
HIGH_QUANTILE = 0.95
_NOWHERE = NodeObservation("")
_UNKNOWN_MODEL = Missing(MissingReason.NO_DATA, "neither measured, nor is the device's power known")


@frozen
class ReplicaPower:
    """Watts of one replica.

    Attributes:
        now: Mean over its pods.
        high: Upper quantile; the measured one, or the peak when estimated.
        idle: Without load; what one replica more or less changes when the same work is spread over more.
        state: For the next tick.
    """

    now: Reading
    high: Reading
    idle: Reading
    state: PowerState


@frozen
class _Envelope:
    """Idle and peak watts of the cards of one replica, host not included."""

    idle_watts: float
    peak_watts: float


def replica_power(
    policy: WorkloadPolicy,
    seen: WorkloadObservation,
    state: PowerState,
    table: AcceleratorTable,
    now_seconds: float,
    node: NodeObservation | None = None,
) -> ReplicaPower:
    """Watts of one replica now; ``node`` is one its pods run on and helps to name the device."""
    envelope = _envelope(policy, seen, node or _NOWHERE, table)
    idle: Reading = _UNKNOWN_MODEL
    if envelope is not None:
        idle = Sample(envelope.idle_watts * HOST_FACTOR, now_seconds, "estimate")
    measured = _measured(seen, envelope, now_seconds)
    if isinstance(measured, Sample):
        state = _remembered(state, measured.value, now_seconds)
    if state.high_watts is not None:
        now = measured if isinstance(measured, Sample) else _estimated(seen, envelope)
        high_watts = max(state.high_watts, now.value) if isinstance(now, Sample) else state.high_watts
        return ReplicaPower(now, Sample(high_watts, now_seconds, "measured"), idle, state)
    if envelope is None:
        return ReplicaPower(measured, measured, idle, state)
    high = Sample(envelope.peak_watts * HOST_FACTOR, now_seconds, "estimate")
    return ReplicaPower(_estimated(seen, envelope), high, idle, state)


def _envelope(
    policy: WorkloadPolicy, seen: WorkloadObservation, node: NodeObservation, table: AcceleratorTable
) -> _Envelope | None:
    """Idle and peak of all cards a replica holds: two H100 are 210 W and 1,400 W. None where no figure is public."""
    held = held_cards(policy, seen, node, table)
    if isinstance(held, Missing) or not held:
        return None
    idle = peak = 0.0
    for each in held:
        if each.model is None or each.model.peak_watts is None or each.model.idle_watts is None:
            return None
        idle += each.cards * each.model.idle_watts
        peak += each.cards * each.model.peak_watts
    return _Envelope(idle, peak)


def _measured(seen: WorkloadObservation, envelope: _Envelope | None, now_seconds: float) -> Reading:
    """Mean draw of a pod, or why there is none; total watts over ready pods where no exporter names the pods."""
    if seen.watts_per_pod:
        watts = sum(seen.watts_per_pod.values()) / len(seen.watts_per_pod)
    elif isinstance(seen.watts, Missing):
        return seen.watts
    elif isinstance(seen.target, Missing) or not seen.target.ready_replicas:
        return Missing(MissingReason.NO_DATA, "no ready replica draws the measured power")
    else:
        watts = seen.watts.value / seen.target.ready_replicas
    most = SANE_TIMES_PEAK * envelope.peak_watts if envelope is not None else math.inf
    # A device that is there draws more than nothing.
    if not 0.0 < watts <= most or not math.isfinite(watts):
        return Missing(MissingReason.OUT_OF_RANGE, f"{watts:g} W per replica is not between 0 and {most:g} W")
    return Sample(watts, seen.watts.at_seconds if isinstance(seen.watts, Sample) else now_seconds, "measured")


def _estimated(seen: WorkloadObservation, envelope: _Envelope | None) -> Reading:
    """``(idle + utilization * (peak - idle)) * host``: two H100 at 0.5 draw 805 W, with the host 1,046.5 W."""
    if envelope is None:
        return _UNKNOWN_MODEL
    utilization = seen.utilization_fraction
    if isinstance(utilization, Missing):
        return utilization
    share = min(max(utilization.value, 0.0), 1.0)
    cards = envelope.idle_watts + share * (envelope.peak_watts - envelope.idle_watts)
    return Sample(cards * HOST_FACTOR, utilization.at_seconds, "estimate")


def _remembered(state: PowerState, watts: float, now_seconds: float) -> PowerState:
    """The state with this draw in its block; the same object when it is no new peak."""
    peaks = state.peaks_watts
    start = now_seconds // BLOCK_SECONDS * BLOCK_SECONDS
    if peaks and state.block_start_seconds == start:
        if watts <= peaks[-1]:
            return state
        peaks = (*peaks[:-1], watts)
    else:
        peaks = (*peaks, watts)[-BLOCKS:]
    return PowerState(peaks, start, sorted(peaks)[math.ceil(HIGH_QUANTILE * len(peaks)) - 1])
