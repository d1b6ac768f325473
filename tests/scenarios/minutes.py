"""A workload or a few, lived through minute by minute: what each minute asks for and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.decide.record import state_after_write
from kcloud_autoscale.domain.decision import ScaleOutcome, ScaleResult
from kcloud_autoscale.domain.policy import SharedCap
from kcloud_autoscale.domain.reading import Missing, Reading, Sample
from kcloud_autoscale.domain.state import DecisionState, Ledger
from kcloud_autoscale.domain.workload import WorkloadKey
from tests.builders.deciding import NOW, a_case, a_fleet, metric, pods, settled

Told = tuple[int, str]
Minute = Mapping[str, Any]
AS_FORECAST = object()


def at(load: float | Missing, forecast: object = AS_FORECAST, **knobs: Any) -> Minute:
    """One minute: the load per second, the peak that is forecast (the load itself unless told), and what else is so.

    ``metrics`` are values by name, ``source`` is where the demand is told; the rest goes to `a_case`.
    """
    return {"load": load, "forecast": load if forecast is AS_FORECAST else forecast, **knobs}


def lived(
    minutes: Sequence[Minute], start: int, restarts: Iterable[int] = (), slots: int | None = None, **knobs: Any
) -> list[Told]:
    """The count that runs after each minute, and the reason; every write is made.

    Args:
        minutes: In order.
        start: Replicas before the first.
        restarts: Minutes before which the operator loses its memory.
        slots: Pods that find a node; those beyond wait for one. None lets every pod start at once.
        knobs: What is so in every minute.
    """
    state, running, told = settled(), start, []
    spent_usd, waiting_since = 0.0, None
    for number, minute in enumerate(minutes):
        now = NOW + 60.0 * number
        if number in restarts:
            state = DecisionState(now)
        given = {**knobs, **minute, "state": state, "ledger": Ledger(NOW, now, period_spent_usd=spent_usd)}
        if slots is not None and running > slots:
            waiting_since = now if waiting_since is None else waiting_since
            given["running"] = pods(slots, waiting=running - slots, waited=NOW - waiting_since)
        else:
            waiting_since = None
        case = _case(given, running, now)
        outcome = decide_fleet((case,), a_fleet(case), now)
        state = outcome.states[0]
        for action in outcome.fleet.actions:
            running = action.to_replicas
        spent_usd += running * 2.0 / 60.0  # at 2 $/h each
        told.append((running, outcome.fleet.decisions[0].final_reason))
    return told


def lived_together(
    minutes: Sequence[Mapping[str, Minute]],
    start: Mapping[str, int],
    caps: tuple[SharedCap, ...],
    refused: Mapping[int, Iterable[str]],
    **knobs: Any,
) -> list[dict[str, Told]]:
    """The same for several under shared limits; ``refused`` names whose writes the API server refuses, by minute."""
    keys = {name: WorkloadKey("shop", name) for name in start}
    states, running, told = dict.fromkeys(start, settled()), dict(start), []
    for number, minute in enumerate(minutes):
        now = NOW + 60.0 * number
        cases = [
            _case({**knobs, **minute[name], "key": keys[name], "state": states[name]}, running[name], now)
            for name in start
        ]
        outcome = decide_fleet(cases, a_fleet(*cases, caps=caps), now)
        states = dict(zip(start, outcome.states, strict=True))
        for action in outcome.fleet.actions:
            name = action.key.name
            what = ScaleOutcome.REFUSED if name in refused.get(number, ()) else ScaleOutcome.WRITTEN
            states[name] = state_after_write(states[name], ScaleResult(action, what, "no"), True, now)
            running[name] = running[name] if what is ScaleOutcome.REFUSED else action.to_replicas
        told.append({d.key.name: (running[d.key.name], d.final_reason) for d in outcome.fleet.decisions})
    return told


def _case(minute: Minute, running: int, now: float) -> Any:
    given = dict(minute)
    load, forecast = given.pop("load"), given.pop("forecast")
    values: Mapping[str, float | Reading] = given.pop("metrics", {})
    reading = load if isinstance(load, Missing) else Sample(load, now)
    peak = None if isinstance(forecast, Missing) else forecast
    seen = [metric(name, Sample(value, now) if isinstance(value, float) else value) for name, value in values.items()]
    source = given.pop("source", None)
    case = a_case(reading, running, peak, metrics=seen, **given)
    return case if source is None else replace(case, policy=replace(case.policy, demand=source))
