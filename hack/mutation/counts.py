"""What a mutant changes that matters: the counts of random fleets, lived through minute by minute."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from hack.mutation.mutants import Mutant
from hack.mutation.trial import put_in
from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.decide.record import state_after_write
from kcloud_autoscale.domain.decision import ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.policy import Caps, CapUnit, FleetPolicy, SharedCap
from kcloud_autoscale.domain.reading import Missing, MissingReason, Reading, Sample
from kcloud_autoscale.domain.state import DecisionState
from kcloud_autoscale.domain.workload import Mode, WorkloadKey
from tests.builders.deciding import GPU, LATENCY, NOW, a_case, metric, pods

FLEETS, MINUTES = 40, 25
AWAY = Missing(MissingReason.SOURCE_ERROR, "Prometheus did not answer")
_OUTCOMES = (ScaleOutcome.WRITTEN,) * 8 + (ScaleOutcome.REFUSED, ScaleOutcome.DEFERRED, ScaleOutcome.STALE)


def changes_a_count(mutant: Mutant, expected: int) -> bool:
    """Whether the stories end otherwise with the mutant in place; tried in a fork."""
    child = os.fork()
    if child == 0:
        put_in(mutant)
        try:
            os._exit(0 if told() == expected else 1)
        except BaseException:  # noqa: BLE001 - an error is another story, too
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return status != 0


def told() -> int:
    """All counts of all fleets, as one number."""
    return hash(tuple(count for seed in range(FLEETS) for count in _lived(random.Random(seed))))


def _lived(chance: random.Random) -> Iterator[int | str]:
    """A fleet of three with caps of their own and a shared one, outages, refusals, and pods that go slowly."""
    keys = [WorkloadKey("shop", name) for name in "abc"]
    running = {key: chance.randint(0, 8) for key in keys}
    leaving = dict.fromkeys(keys, 0)
    states = {key: DecisionState(NOW) for key in keys}
    knobs = {key: _knobs(chance) for key in keys}
    cap = SharedCap("p/maxPowerUsage", CapUnit.WATTS, chance.choice([4_000.0, 9_000.0]), frozenset(keys))
    for minute in range(MINUTES):
        now = NOW + 60.0 * minute
        cases = [
            a_case(
                _reading(chance, now, 120.0), running[key], chance.choice([None, chance.uniform(0.0, 120.0)]), key=key,
                running=pods(running[key], leaving=leaving[key]), state=states[key],
                metrics=[metric(t.name, _reading(chance, now, 1.0)) for t in knobs[key]["targets"]], **knobs[key],
            )
            for key in keys
        ]  # fmt: skip
        fleet = FleetPolicy({case.policy.key: case.policy for case in cases}, (cap,))
        outcome = decide_fleet(cases, fleet, now)
        states = dict(zip(keys, outcome.states, strict=True))
        leaving = dict.fromkeys(keys, 0)
        for action in outcome.fleet.actions:
            result = ScaleResult(action, chance.choice(_OUTCOMES))
            states[action.key] = state_after_write(states[action.key], result, True, now)
            yield from (action.key.name, action.to_replicas)
            if result.written:
                leaving[action.key] = max(0, action.from_replicas - action.to_replicas)
                running[action.key] = action.to_replicas
        yield from (decision.desired_replicas or 0 for decision in outcome.fleet.decisions)


def _knobs(chance: random.Random) -> dict[str, object]:
    caps = Caps(max_watts=chance.choice([None, 2_500.0]), max_usd_per_hour=chance.choice([None, 11.0]))
    return {
        "mode": chance.choice([Mode.AUTO] * 5 + [Mode.RECOMMEND, Mode.OFF]),
        "min_replicas": chance.choice([1, 1, 2]),
        "max_replicas": chance.choice([6, 20]),
        "priority": chance.choice([10, 50, 90]),
        "caps": caps,
        "targets": chance.choice([(), (LATENCY,), (GPU,), (LATENCY, GPU)]),
        "kappa": chance.choice([10.0, 10.0, None]),
    }


def _reading(chance: random.Random, now: float, most: float) -> Reading:
    drawn = chance.random()
    if drawn < 0.1:
        return AWAY
    return Sample(chance.uniform(0.0, most), now - (600.0 if drawn < 0.15 else 5.0))
